"""What a notebook shows of an estimator: the parameters that were set, its state, its verdict."""

import inspect
from typing import Any

from sklearn import get_config

from harmonium.cards import card, with_interval
from harmonium.inference import Density, HeldOut

LONGEST_VALUE = 60


class ShowsCard:
    """An estimator whose HTML is a short card; scikit-learn's `display="text"` turns it off."""

    def _card_facts(self) -> tuple[dict[str, Any], str, bool | None]:
        """Facts of the state, the verdict, and whether it may be trusted."""
        raise NotImplementedError

    def _repr_html_(self) -> str | None:
        """The card, or nothing where notebooks are to show text."""
        if get_config()["display"] != "diagram":
            return None
        facts, verdict, trusted = self._card_facts()
        return card(
            type(self).__name__, set_parameters(self) | facts, verdict=verdict, trusted=trusted
        )

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """What IPython asks for: text, and the card beside it."""
        shown = {"text/plain": repr(self), "text/html": self._repr_html_()}
        return {kind: text for kind, text in shown.items() if text is not None}


NOT_FITTED: tuple[dict[str, Any], str, None] = ({"state": "not fitted"}, "", None)


def set_parameters(estimator: Any) -> dict[str, str]:
    """The parameters that are not at their default, by name, as one fact."""
    defaults = {
        name: own.default
        for name, own in inspect.signature(type(estimator).__init__).parameters.items()
    }
    given = {
        name: _short(value)
        for name, value in estimator.get_params(deep=False).items()
        if not _same(value, defaults[name])
    }
    text = ", ".join(f"{name}={value}" for name, value in given.items())
    return {"parameters": text or "all at their defaults"}


def density_facts(density: Density, held_out: HeldOut | None = None) -> dict[str, Any]:
    """The state of a fitted density, and how it does on held-out rows."""
    columns, chosen, found = density.columns, density.chosen, density.log_partition
    base = "one Gaussian" if chosen.base == "gaussian" else f"{chosen.n_components} Gaussians"
    residual = f"with {density.model.n_hidden} hidden units" if chosen.residual else "alone"
    facts = {
        "state": f"fitted to {columns.n_rows:,} rows, {columns.n_modeled} of "
        f"{len(columns.names)} columns modeled",
        "model": f"a base of {base}, {residual}",
        "log Z": f"{with_interval(found.value, found.low, found.high)}, nats",
    }
    if held_out is not None:
        facts["held-out rows"] = (
            f"{held_out.log_likelihood:.3f} ± {held_out.standard_error:.3f} nats per row; "
            f"independent columns {held_out.independent:.3f}, Gaussian {held_out.gaussian:.3f}"
        )
    return facts


def _same(value: Any, default: Any) -> bool:
    """Whether a parameter has its default; arrays and frames never do."""
    return value is default or (type(value) is type(default) and bool(value == default))


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"
