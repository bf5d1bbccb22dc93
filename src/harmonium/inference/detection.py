"""A fitted anomaly detector: an ensemble of harmoniums, calibrated on rows no model has seen."""

from dataclasses import dataclass, replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import softmax

from harmonium.data import Columns, Marginals, Table, Whitening
from harmonium.inference.batches import map_rows
from harmonium.inference.completion import Completion
from harmonium.inference.conformal import p_values
from harmonium.inference.contamination import with_least_spread, without_suspects
from harmonium.inference.detection_settings import MEMBERS, DetectorSettings, Member
from harmonium.inference.finite import warn_if_not_finite
from harmonium.inference.hold_out import hold_out
from harmonium.learning.ensemble import fit_ensemble, stack_members, take_member
from harmonium.learning.score_matching import N_LEVELS, DenoisingScoreMatching
from harmonium.model import Harmonium, feature_maps
from harmonium.typing import RandomKey

# Share of the training rows beyond which the tail of F is measured.
TAIL = 0.1
MIN_DISTINCT = 0.5
FIRST_BIAS = 0.5
# Values of a column that an explanation tries.
N_CANDIDATES = 24
# Draws of the missing cells of a row: for training, and for a score.
N_COPIES = 4
N_COMPLETIONS = 16
_COMPLETION_SEED = 11
_LARGEST_MODEL_VALUE = 1e6
# Rows that all members see at once; more leave the processor's cache.
BATCH = 1024


@dataclass(frozen=True)
class Detector:
    """Members over the same columns, each with its whitening; scores are higher for normal rows.

    `marginals` maps cells to points of the columns, and `completion` fills missing cells. `models`
    holds the members stacked on the first axis. Each votes with its free energy, and those in
    `slopes` (their indices) once more with the length of its gradient, |∇F|. A vote v counts as
    its surprise log(1 + exp((v - `location`) / `scale`)), arrays (votes,): beyond the median, one
    unit is about a factor e in how rarely a training row goes that far; below, votes level off, so
    that one content member cannot outvote an alarmed one. `quantiles` (candidates, modeled) are
    those of the points of the training columns, for explanations. `calibration` (rows,) are the
    sorted scores, by `score_kind`, of normal rows that shaped nothing; `verdict` says what scores
    and p-values are good for, `trusted` says it to programs.
    """

    marginals: Marginals
    completion: Completion
    whitenings: tuple[Whitening, ...]
    models: Harmonium
    slopes: tuple[int, ...]
    location: np.ndarray
    scale: np.ndarray
    quantiles: np.ndarray
    calibration: np.ndarray
    score_kind: str
    verdict: str
    trusted: bool

    @property
    def columns(self) -> Columns:
        """The rules of the columns."""
        return self.marginals.columns

    @property
    def n_members(self) -> int:
        """How many models vote."""
        return len(self.whitenings)

    def member(self, index: int) -> Harmonium:
        """One of the models."""
        return take_member(self.models, index)

    def scores(self, values: np.ndarray) -> np.ndarray:
        """What `score_kind` says of rows (rows, columns), shape (rows,): higher = more normal.

        A broken rule of a constant or duplicate column, or a category that training has not seen,
        costs its surprise, in nats. A row with missing cells (NaN) gets the mean over draws of
        these cells given the others, weighted for what the members make of them. Warns if some
        scores are not finite.
        """
        points = self.points(values)
        abnormality = np.zeros(len(points))
        incomplete = np.isnan(points).any(axis=1)
        if not incomplete.all():
            abnormality[~incomplete] = self.abnormality(points[~incomplete])
        if incomplete.any():
            drawn = self.completions(values[incomplete])
            found = np.stack([self.abnormality(d) for d in drawn])
            # Where the Gaussian fit does not hold, most of its draws are abnormal with any row.
            abnormality[incomplete] = np.sum(softmax(-found, axis=0) * found, axis=0)
        return warn_if_not_finite("scores", self.columns.log_rule(values) - abnormality)

    def points(self, values: np.ndarray) -> np.ndarray:
        """Points of the modeled columns of rows (rows, columns), NaN for missing cells.

        Unseen categories count as missing.
        """
        return self.marginals.centers(values)

    def completions(self, values: np.ndarray) -> np.ndarray:
        """Points of rows (rows, columns) with missing cells drawn, (draws, rows, modeled)."""
        rng = np.random.default_rng(_COMPLETION_SEED)
        filled = [self.completion.fill(values, rng) for _ in range(N_COMPLETIONS)]
        return np.stack([self.points(rows) for rows in filled])

    def p_values(self, values: np.ndarray) -> np.ndarray:
        """Split-conformal p-values of rows (rows, columns), shape (rows,); small is abnormal."""
        return self.p_values_of(self.scores(values))

    def p_values_of(self, scores: np.ndarray) -> np.ndarray:
        """Split-conformal p-values of rows with these scores, (rows,) both."""
        return p_values(self.calibration, scores)

    def calibrated_on(self, values: np.ndarray, remarks: tuple[str, ...] = ()) -> "Detector":
        """The same detector with p-values from these rows (rows, columns), which no model has seen.

        `remarks` are added to the verdict.
        """
        calibration = np.sort(self.scores(values))
        problems = _problems(values, calibration)
        words = [_guarantee(len(calibration)), *problems, *remarks]
        verdict = " ".join(words)
        return replace(self, calibration=calibration, verdict=verdict, trusted=not problems)

    def abnormality(self, points: np.ndarray) -> np.ndarray:
        """How abnormal points (rows, modeled) are, (rows,), whatever rules their rows break."""
        standard = (self.votes(points) - self.location) / self.scale
        n = self.n_members
        if self.score_kind == "typicality":
            return np.abs(standard[:, :n].mean(axis=1))
        surprise = np.logaddexp(0.0, standard)
        if self.score_kind == "energy":
            return surprise[:, :n].mean(axis=1)
        if self.score_kind == "gradient":
            return surprise[:, n:].mean(axis=1)
        return surprise.mean(axis=1)

    def votes(self, points: np.ndarray) -> np.ndarray:
        """Free energies of all members, gradient lengths of those in `slopes`: (rows, votes)."""
        function = lambda rows: _votes(self.models, self.slopes, rows)  # noqa: E731
        return map_rows(function, points, self.in_model_units, longest=BATCH)

    def hidden_means(self, points: np.ndarray) -> np.ndarray:
        """E[h|x] of every member at points of the columns, (rows, members, hidden)."""
        function = lambda rows: _hidden_means(self.models, rows)  # noqa: E731
        return map_rows(function, points, self.in_model_units, longest=BATCH)

    def in_model_units(self, points: np.ndarray) -> np.ndarray:
        """Points (rows, modeled) as each member sees them, (rows, members, visible)."""
        units = {id(own): own.forward(points) for own in self.whitenings}
        stacked = np.stack([units[id(own)] for own in self.whitenings], axis=1)
        return np.clip(stacked, -_LARGEST_MODEL_VALUE, _LARGEST_MODEL_VALUE)


def fit_detector(table: Table, settings: DetectorSettings) -> Detector:
    """Fit an ensemble to a table of mostly normal rows; deterministic given `settings.seed`.

    A share of the rows is set aside before anything is fitted, for calibration. Raises
    `InvalidInputError` for too few rows and `DivergedError` if training is not finite.
    """
    rng = np.random.default_rng(settings.seed)
    split = hold_out(table, settings.calibration_fraction, rng, setting="calibration_fraction")
    columns = Columns.fit(Table(split.training, table.names, table.fields), call="fit")
    completion = Completion.fit(columns, split.training)
    # Every number is a point or the center of its cell, so that the members see plain units.
    marginals = Marginals.fit(columns, split.training, "affine", atoms=False)
    points = marginals.centers(_completed(completion, marginals, split.training, rng))
    members = MEMBERS * settings.n_repeats
    shaping, spread = points, points
    if settings.share_abnormal:
        shaping = without_suspects(points, settings.share_abnormal, settings.seed)
        spread = with_least_spread(shaping, points, rng)
    whitenings = _fit_whitenings(spread, [member.whitening for member in members])
    data = np.stack([whitening.forward(shaping) for whitening in whitenings])
    slopes = tuple(index for index, member in enumerate(members) if member.slope)
    n_votes = len(members) + len(slopes)
    raw = Detector(
        marginals=marginals,
        completion=completion,
        whitenings=whitenings,
        models=_train(jnp.asarray(data, float), members, settings),
        slopes=slopes,
        location=np.zeros(n_votes),
        scale=np.ones(n_votes),
        quantiles=np.quantile(shaping, np.linspace(0.01, 0.99, N_CANDIDATES), axis=0),
        calibration=np.zeros(0),
        score_kind=settings.score_kind,
        verdict="",
        trusted=False,
    )
    remarks = (*_calibration_remarks(settings), *training_remarks(settings))
    return _with_vote_units(raw, shaping).calibrated_on(split.held_out, remarks)


def _completed(
    completion: Completion, marginals: Marginals, values: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Rows without missing cells; where some are missing, every row with several draws of them."""
    n_copies = N_COPIES if np.isnan(marginals.centers(values)).any() else 1
    return completion.fill(np.tile(values, (n_copies, 1)), rng)


def _train(
    data: Float[Array, "members training visible"],
    members: tuple[Member, ...],
    settings: DetectorSettings,
) -> Harmonium:
    """The trained members, stacked on the first axis; `data` holds the rows as each sees them."""
    key_models, key_fit = jax.random.split(jax.random.key(settings.seed))
    untrained = _build_models(
        key_models, len(members), data.shape[2], settings.n_hidden, settings.width
    )
    noise = stack_members([_objective(member) for member in members])
    fitted = fit_ensemble(
        untrained, data, noise, key=key_fit, settings=settings.build_ensemble_settings()
    )
    return fitted.models


def _with_vote_units(raw: Detector, training: np.ndarray) -> Detector:
    """The detector with the median and the tail of every vote over the training rows."""
    votes = raw.votes(training)
    edge = np.quantile(votes, 1 - TAIL, axis=0)
    excess = np.maximum(votes - edge, 0).sum(axis=0) / np.maximum((votes > edge).sum(axis=0), 1)
    scale = np.maximum(excess, 1e-6 * np.maximum(1.0, np.abs(edge)))
    return replace(raw, location=np.median(votes, axis=0), scale=scale)


def _guarantee(n: int) -> str:
    return (
        f"p-values are valid for rows exchangeable with the {n} calibration rows; the smallest is "
        f"1/{n + 1}."
    )


def _problems(rows: np.ndarray, calibration: np.ndarray) -> list[str]:
    """What forbids the use of the scores, in words."""
    words = []
    distinct_rows = len(np.unique(rows, axis=0))
    distinct = len(np.unique(calibration))
    if distinct < MIN_DISTINCT * distinct_rows:
        words.append(
            f"The scores have COLLAPSED: {distinct} distinct values for {distinct_rows} distinct "
            "rows; do not use them."
        )
    if not np.all(np.isfinite(calibration)):
        words.append("Some scores are NOT finite; do not use them.")
    return words


def training_remarks(settings: DetectorSettings) -> tuple[str, ...]:
    """What a user has to know of the training by these settings, whatever the calibration."""
    if settings.n_updates >= DetectorSettings.n_updates:
        return ()
    usual = DetectorSettings.n_updates
    return (f"Trained for {settings.n_updates} updates, fewer than the usual {usual}.",)


def _calibration_remarks(settings: DetectorSettings) -> tuple[str, ...]:
    """What a user has to know of calibration rows that come from the training table."""
    if not settings.share_abnormal:
        return ()
    return (
        f"As stated, a share of {settings.share_abnormal:g} of them is abnormal: p-values are too "
        "cautious, and few rows or none are listed at a false-discovery rate. Try: "
        "calibrate(X) with normal rows.",
    )


def _objective(member: Member) -> DenoisingScoreMatching:
    """Model units have variance 1/2 where the noise of a member counts in standard deviations.

    One noise makes several equal levels too, because the members were chosen with their weight.
    """
    lowest, highest = (value * 0.5**0.5 for value in member.noise)
    return DenoisingScoreMatching(jnp.geomspace(lowest, highest, N_LEVELS))


def _fit_whitenings(points: np.ndarray, shapes: list[str]) -> tuple[Whitening, ...]:
    # The members were chosen with correlations as they are.
    fitted = {shape: Whitening.fit(points, shape, shrink=0.0) for shape in set(shapes)}
    return tuple(fitted[shape] for shape in shapes)


@eqx.filter_jit
def _build_models(
    key: RandomKey, n_members: int, n_visible: int, n_hidden: int, width: int
) -> Harmonium:
    """Untrained members, stacked on the first axis."""

    def build(key: RandomKey) -> Harmonium:
        return build_member(key, n_visible, n_hidden, width)

    return eqx.filter_vmap(build)(jax.random.split(key, n_members))


def build_member(key: RandomKey, n_visible: int, n_hidden: int, width: int) -> Harmonium:
    """One untrained member: a residual map of two layers, with weights of variance 1 / fan-in.

    The spread of the first biases lets the units bend all over the rows from the start.
    """
    key_map, key_bias, key_model = jax.random.split(key, 3)
    feature_map = feature_maps.ResidualMLP(n_visible, width, 1, key=key_map)
    layers = (feature_map.lift, *feature_map.blocks)
    biases = [FIRST_BIAS * jax.random.normal(key_bias, (width,)), jnp.zeros(width)]
    feature_map = eqx.tree_at(
        lambda f: (
            [layer.weight for layer in (f.lift, *f.blocks)]
            + [layer.bias for layer in (f.lift, *f.blocks)]
        ),
        feature_map,
        [3**0.5 * layer.weight for layer in layers] + biases,
    )
    return Harmonium(n_visible, n_hidden, feature_map=feature_map, key=key_model)


MemberRows = Float[Array, "batch members visible"]


def _per_member(models: Harmonium, rows: MemberRows, function) -> Array:
    """function(model, x) for every row and member, rows first."""

    def of_member(model: Harmonium, rows: Array) -> Array:
        return jax.vmap(lambda x: function(model, x))(rows)

    return eqx.filter_vmap(of_member, in_axes=(eqx.if_array(0), 1), out_axes=1)(models, rows)


@eqx.filter_jit
def _votes(
    models: Harmonium, slopes: tuple[int, ...], rows: MemberRows
) -> Float[Array, "batch votes"]:
    energies = _per_member(models, rows, lambda model, x: model.free_energy(x))
    chosen = jnp.asarray(slopes)
    steep = take_member(models, chosen)
    lengths = _per_member(steep, rows[:, chosen], lambda model, x: jnp.linalg.norm(model.score(x)))
    return jnp.concatenate([energies, lengths], axis=1)


@eqx.filter_jit
def _hidden_means(models: Harmonium, rows: MemberRows) -> Float[Array, "batch members hidden"]:
    return _per_member(models, rows, lambda model, x: model.hidden_mean(x))
