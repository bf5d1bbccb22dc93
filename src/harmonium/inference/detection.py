"""A fitted anomaly detector: an ensemble of harmoniums, calibrated on rows that no model has seen."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from harmonium.data import Columns, Table, Transform
from harmonium.errors import InvalidInputError, describe
from harmonium.inference.batches import map_rows
from harmonium.inference.conformal import p_values
from harmonium.inference.detection_settings import MEMBERS, MIN_ROWS, DetectorSettings, Member
from harmonium.learning.ensemble import fit_ensemble
from harmonium.learning.score_matching import N_LEVELS, DenoisingScoreMatching
from harmonium.model import Harmonium, feature_maps
from harmonium.typing import RandomKey

# Share of the training rows beyond which the tail of F is measured.
TAIL = 0.1
MIN_DISTINCT = 0.5
# Values of a column that an explanation tries.
N_CANDIDATES = 24
_LARGEST_MODEL_VALUE = 1e6


@dataclass(frozen=True)
class Detector:
    """Members over the same columns, each with its transform; scores are higher for normal rows.

    `models` holds the members stacked on the first axis. A member's energy is its F over
    the training rows' tail: (F - `location`) / `scale`, arrays (members,), so that one unit is a
    factor e in how rarely a training row goes that far. `quantiles` (candidates, modeled) are those of
    the training columns, for explanations. `calibration` (rows,) are the sorted
    scores of normal rows that shaped nothing, by `score_kind`.
    """

    columns: Columns
    transforms: tuple[Transform, ...]
    models: Harmonium
    location: np.ndarray
    scale: np.ndarray
    quantiles: np.ndarray
    calibration: np.ndarray
    score_kind: str
    verdict: str

    @property
    def n_members(self) -> int:
        """How many models vote."""
        return len(self.transforms)

    def energy(self, values: np.ndarray) -> np.ndarray:
        """Mean energy of rows (rows, columns) over the members, shape (rows,): high is abnormal.

        A broken rule of a constant or duplicate column adds its surprise, in nats.
        """
        return self.modeled_energy(self.columns.modeled(values)) - self.columns.log_rule(values)

    def gradient_norm(self, values: np.ndarray) -> np.ndarray:
        """Mean over the members of |grad F|, in their units: high where a row would move far."""
        units = self.in_model_units(self.columns.modeled(values))
        norms = map_rows(lambda rows: _gradient_norms(self.models, rows), units)
        return (norms / self.scale).mean(axis=1) - self.columns.log_rule(values)

    def scores(self, values: np.ndarray) -> np.ndarray:
        """What `score_kind` says of rows (rows, columns), shape (rows,): higher = more normal."""
        if self.score_kind == "gradient":
            return -self.gradient_norm(values)
        energy = self.energy(values)
        return -np.abs(energy) if self.score_kind == "typicality" else -energy

    def p_values(self, values: np.ndarray) -> np.ndarray:
        """Split-conformal p-values of rows (rows, columns), shape (rows,); small is abnormal."""
        return p_values(self.calibration, self.scores(values))

    def in_model_units(self, modeled: np.ndarray) -> np.ndarray:
        """Rows of the modeled columns as each member sees them, (rows, members, visible)."""
        units = [transform.forward(modeled) for transform in self.transforms]
        return np.clip(np.stack(units, axis=1), -_LARGEST_MODEL_VALUE, _LARGEST_MODEL_VALUE)

    def modeled_energy(self, modeled: np.ndarray) -> np.ndarray:
        """Mean energy at points of the modeled columns, (rows,), before rules are seen to."""
        units = self.in_model_units(modeled)
        free = map_rows(lambda rows: _free_energies(self.models, rows), units)
        return ((free - self.location) / self.scale).mean(axis=1)

    def hidden_means(self, modeled: np.ndarray) -> np.ndarray:
        """E[h|x] of every member at points of the modeled columns, (rows, members, hidden)."""
        units = self.in_model_units(modeled)
        return map_rows(lambda rows: _hidden_means(self.models, rows), units)


class _Split(NamedTuple):
    training: np.ndarray
    calibration: np.ndarray


def fit_detector(table: Table, settings: DetectorSettings) -> Detector:
    """Fit an ensemble to a table of mostly normal rows; deterministic given `settings.seed`.

    A share of the rows is set aside before anything is fitted, for calibration. Raises
    `InvalidInputError` for too few rows and `DivergedError` if training is not finite.
    """
    split = _split(table, settings)
    columns = Columns.fit(Table(split.training, table.names), call="fit")
    modeled = columns.modeled(split.training)
    members = MEMBERS * settings.n_repeats
    transforms = _fit_transforms(modeled, [member.whitening for member in members])
    key_models, key_fit = jax.random.split(jax.random.key(settings.seed))
    data = np.stack([transform.forward(modeled) for transform in transforms])
    noise = [_objective(member) for member in members]
    fitted = fit_ensemble(
        _build_models(key_models, len(members), columns.n_modeled, settings),
        jnp.asarray(data, float),
        jax.tree.map(lambda *leaves: jnp.stack(leaves), *noise),
        key=key_fit,
        settings=settings.build_ensemble_settings(),
    )
    n = len(members)
    rough = Detector(
        columns,
        transforms,
        fitted.models,
        np.zeros(n),
        np.ones(n),
        np.quantile(modeled, np.linspace(0.01, 0.99, N_CANDIDATES), axis=0),
        np.zeros(0),
        settings.score,
        "",
    )
    return _calibrated(rough, split)


def _calibrated(rough: Detector, split: _Split) -> Detector:
    """The detector with the units of its members and the scores of the calibration rows."""
    units = rough.in_model_units(rough.columns.modeled(split.training))
    free = map_rows(lambda rows: _free_energies(rough.models, rows), units)
    edge = np.quantile(free, 1 - TAIL, axis=0)
    excess = np.maximum(free - edge, 0).sum(axis=0) / np.maximum((free > edge).sum(axis=0), 1)
    spread = np.maximum(excess, 1e-6 * np.maximum(1.0, np.abs(edge)))
    detector = replace(rough, location=np.median(free, axis=0), scale=spread)
    calibration = np.sort(detector.scores(split.calibration))
    return replace(detector, calibration=calibration, verdict=_judge(detector, split, calibration))


def _judge(detector: Detector, split: _Split, calibration: np.ndarray) -> str:
    """What the scores are good for, in words."""
    n = len(calibration)
    distinct_rows = len(np.unique(split.calibration, axis=0))
    distinct = len(np.unique(calibration))
    words = [
        f"p-values are valid for rows exchangeable with the {n} calibration rows; the smallest is "
        f"1/{n + 1}."
    ]
    if distinct < MIN_DISTINCT * distinct_rows:
        words.append(
            f"The scores have COLLAPSED: {distinct} distinct values for {distinct_rows} distinct rows; "
            "do not use them."
        )
    if not np.all(np.isfinite(calibration)):
        words.append("Some scores are NOT finite; do not use them.")
    return " ".join(words)


def _split(table: Table, settings: DetectorSettings) -> _Split:
    if table.n_rows < MIN_ROWS:
        raise InvalidInputError(
            describe("fit(X)", expected=f"at least {MIN_ROWS} rows", got=f"{table.n_rows} sample(s)")
        )
    n_calibration = max(1, round(settings.calibration_fraction * table.n_rows))
    if table.n_rows - n_calibration < MIN_ROWS // 2:
        raise InvalidInputError(
            describe(
                "fit(X)",
                expected=f"at least {MIN_ROWS // 2} rows to train on",
                got=f"{table.n_rows} rows of which {n_calibration} are set aside for calibration",
                hint="a smaller calibration_fraction",
            )
        )
    order = np.random.default_rng(settings.seed).permutation(table.n_rows)
    return _Split(table.values[order[n_calibration:]], table.values[order[:n_calibration]])


def _objective(member: Member) -> DenoisingScoreMatching:
    """Model units have variance 1/2 where the noise of a member counts in standard deviations."""
    lowest, highest = (value * 0.5**0.5 for value in member.noise)
    return DenoisingScoreMatching(jnp.geomspace(lowest, highest, N_LEVELS))


def _fit_transforms(modeled: np.ndarray, whitenings: list[str]) -> tuple[Transform, ...]:
    fitted = {
        name: Transform.fit(modeled, tails="none", whitening=name) for name in set(whitenings)
    }
    return tuple(fitted[name] for name in whitenings)


def _build_models(
    key: RandomKey, n_members: int, n_visible: int, settings: DetectorSettings
) -> Harmonium:
    """Untrained members, stacked on the first axis."""

    def build(key: RandomKey) -> Harmonium:
        return build_member(key, n_visible, settings.n_hidden, settings.width)

    return eqx.filter_jit(eqx.filter_vmap(build))(jax.random.split(key, n_members))


def build_member(key: RandomKey, n_visible: int, n_hidden: int, width: int) -> Harmonium:
    """One untrained member: a residual map of two layers."""
    key_map, key_model = jax.random.split(key)
    feature_map = feature_maps.ResidualMLP(
        n_visible, width, 1, input_scale=feature_maps.UNIT_VARIANCE * 3**0.5, key=key_map
    )
    return Harmonium(n_visible, n_hidden, feature_map=feature_map, key=key_model)


MemberRows = Float[Array, "batch members visible"]


def _per_member(models: Harmonium, rows: MemberRows, function) -> Array:
    """function(model, x) for every row and member, rows first."""

    def of_member(model: Harmonium, rows: Array) -> Array:
        return jax.vmap(lambda x: function(model, x))(rows)

    return eqx.filter_vmap(of_member, in_axes=(eqx.if_array(0), 1), out_axes=1)(models, rows)


@eqx.filter_jit
def _free_energies(models: Harmonium, rows: MemberRows) -> Float[Array, "batch members"]:
    return _per_member(models, rows, lambda model, x: model.free_energy(x))


@eqx.filter_jit
def _gradient_norms(models: Harmonium, rows: MemberRows) -> Float[Array, "batch members"]:
    return _per_member(models, rows, lambda model, x: jnp.linalg.norm(model.score(x)))


@eqx.filter_jit
def _hidden_means(models: Harmonium, rows: MemberRows) -> Float[Array, "batch members hidden"]:
    return _per_member(models, rows, lambda model, x: model.hidden_mean(x))
