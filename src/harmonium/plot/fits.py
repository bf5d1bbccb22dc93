"""Pictures of a fit: its training curve, its log Z, its hidden units."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harmonium.errors import InvalidInputError, describe
from harmonium.estimators import DensityEstimator
from harmonium.learning import FitResult
from harmonium.likelihood import LogPartition
from harmonium.model import Spin
from harmonium.plot.axes import DATA, MODEL, axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_UNITS = 40
CURVES = (
    ("train_log_likelihood", "training rows", DATA),
    ("validation_log_likelihood", "validation rows", MODEL),
)


def training_curve(fitted: DensityEstimator | FitResult, *, axes: "Axes | None" = None) -> "Axes":
    """Log-likelihoods of training and validation rows over the updates, and the update that was
    kept.

    In nats per row: data units of a `DensityEstimator`, model units of a `FitResult`. Raises
    `InvalidInputError` where nothing was trained.
    """
    call = "plot.training_curve(fitted)"
    is_estimator = isinstance(fitted, DensityEstimator)
    history = fitted.history_ if is_estimator else fitted.history
    if not history:
        hint = "effort='thorough', which always trains"
        got = "one that trained nothing, or that was loaded: files keep no history"
        raise InvalidInputError(describe(call, expected="a trained fit", got=got, hint=hint))
    drawn = axes_for(call, axes)
    updates = _numbers(history, "update")
    for name, label, color in CURVES:
        values = _numbers(history, name)
        known = np.isfinite(values)
        drawn.plot(updates[known], values[known], color=color, label=label)
    kept = getattr(fitted, "kept_update_", None) if is_estimator else fitted.kept_update
    if kept is not None:
        drawn.axvline(kept, color="gray", linestyle=":", label="kept")
    units = "data units" if is_estimator else "model units"
    drawn.set(xlabel="parameter updates", ylabel=f"log-likelihood (nats per row, {units})")
    drawn.legend()
    return drawn


def log_partition(
    results: LogPartition | dict[str, LogPartition], *, axes: "Axes | None" = None
) -> "Axes":
    """Estimates of log Z with their 95 % intervals, one below the other by name.

    Those that are not to be trusted have open marks.
    """
    call = "plot.log_partition(results)"
    named = {results.method: results} if isinstance(results, LogPartition) else dict(results)
    if not named or not all(isinstance(own, LogPartition) for own in named.values()):
        expected = "a LogPartition, or several by name"
        got = "none" if not named else f"a {type(results).__name__} of others"
        raise InvalidInputError(describe(call, expected=expected, got=got))
    drawn = axes_for(call, axes, (6.0, 1.2 + 0.4 * len(named)))
    for place, own in enumerate(named.values()):
        face = MODEL if own.trusted else "none"
        drawn.plot([own.low, own.high], [place, place], color=MODEL, linewidth=2)
        for end in (own.low, own.high):
            drawn.plot([end, end], [place - 0.15, place + 0.15], color=MODEL, linewidth=2)
        drawn.plot(
            own.value, place, "o", color=MODEL, markerfacecolor=face, zorder=3, gid="estimate"
        )
    drawn.set_yticks(range(len(named)), list(named))
    drawn.set_ylim(len(named) - 0.5, -0.5)
    drawn.set_xlabel("log Z (nats, 95 % interval; open marks: not to be trusted)")
    drawn.margins(x=0.1)
    return drawn


def hidden_units(
    estimator: DensityEstimator, X: Any, *, axes: "Axes | None" = None, most: int = MOST_UNITS
) -> "Axes":
    """P(unit on | row) of the units that vary most over the rows X (rows, columns), as a map of
    rows by units.

    Rows are in the order of the leading principal direction of the probabilities. Raises
    `InvalidInputError` for a density without hidden units.
    """
    call = "plot.hidden_units(estimator, X)"
    if not estimator.density_.has_residual:
        got, hint = "one that is its base alone", "effort='thorough', which always trains some"
        raise InvalidInputError(
            describe(call, expected="a density with hidden units", got=got, hint=hint)
        )
    means = estimator.transform(X)
    if isinstance(estimator.model_.hidden_units, Spin):
        means = (1 + means) / 2
    units = np.argsort(-means.std(axis=0), kind="stable")[:most]
    shown = means[:, units]
    directions = np.linalg.svd(shown - shown.mean(axis=0), full_matrices=False)
    order = np.argsort(directions[0][:, 0], kind="stable")
    drawn = axes_for(call, axes, (6.0, 4.2))
    image = drawn.imshow(shown[order], aspect="auto", interpolation="nearest")
    drawn.set_xticks(range(len(units)), [str(k + 1) for k in units], fontsize="x-small")
    drawn.tick_params(axis="x", rotation=90)
    drawn.set(xlabel="hidden unit", ylabel="rows, sorted")
    drawn.figure.colorbar(image, ax=drawn, label="P(unit on | row)")
    return drawn


def _numbers(history: Sequence[Any], name: str) -> np.ndarray:
    return np.array([float(record.get(name, np.nan)) for record in history])
