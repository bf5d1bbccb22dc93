"""Which base a model gets: the Gaussian, or a mixture of what size, by rows that were held out."""

import time
from dataclasses import dataclass, replace

import numpy as np

from harmonium.learning.base_folds import Rescale, hold_out
from harmonium.learning.selection import beats
from harmonium.model import AbstractBase, GaussianBase, Mixture, MixtureBase
from harmonium.model.mixture_fit import Bag, MixtureSettings, fit_bag
from harmonium.model.mixture_rows import completion_work
from harmonium.typing import Rows, Scores

SIZES = (1, 2, 4, 8, 16, 32, 64, 96)
# Rows of every column that a component needs for a covariance of its own, also where it is shrunk.
LEAST_ROWS_PER_COMPONENT = 8
# Covariances are tied by so many rows per column. The search begins with the second of these, or
# with the last where there are fewer rows per column than this: loose covariances lose the
# clusters.
SHRINKAGES, LOOSE_ROWS_PER_COLUMN = (0.0, 1.0, 4.0, 16.0, np.inf), 40
# Floors of covariances from the first one on, upwards and downwards: narrow components follow rows
# near planes, and where cells repeat they follow these.
WIDER_FLOORS, NARROWER_FLOORS = (1e-2, 3e-2), (3e-4, 1e-4, 3e-5)
# With more columns, covariances of these parts of the full rank are tried, too.
MOST_FULL_COLUMNS, RANK_PARTS = 30, (8, 3)
# Weight and width of the component for what is unlike the rows seen.
WIDE = ((0.002, 2.0), (0.01, 2.0), (0.05, 2.0), (0.05, 1.3))
# Up to so many rows, and cells, every row is held out once, beyond it a fifth of them.
MOST_CROSS_VALIDATED, MOST_CELLS_CROSS_VALIDATED = 1500, 40_000
N_FOLDS = 5
# Floating-point operations of one pass over all folds: a few tenths of a second.
MOST_WORK = 2e10
# More rows compare the sizes too little better for the time that they take.
MOST_ROWS = 10_000
# Sizes at which both ways to deal rows to first centers are compared.
COMPARED = (2, 8)
# Sizes in turn without a gain after which no larger one is tried.
PATIENCE = 2
# Fits from different starts whose mean is the base: each errs in its own way (Breiman 1996,
# "Bagging predictors").
N_BAGGED = 6
# Fits of the bag by which sizes are judged: the mean of a bag wants looser covariances than one
# fit.
N_TRIED = 3


@dataclass(frozen=True)
class Candidate:
    """One candidate with its mean held-out log-likelihood and its standard error, nats per row."""

    name: str
    score: float
    standard_error: float


@dataclass(frozen=True)
class BaseChoice:
    """The settings of the mixture chosen, None for the Gaussian N(0, I/2), and all candidates.

    `best` is the best mixture, whether it was chosen or not; `is_apart` says that its fits start
    from rows that are dealt in the other coordinates.
    """

    settings: MixtureSettings | None
    candidates: tuple[Candidate, ...]
    best: MixtureSettings | None = None
    is_apart: bool = False


def choose_base(
    rows: Rows,
    rng: np.random.Generator,
    *,
    rescale: Rescale | None = None,
    apart: Rows | None = None,
    largest: int = SIZES[-1],
    most_folds: int = N_FOLDS,
    seconds: float | None = None,
) -> BaseChoice:
    """Choose between the Gaussian N(0, I/2) and mixtures of at most `largest` components.

    `rows` are in model units, NaN where a cell is missing. Where these units come from the rows
    themselves, `rescale` finds them anew from the rows that are not held out: with many columns,
    rows look small in units that they had a part in. `apart` are the same rows in coordinates where
    clusters may lie further apart (`fit_mixture`).
    Of the five parts of few rows the first `most_folds` are held out, one after the other. Sizes
    grow while held-out rows gain, and while they have rows and time enough; each is tried with
    covariances that are more or less tied. The mixture has to beat the Gaussian by two
    standard errors of the paired differences. A table too small to hold rows out gets the Gaussian.
    After so many `seconds`, if given, nothing further is fitted: the choice then depends on the
    machine.
    """
    deadline = np.inf if seconds is None else time.monotonic() + seconds
    search = _Search(rows, rescale, apart, rng, most_folds, deadline)
    gaussian = search.gaussian
    candidates = [_candidate("gaussian", gaussian)]
    if not search.is_possible:
        return BaseChoice(None, tuple(candidates))
    search.climb(largest)
    candidates += [_candidate(name_of(own.settings), own.scores) for own in search.trials]
    best = search.best
    chosen = best.settings if beats(best.scores, gaussian) else None
    return BaseChoice(chosen, tuple(candidates), best.settings, search.is_apart)


def fit_base(
    rows: Rows,
    settings: MixtureSettings | None,
    rng: np.random.Generator,
    *,
    apart: Rows | None = None,
    n_fits: int = N_BAGGED,
) -> AbstractBase:
    """The base of these settings for rows in model units, NaN where a cell is missing.

    A mixture is the mean of `n_fits` fits from different starts, dealt among the rows `apart` if
    given.
    """
    if settings is None:
        return GaussianBase(rows.shape[1])
    n_fits = n_fits if settings.n_components > 1 else 1
    fits = fit_bag(rows, settings, rng, n_fits, most_passes=60, apart=apart)
    mixture = Mixture.from_moments(
        np.concatenate([fit.weights for fit in fits]) / n_fits,
        np.concatenate([fit.means for fit in fits]),
        np.concatenate([fit.covariances for fit in fits]),
    )
    return MixtureBase(mixture)


def name_of(settings: MixtureSettings) -> str:
    """A mixture in words."""
    rank = "" if settings.rank is None else f"rank {settings.rank}, "
    return (
        f"mixture of {settings.n_components}, {settings.shrinkage:g} rows tied, {rank}"
        f"floor {settings.floor:g}, wide {settings.wide_share:g} x {settings.wide_spread:g}"
    )


@dataclass(frozen=True)
class _Trial:
    """Settings, log-densities of the held-out rows, and the bag of fits to the rest of every fold.

    The fits are without their wide component.
    """

    settings: MixtureSettings
    scores: Scores
    bags: tuple[Bag, ...]

    @property
    def mean(self) -> float:
        return float(self.scores.mean())


class _Search:
    """Fits to folds, and what they say of the rows that were held out."""

    def __init__(
        self,
        rows: Rows,
        rescale: Rescale | None,
        apart: Rows | None,
        rng: np.random.Generator,
        most_folds: int,
        deadline: float,
    ):
        self.rng, self.deadline = rng, deadline
        taken = rng.permutation(len(rows))[:MOST_ROWS]
        self.rows = rows[taken]
        parts = np.array_split(np.arange(len(taken)), min(N_FOLDS, len(taken)))
        work = _work(self.rows, 1, len(parts))
        is_small = self.rows.size <= MOST_CELLS_CROSS_VALIDATED and work <= MOST_WORK
        is_small &= len(taken) <= MOST_CROSS_VALIDATED
        parts = parts[: most_folds if is_small else 1]
        seen = ~np.isnan(self.rows)
        # Every column needs two cells to fit to, whatever is held out.
        enough = all(np.all(np.delete(seen, part, axis=0).sum(axis=0) >= 2) for part in parts)
        self.is_possible = enough
        self.folds = [
            hold_out(rows, taken, part, rescale if enough else None, apart) for part in parts
        ]
        self.trials: list[_Trial] = []
        self.is_apart, self.has_apart = False, apart is not None

    @property
    def gaussian(self) -> Scores:
        """Log-densities of the held-out rows under N(0, I/2) in the units of their fold."""
        return np.concatenate([own.gaussian for own in self.folds])

    @property
    def best(self) -> _Trial:
        """The settings with the highest mean score, the first of them where several have it."""
        return max(self.trials, key=lambda trial: trial.mean)

    @property
    def _is_late(self) -> bool:
        return time.monotonic() > self.deadline

    def climb(self, largest: int) -> None:
        """Try sizes in turn, each with shrinkages next to the best so far; then refine the best."""
        self._try(MixtureSettings(1))
        # One covariance is drawn to a multiple of the identity.
        self._try(MixtureSettings(1, shrinkage=np.inf))
        n_rows, n_visible = self.rows.shape
        is_loose = n_rows >= LOOSE_ROWS_PER_COLUMN * n_visible
        failures, place = 0, 1 if is_loose else len(SHRINKAGES) - 1
        loosest = 0
        for size in self._sizes(largest):
            if failures == PATIENCE or self._is_late:
                break
            before = self.best.mean
            place, loosest = self._best_shrinkage(size, place, loosest)
            if size in COMPARED and self.has_apart:
                self._choose_start(size, place)
            failures = 0 if self.best.mean > before else failures + 1
        self._choose_rank()
        self._choose_floor()
        self._choose_width()

    def _sizes(self, largest: int) -> list[int]:
        """Sizes with enough rows per component, and not too much work.

        As if every row were held out, however many are: fits to all rows, draws and scores take
        time in proportion to the size, too.
        """
        most = min(largest, len(self.rows) // LEAST_ROWS_PER_COMPONENT)
        return [
            size
            for size in SIZES
            if 1 < size <= most and _work(self.rows, size, N_FOLDS) <= MOST_WORK
        ]

    def _best_shrinkage(self, size: int, place: int, loosest: int) -> tuple[int, int]:
        """The place of the best shrinkage for a size, searched from that of the size before.

        Beside it the loosest one for larger sizes: what was too loose here is too loose for them.
        """

        def attempt(place: int, start: _Trial | None = None) -> _Trial:
            shrinkage = SHRINKAGES[place] * self.rows.shape[1]
            return self._try(MixtureSettings(size, shrinkage=shrinkage), start)

        best = attempt(place)
        for step in (-1, 1):
            begun = place
            while loosest <= place + step < len(SHRINKAGES):
                tried = attempt(place + step, best)
                if tried.mean <= best.mean:
                    loosest = place if step < 0 else loosest
                    break
                best, place = tried, place + step
            if place != begun:
                break
        return place, loosest

    def _choose_start(self, size: int, place: int) -> None:
        """Deal rows in the other coordinates from now on if that is better at this size."""
        known = [own.mean for own in self.trials if own.settings.n_components == size]
        self.is_apart = not self.is_apart
        shrinkage = SHRINKAGES[place] * self.rows.shape[1]
        tried = self._try(MixtureSettings(size, shrinkage=shrinkage))
        if tried.mean <= max(known):
            self.is_apart = not self.is_apart

    def _choose_rank(self) -> None:
        """Try low ranks for the best settings where there are many columns."""
        best, n_visible = self.best, self.rows.shape[1]
        if n_visible > MOST_FULL_COLUMNS:
            for rank in (n_visible // part for part in RANK_PARTS):
                if not self._is_late:
                    self._try(replace(best.settings, rank=rank), best)

    def _choose_floor(self) -> None:
        """Try floors for the best settings while they gain, those of one side or the other."""
        first = self.best.settings.floor
        for floors in (WIDER_FLOORS, NARROWER_FLOORS):
            if self.best.settings.floor != first:
                break
            for floor in floors:
                best = self.best
                tried = None if self._is_late else replace(best.settings, floor=floor)
                if tried is None or self._try(tried, best).mean < best.mean:
                    break

    def _choose_width(self) -> None:
        """Try other wide components for the best settings: the same fits, scored anew."""
        best = self.best
        for share, spread in WIDE:
            settings = replace(best.settings, wide_share=share, wide_spread=spread)
            self._score(settings, best.bags)

    def _try(self, settings: MixtureSettings, start: _Trial | None = None) -> _Trial:
        """Fit a bag to every fold, from where another trial ended if one is given."""
        narrow = replace(settings, wide_share=0.0)
        n_fits = 1 if settings.n_components == 1 else N_TRIED
        bags = [
            fit_bag(
                fold.training,
                narrow,
                self.rng,
                n_fits,
                most_passes=40,
                tolerance=3e-3,
                starts=None if start is None else start.bags[number],
                apart=fold.apart if self.is_apart else None,
            )
            for number, fold in enumerate(self.folds)
        ]
        return self._score(settings, tuple(bags))

    def _score(self, settings: MixtureSettings, bags: tuple[Bag, ...]) -> _Trial:
        scores = []
        for bag, fold in zip(bags, self.folds, strict=True):
            widened = [fit.widened(settings.wide_share, settings.wide_spread) for fit in bag]
            own = np.stack([fit.log_density(fold.held_out) for fit in widened])
            scores.append(np.logaddexp.reduce(own) - np.log(len(own)) + fold.log_volume)
        self.trials.append(_Trial(settings, np.concatenate(scores), bags))
        return self.trials[-1]


def _work(rows: Rows, n_components: int, n_folds: int) -> float:
    """Floating-point operations of a pass over all folds, those of small steps counted more."""
    n_rows, n_visible = rows.shape
    products = (4.0 * n_rows + 20.0 * n_visible) * n_visible**2
    return N_TRIED * n_folds * n_components * (products + 20 * completion_work(rows).sum())


def _candidate(name: str, scores: Scores) -> Candidate:
    spread = float(scores.std(ddof=1)) if len(scores) > 1 else np.inf
    return Candidate(name, float(scores.mean()), spread / len(scores) ** 0.5)
