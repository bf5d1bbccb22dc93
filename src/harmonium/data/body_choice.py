"""Choosing the body of every column of numbers: affine, asinh, or a mixture of so many components.

All candidates are compared by the log-density of the cells in data units over all training rows, by
the Bayesian information criterion: each parameter costs log(rows)/2. A choice by a few held-out
rows costs more than it finds.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from harmonium.data.atoms import Values
from harmonium.data.bodies import Body
from harmonium.data.cell_shapes import CellShape
from harmonium.data.intervals import Bounds, log_interval_mass
from harmonium.data.marginal import Marginal
from harmonium.data.mixture_fit import Weighted, fit_mixtures, weighted_points
from harmonium.data.own_bodies import OwnBody, fit_own

BODIES = ("auto", "affine", "asinh", "mixture")
# Where asinh may set in, in robust standard deviations.
_TAIL_GRID = (0.1, 0.3, 1.0, 3.0)
N_COMPONENTS = (2, 3, 4, 6, 8, 12)
ROWS_PER_COMPONENT = 10
# Larger mixtures are not tried once so many sizes in turn were no better.
_PATIENCE = 2
# Parameters as the criterion counts them. Where an affine and an asinh body fit equally well, the
# one with long tails is chosen: it loses little on new rows near the others, and far less on those
# far out. So it counts as one parameter less than an affine body has.
_AFFINE_PARAMETERS, _ASINH_PARAMETERS = 2, 1
# No component is narrower than this share of the standard deviation, or half a step of the cells.
LEAST_SD = 0.01
# One row more than those seen may be unlike them: it is given to a component of this width.
_WIDE = 2.0
# More distinct values than this say no more of a body than the time they take.
MOST_VALUES = 5000
# The standard deviation of a Gaussian over its median absolute deviation.
_SD_PER_MAD = 1.4826022185056018


@dataclass(eq=False)
class Numbers:
    """A column of numbers of which a body is to be chosen.

    `values` are its distinct, sorted cells, which occur `counts` times. `is_atom` says
    which of them are atoms, `shape` where cells lie. `best` is the best marginal found so far, and
    `scores` holds the score of every candidate in nats per row.
    """

    values: Values
    counts: Values
    is_atom: np.ndarray
    shape: CellShape
    best: Marginal | None = None
    scores: dict[str, float] = field(default_factory=dict)

    @property
    def n_rows(self) -> float:
        """How many cells were observed."""
        return float(self.counts.sum())

    @property
    def body_values(self) -> Values:
        """The distinct values that the body is fitted to."""
        return self.values[~self.is_atom]

    @property
    def body_counts(self) -> Values:
        """How often these occur."""
        return self.counts[~self.is_atom]

    def consider(self, name: str, body: Body | OwnBody, n_parameters: int) -> bool:
        """Score a candidate; keep it if it is the best so far, and say so."""
        price = n_parameters * np.log(self.n_rows) / 2
        score = float(self.log_likelihood(body) - price) / self.n_rows
        better = score > max(self.scores.values(), default=-np.inf)
        self.scores[name] = score
        if better:
            self.best = self.marginal(body)
        return better

    def marginal(self, body: Body | OwnBody) -> Marginal:
        """The marginal of this body and the atoms.

        In a lattice an atom gets what the body lacks of its share of the rows. An atom of which the
        body explains all is left out.
        """
        atoms, masses = self.values[self.is_atom], np.zeros(int(self.is_atom.sum()))
        shares = self.counts[self.is_atom] / self.n_rows
        if len(atoms) and self.shape.step > 0:
            low, high = (body.to_normal(end) for end in self.shape.edges(atoms))
            own = np.exp(log_interval_mass(Bounds(low[:, None], high[:, None]))[:, 0])
            while len(atoms):
                rest = (1 - shares.sum()) / (1 - own.sum())
                masses = shares - rest * own
                if np.all(masses > 0):
                    break
                atoms, shares, own = (part[masses > 0] for part in (atoms, shares, own))
        else:
            masses = shares
        return Marginal(body, atoms, masses[: len(atoms)], self.shape)

    def log_likelihood(self, body: Body | OwnBody) -> float:
        """The log-likelihood of all observed cells with this body, in nats and data units."""
        marginal = self.marginal(body)
        if self.shape.step > 0:
            return float(np.sum(self.counts * marginal.log_density(self.values)))
        smooth = np.sum(self.body_counts * body.log_density(self.body_values))
        smooth += self.body_counts.sum() * np.log(marginal.rest)
        return float(smooth + np.sum(self.counts[self.is_atom] * np.log(marginal.masses)))


def numbers_of(values: Values, counts: Values, is_atom: np.ndarray, shape: CellShape) -> Numbers:
    """A column with these distinct, sorted values, of which some stand for very many others."""
    size = -(-len(values) // MOST_VALUES)
    # Atoms, and the values that follow them, begin a group; so do the ends.
    starts = np.arange(len(values)) % size == 0
    starts |= is_atom | np.append(False, is_atom[:-1])
    starts[[0, 1, -1]] = True
    first = np.flatnonzero(starts)
    last = np.append(first[1:], len(values)) - 1
    kept = (first + last) // 2
    return Numbers(values[kept], np.add.reduceat(counts, first), is_atom[kept], shape)


def choose_own_bodies(columns: list[Numbers], own: type) -> None:
    """Set `best` and `scores` of every column: its own body where it has one, else as "auto"."""
    left = []
    for column in columns:
        fitted = fit_own(own, column.body_values, column.body_counts)
        if fitted is None:
            left.append(column)
        else:
            column.consider(fitted.kind, fitted, fitted.n_parameters)
    choose_bodies(left, "auto")


def choose_bodies(columns: list[Numbers], body: str) -> None:
    """Set `best` and `scores` of every column; `body`, of `BODIES`, says which are tried."""
    frames: list[tuple[Numbers, Body]] = []
    for column in columns:
        frames += [(column, frame) for frame in _try_plain_bodies(column, body)]
    _try_mixtures(frames)


def refit_bodies(columns: list[Numbers], like: list[Body]) -> None:
    """Set `best` of every column to a body with the tail and the size of another one.

    For rows that are a part of those by which these were chosen: the choice takes most of the time.
    """
    frames = [
        affine_body(column.body_values, column.body_counts)
        if body.tail == 0
        else asinh_body(column.body_values, column.body_counts, body.tail)
        for column, body in zip(columns, like, strict=True)
    ]
    by_size: dict[int, list[int]] = {}
    for i, body in enumerate(like):
        # The last component of a mixture is the wide one.
        by_size.setdefault(min(body.n_components - 1, _most_components(columns[i])), []).append(i)
    for n_components, own in by_size.items():
        chosen = [(columns[i], frames[i]) for i in own]
        bodies = [frame for _, frame in chosen]
        if n_components > 0:
            bodies = _mixture_bodies(chosen, *_as_points(chosen), n_components)
        for (column, _), body in zip(chosen, bodies, strict=True):
            column.best = column.marginal(body)


def _try_plain_bodies(column: Numbers, body: str) -> list[Body]:
    """Try the bodies of one component; those in whose coordinates mixtures are to be tried."""
    affine = affine_body(column.body_values, column.body_counts)
    if body == "affine" or (body == "mixture" and _most_components(column) < N_COMPONENTS[0]):
        column.consider("affine", affine, _AFFINE_PARAMETERS)
        return []
    asinh = _best_asinh(column)
    frames = [affine]
    if column.log_likelihood(asinh) > column.log_likelihood(affine):
        frames.append(asinh)
    if body == "mixture":
        return frames
    if body == "auto":
        column.consider("affine", affine, _AFFINE_PARAMETERS)
    column.consider("asinh", asinh, _ASINH_PARAMETERS)
    return frames if body == "auto" else []


def _best_asinh(column: Numbers) -> Body:
    """The asinh body of the likeliest tail."""
    bodies = [asinh_body(column.body_values, column.body_counts, tail) for tail in _TAIL_GRID]
    return bodies[int(np.argmax([column.log_likelihood(own) for own in bodies]))]


def affine_body(values: Values, counts: Values) -> Body:
    """The Gaussian fit of values that occur so often."""
    location, scale = weighted_moments(values, counts)
    return Body(location, scale, 0.0, np.ones(1), np.zeros(1), np.ones(1))


def asinh_body(values: Values, counts: Values, tail: float) -> Body:
    """The Gaussian fit of the values after tail·asinh((x - median)/(robust scale·tail))."""
    location = _weighted_median(values, counts)
    robust = _SD_PER_MAD * _weighted_median(np.abs(values - location), counts)
    scale = robust if robust > 0 else weighted_moments(values, counts)[1]
    v = tail * np.arcsinh((values - location) / scale / tail)
    mean, sd = weighted_moments(v, counts)
    return Body(location, scale, tail, np.ones(1), np.array([mean]), np.array([sd]))


def weighted_moments(values: Values, counts: Values) -> tuple[float, float]:
    """Mean and maximum-likelihood standard deviation, safe from underflow."""
    share = counts / counts.sum()
    mean = float(np.sum(share * values))
    centered = values - mean
    peak = float(np.abs(centered).max())
    return mean, peak * float(np.sqrt(np.sum(share * (centered / peak) ** 2)))


def _weighted_median(values: Values, counts: Values) -> float:
    """The middle of the cells, of an even number of them the mean of two."""
    order = np.argsort(values, kind="stable")
    passed, total = np.cumsum(counts[order]), counts.sum()
    ends = np.searchsorted(passed, [total / 2, np.nextafter(total / 2, np.inf)], side="left")
    return float(values[order][ends.clip(max=len(values) - 1)].mean())


def _try_mixtures(frames: list[tuple[Numbers, Body]]) -> None:
    """Fit mixtures of more and more components to columns in the coordinates of their bodies."""
    if not frames:
        return
    data, least = _as_points(frames)
    failures = np.zeros(len(frames), dtype=int)
    for n_components in N_COMPONENTS:
        enough = [_most_components(column) >= n_components for column, _ in frames]
        active = np.flatnonzero((failures < _PATIENCE) & enough)
        if not len(active):
            return
        own = Weighted(*(part[active] for part in data))
        tried = [frames[i] for i in active]
        bodies = _mixture_bodies(tried, own, least[active], n_components)
        for i, (column, frame), body in zip(active, tried, bodies, strict=True):
            name = f"mixture {n_components}" + (" of asinh" if frame.tail > 0 else "")
            bend = _ASINH_PARAMETERS - _AFFINE_PARAMETERS if frame.tail > 0 else 0
            better = column.consider(name, body, 3 * n_components - 1 + bend)
            failures[i] = 0 if better else failures[i] + 1


def _as_points(
    frames: list[tuple[Numbers, Body]],
) -> tuple[Weighted, Float[np.ndarray, "columns"]]:
    """Columns in the coordinates of their bodies, and the smallest widths of components there."""
    points = [(body.to_normal(column.body_values), column.body_counts) for column, body in frames]
    return weighted_points(points), np.array([_least_sd(column, body) for column, body in frames])


def _mixture_bodies(
    frames: list[tuple[Numbers, Body]], data: Weighted, least: np.ndarray, n_components: int
) -> list[Body]:
    """The bodies of mixtures of so many components."""
    fitted = fit_mixtures(data, n_components, least)
    return [
        _mixture_body(frame, *parts, n_rows=column.n_rows)
        for (column, frame), *parts in zip(frames, *fitted, strict=True)
    ]


def _most_components(column: Numbers) -> int:
    return int(column.body_counts.sum() // ROWS_PER_COMPONENT)


def _least_sd(column: Numbers, frame: Body) -> float:
    """The smallest width of a component, in standard deviations of the frame."""
    shape = column.shape
    cell = shape.step if shape.step > 0 else 10.0**-shape.decimals if shape.decimals >= 0 else 0.0
    return min(max(LEAST_SD, cell / 2 / frame.scale / frame.sds[0]), 1.0)


def _mixture_body(
    frame: Body,
    weights: Float[np.ndarray, "components"],
    means: Float[np.ndarray, "components"],
    sds: Float[np.ndarray, "components"],
    *,
    n_rows: float,
) -> Body:
    """The body of a mixture in the coordinate of a frame.

    It gets a wide component for rows that are unlike those seen.
    """
    unlike = 1 / (n_rows + 2)
    weights = np.append((1 - unlike) * weights, unlike)
    means, sds = np.append(means, 0.0), np.append(sds, _WIDE)
    mean, sd = frame.means[0], frame.sds[0]
    return Body(frame.location, frame.scale, frame.tail, weights, mean + sd * means, sd * sds)
