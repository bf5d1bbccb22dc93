"""A model card as Markdown, made from its values alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from harmonium.report.words import day

_MOST_SHOWN = 12
_BASELINES = {
    "independent": "independent columns",
    "gaussian": "the Gaussian fit",
    "base": "the base alone",
}

Values = Mapping[str, Any]


def card_markdown(card: Values) -> str:
    """The page of what `make_card` returned."""
    parts = (
        _head(card),
        _data(card["data"]),
        _held_out(card["held_out"]),
        _log_partition(card),
        _detector(card["detector"]),
        _listed("What it may be used for", card["uses"]),
        _listed("What it is not for", card["not_for"]),
        _listed("Limits", card["limits"]),
        _listed("Warnings", card["warnings"] or ["None."]),
        _origin(card),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(card: Values) -> str:
    model = card["model"]
    base = f"a {model['base']} base"
    if model["base"] == "mixture":
        base += f" of {model['n_components']} components"
    residual = (
        f"with a residual energy of {model['n_hidden']} hidden units ({model['hidden_units']}) on "
        f"features by {model['feature_map']}"
        if model["has_residual"]
        else "without a residual energy"
    )
    quoted = "may be quoted" if card["trusted"] else "may NOT be quoted"
    return (
        f"# Model card: {_text(card['name'])}\n\n"
        f"A {' and an '.join(model['holds'])} of a table, by harmonium: {base}, {residual}.\n\n"
        f"**Its log-densities {quoted}.** {_text(card['verdict'])}"
    )


def _data(data: Values) -> str:
    rows = [
        (
            _text(own["name"]),
            own["kind"],
            _text(_content(own)),
            "not recorded" if own["missing"] is None else str(own["missing"]),
        )
        for own in data["columns"]
    ]
    holes = "" if data["n_missing"] is None else f", {data['n_missing']} missing cells"
    mark = "" if data["fingerprint"] is None else f" Fingerprint: `{data['fingerprint']}`."
    return (
        f"## Data\n\n{data['rows']} rows, {len(data['columns'])} columns{holes}.{mark}\n\n"
        + _table(("column", "kind", "content", "missing"), rows)
    )


def _content(column: Values) -> str:
    if "categories" in column:
        shown = column["categories"][:_MOST_SHOWN]
        more = ", …" if column["n_categories"] > len(shown) else ""
        return f"{column['n_categories']} categories: {', '.join(map(str, shown))}{more}"
    if "lowest" not in column:
        return ""
    shown = day if column["form"] == "datetime" else _number
    return f"{shown(column['lowest'])} to {shown(column['highest'])}"


def _held_out(found: Values | None) -> str:
    if found is None:
        return ""
    rows = [("this density", _number(found["log_likelihood"]), "")]
    for key, name in _BASELINES.items():
        gain = found["log_likelihood"] - found[key]
        rows.append((name, _number(found[key]), f"{gain:+.4g}"))
    error = found["standard_error"]
    known = "" if error is None else f" The standard error of the first is {_number(error)}."
    return (
        f"## Held-out rows\n\nMean log-density of {found['n_rows']} rows that no part was fitted "
        f"to, nats per row, in data units.{known}\n\n"
        + _table(("density", "score", "gain over it"), rows)
    )


def _log_partition(card: Values) -> str:
    found = card["log_partition"]
    return (
        f"## log Z\n\n{_number(found['value'])} nats by the method {found['method']!r}, "
        f"{found['interval_percent']} % interval from {_number(found['low'])} to "
        f"{_number(found['high'])}.\n\n{_text(found['verdict'])}"
    )


def _detector(found: Values | None) -> str:
    if found is None:
        return ""
    return (
        f"## Anomaly detector\n\nCalibrated on {found['n_calibration']} rows that shaped nothing: "
        f"the smallest p-value is {_number(found['smallest_p_value'])}. Rows that score below "
        f"{_number(found['offset'])} are flagged.\n\n{_text(found['verdict'])}"
    )


def _listed(title: str, sentences: Sequence[str]) -> str:
    return "\n".join([f"## {title}", "", *(f"- {_text(sentence)}" for sentence in sentences)])


def _origin(card: Values) -> str:
    training = card["training"]
    rows = [
        ("seconds of the fit", _known(training["seconds"])),
        ("updates", _known(training["updates"])),
        ("kept update", _known(training["kept_update"])),
        *((f"{name}", str(version)) for name, version in card["versions"].items()),
        *((_text(name), _text(_setting(value))) for name, value in card["settings"].items()),
    ]
    return "## Settings, versions, training\n\n" + _table(("what", "value"), rows)


def _setting(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_setting(own)}" for name, own in value.items())
    return _number(value) if isinstance(value, float) else str(value)


def _known(value: Any) -> str:
    return "not recorded" if value is None else _number(value)


def _number(value: float) -> str:
    """Five significant digits, and all those before the decimal point."""
    return f"{value:.0f}" if 1e5 <= abs(value) < 1e15 else f"{value:.5g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _text(text: str) -> str:
    """Text of others that no sign of steers the page: names of columns may hold any."""
    plain = "".join(sign if sign.isprintable() else " " for sign in str(text))
    for sign in ("\\", "|", "`", "<", "*", "_", "["):
        plain = plain.replace(sign, f"\\{sign}")
    return plain
