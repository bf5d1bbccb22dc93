"""The model card of a run: what was made, of what data, how good it is, and what it is for.

A card is plain values first (`make_card`), and Markdown made of these values alone
(`card_markdown`). Of the data it holds names, kinds, counts, categories and ranges, and no rows.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from harmonium.artifact import StoredDensity, StoredDetector
from harmonium.data import Columns
from harmonium.inference import Density
from harmonium.report.card_words import cautions, limits, not_uses, uses

# Of a column; what is rarer may say more of a row than a card should.
MOST_CATEGORIES = 50
INTERVAL_PERCENT = 95
# Of config.toml: the table it was, which the card tells elsewhere.
_DATA = "data"
_HELD_OUT = ("n_rows", "log_likelihood", "standard_error", "independent", "gaussian", "base")

Card = dict[str, Any]


def make_card(
    name: str,
    stored: StoredDensity,
    detector: StoredDetector | None,
    metrics: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> Card:
    """The card of a run as JSON-able values; `metrics` and `settings` are those of its folder.

    What the folder does not tell is null.
    """
    density = stored.density
    card: Card = {
        "name": name,
        "model": _model(density, detector),
        "data": _data(density, metrics),
        "settings": {
            key: value for key, value in settings.items() if key != _DATA and value is not None
        },
        "versions": dict(stored.provenance.get("versions", {})),
        "held_out": _held_out(metrics),
        "log_partition": asdict(density.log_partition) | {"interval_percent": INTERVAL_PERCENT},
        "trusted": density.trusted,
        "verdict": density.verdict,
        "draws_look_like_rows": density.judgment.draws,
        "comparisons": [
            asdict(own) | {"is_loss": own.is_loss} for own in density.judgment.comparisons
        ],
        "detector": None if detector is None else _detector(detector),
        "training": {
            key: metrics.get(key)
            for key in ("seconds", "updates", "kept_update", "stopped", "repairs")
        },
    }
    card["uses"], card["not_for"] = uses(card), not_uses(card)
    card["limits"], card["warnings"] = limits(card), cautions(card)
    return _plain(card)


def _model(density: Density, detector: StoredDetector | None) -> Card:
    model, chosen = density.model, density.chosen
    return {
        "holds": ["density"] + (["anomaly detector"] if detector else []),
        "base": chosen.base,
        "n_components": chosen.n_components,
        "has_residual": density.has_residual,
        "feature_map": type(model.feature_map).__name__,
        "hidden_units": type(model.hidden_units).__name__,
        "n_hidden": model.n_hidden,
        "n_visible": model.n_visible,
    }


def _data(density: Density, metrics: Mapping[str, Any]) -> Card:
    columns, coordinates = density.columns, density.coordinates
    place = {int(i): j for j, i in enumerate(columns.modeled_index)}
    missing = metrics.get("missing")
    described = []
    for i, field in enumerate(columns.fields):
        own: Card = {"name": field.name, "kind": columns.kinds[i], "form": field.form}
        own["missing"] = None if missing is None else missing.get(field.name)
        if i in place:
            own["marginal"] = coordinates.marginals.parts[place[i]].kind
        own |= _content(density, columns, i, place.get(i))
        described.append(own)
    rows = metrics.get("rows")
    return {
        "rows": columns.n_rows if rows is None else rows,
        "rows_in_memory": metrics.get("rows_in_memory"),
        "training_rows": density.judgment.n_rows,
        "fingerprint": metrics.get("fingerprint"),
        "columns": described,
        "n_missing": None if missing is None else sum(missing.values()),
    }


def _content(density: Density, columns: Columns, i: int, j: int | None) -> Card:
    """The categories of a column, or the range of its numbers."""
    field = columns.fields[i]
    if field.kind == "categorical":
        return {
            "n_categories": len(field.categories),
            "categories": list(field.categories[:MOST_CATEGORIES]),
        }
    if columns.kinds[i] == "constant":
        return {"lowest": float(columns.constant[i]), "highest": float(columns.constant[i])}
    if j is None:
        return {}
    coordinates = density.coordinates
    return {"lowest": float(coordinates.lowest[j]), "highest": float(coordinates.highest[j])}


def _held_out(metrics: Mapping[str, Any]) -> Card | None:
    found = metrics.get("held_out")
    return None if found is None else {key: found.get(key) for key in _HELD_OUT}


def _detector(stored: StoredDetector) -> Card:
    n = len(stored.detector.calibration)
    return {
        "n_calibration": n,
        "smallest_p_value": 1 / (n + 1),
        "offset": stored.offset,
        "contamination": stored.settings.contamination,
        "calibration_fraction": stored.settings.calibration_fraction,
        "trusted": stored.detector.trusted,
        "verdict": stored.detector.verdict,
    }


def _plain(value: Any) -> Any:
    """JSON knows neither NaN nor infinity, nor numbers of other libraries."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
