"""Which base a model gets: the Gaussian, or a mixture of what size, by rows that were held out from its fit."""

import time
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from harmonium.learning.selection import beats
from harmonium.model import AbstractBase, GaussianBase, Mixture, MixtureBase
from harmonium.model.mixture_fit import MixtureFit, MixtureSettings, fit_mixture

SIZES = (1, 2, 4, 8, 16, 32, 64)
# Rows of every column that a component needs for a covariance of its own, also where it is shrunk.
LEAST_ROWS_PER_COMPONENT = 8
# Covariances are tied by so many rows per column.
SHRINKAGES = (0.0, 1.0, 4.0, 16.0)
FLOORS = (1e-3, 1e-2, 3e-2)
# Weight and width of the component for what is unlike the rows seen.
WIDE = ((0.002, 2.0), (0.01, 2.0), (0.05, 2.0), (0.05, 1.3))
# Up to so many rows every one is held out once, beyond it a fifth of them.
MOST_CROSS_VALIDATED = 1500
N_FOLDS = 5
# More rows tell the sizes apart no better than the time they take.
MOST_ROWS = 5000
# Sizes in turn without a gain after which no larger one is tried.
PATIENCE = 2
# Fits from different starts whose mean is the base: each errs in its own way (Breiman 1996, "Bagging predictors").
N_BAGGED = 4

Rows = Float[np.ndarray, "rows visible"]


@dataclass(frozen=True)
class Candidate:
    """One candidate with its mean held-out log-likelihood, nats per row, and the standard error of it."""

    name: str
    score: float
    standard_error: float


@dataclass(frozen=True)
class BaseChoice:
    """The settings of the mixture that was chosen, None for the Gaussian N(0, I/2), and all candidates.

    `best` is the best mixture, whether it was chosen or not.
    """

    settings: MixtureSettings | None
    candidates: tuple[Candidate, ...]
    best: MixtureSettings | None = None


def choose_base(
    rows: Rows,
    rng: np.random.Generator,
    *,
    largest: int = SIZES[-1],
    seconds: float | None = None,
) -> BaseChoice:
    """Choose between the Gaussian N(0, I/2) and mixtures of at most `largest` components.

    `rows` are in model units. Sizes grow while held-out rows gain; each is tried with covariances
    that are more or less tied. The mixture has to beat the Gaussian by two standard errors of the
    paired differences. After so many `seconds`, if given, no larger size is begun: the choice then
    depends on the machine.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    search = _Search(rows[rng.permutation(len(rows))[:MOST_ROWS]], rng, deadline)
    search.climb(largest)
    gaussian = _gaussian_log_density(search.rows)[search.held_out]
    candidates = [_candidate("gaussian", gaussian)]
    candidates += [_candidate(name_of(own), scores) for own, scores in search.tried]
    found = search.best
    is_mixture = found is not None and beats(found[1], gaussian)
    best = None if found is None else found[0]
    return BaseChoice(best if is_mixture else None, tuple(candidates), best)


def fit_base(
    rows: Rows, settings: MixtureSettings | None, rng: np.random.Generator
) -> AbstractBase:
    """The base of these settings for rows in model units.

    A mixture is the mean of several fits from different starts.
    """
    if settings is None:
        return GaussianBase(rows.shape[1])
    n_fits = N_BAGGED if settings.n_components > 1 else 1
    fits = [fit_mixture(rows, settings, rng, most_passes=60) for _ in range(n_fits)]
    mixture = Mixture.from_moments(
        np.concatenate([fit.weights for fit in fits]) / n_fits,
        np.concatenate([fit.means for fit in fits]),
        np.concatenate([fit.covariances for fit in fits]),
    )
    return MixtureBase(mixture)


def name_of(settings: MixtureSettings) -> str:
    """A mixture in words."""
    return (
        f"mixture of {settings.n_components}, {settings.shrinkage:g} rows tied, "
        f"floor {settings.floor:g}, wide {settings.wide_share:g} x {settings.wide_spread:g}"
    )


class _Search:
    """Fits to folds, and what they say of the rows that were held out."""

    def __init__(self, rows: Rows, rng: np.random.Generator, deadline: float | None):
        self.rows, self.rng, self.deadline = rows, rng, deadline
        n_rows = len(rows)
        folds = np.array_split(np.arange(n_rows), min(N_FOLDS, n_rows))
        self.folds = folds if n_rows <= MOST_CROSS_VALIDATED else folds[:1]
        self.held_out = np.concatenate(self.folds)
        self.tried: list[tuple[MixtureSettings, Float[np.ndarray, rows]]] = []
        self.fits: dict[MixtureSettings, list[MixtureFit]] = {}

    @property
    def best(self) -> tuple[MixtureSettings, Float[np.ndarray, "rows"]] | None:
        """The settings with the highest mean score, and the scores."""
        return max(self.tried, key=lambda found: found[1].mean(), default=None)

    def climb(self, largest: int) -> None:
        """Try sizes in turn, each with shrinkages next to the best one so far; then floors, then widths."""
        failures, place = 0, 1
        for size in [size for size in SIZES if size <= largest]:
            if (size > 1 and size * LEAST_ROWS_PER_COMPONENT > len(self.rows)) or self._is_late:
                break
            before = -np.inf if self.best is None else self.best[1].mean()
            place = self._best_shrinkage(size, place)
            improved = self.best is not None and self.best[1].mean() > before
            failures = 0 if improved else failures + 1
            if failures == PATIENCE:
                break
        for floor in FLOORS[1:]:
            best = None if self._is_late else self.best
            if best is None or self._try(replace(best[0], floor=floor)) < best[1].mean():
                break
        self._choose_width()

    @property
    def _is_late(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline

    def _best_shrinkage(self, size: int, place: int) -> int:
        """The place of the best shrinkage for a size, searched from that of the size before."""
        if size == 1:
            self._try(MixtureSettings(1))
            return place

        def score(place: int) -> float:
            shrinkage = SHRINKAGES[place] * self.rows.shape[1]
            return self._try(MixtureSettings(size, shrinkage=shrinkage))

        best = score(place)
        if place > 0 and score(place - 1) > best:
            return place - 1
        if place + 1 < len(SHRINKAGES) and score(place + 1) > best:
            return place + 1
        return place

    def _choose_width(self) -> None:
        """Try other wide components for the best settings: the same fits, scored anew."""
        if (best := self.best) is None:
            return
        fits = self.fits[best[0]]
        for share, spread in WIDE:
            settings = replace(best[0], wide_share=share, wide_spread=spread)
            scores = [
                _narrow(fit).widened(share, spread).log_density(self.rows[fold])
                for fit, fold in zip(fits, self.folds, strict=True)
            ]
            self.tried.append((settings, np.concatenate(scores)))

    def _try(self, settings: MixtureSettings) -> float:
        fits = [self._fit(settings, fold) for fold in self.folds]
        scores = [
            fit.log_density(self.rows[fold]) for fit, fold in zip(fits, self.folds, strict=True)
        ]
        self.fits[settings] = fits
        self.tried.append((settings, np.concatenate(scores)))
        return float(self.tried[-1][1].mean())

    def _fit(self, settings: MixtureSettings, fold: np.ndarray) -> MixtureFit:
        training = np.delete(self.rows, fold, axis=0)
        return fit_mixture(training, settings, self.rng, most_passes=40, tolerance=5e-3)


def _narrow(fit: MixtureFit) -> MixtureFit:
    """Without the wide component, which is the last one."""
    weights = fit.weights[:-1]
    return MixtureFit(weights / weights.sum(), fit.means[:-1], fit.covariances[:-1])


def _gaussian_log_density(rows: Rows) -> Float[np.ndarray, "rows"]:
    n_visible = rows.shape[1]
    unit = MixtureFit(np.ones(1), np.zeros((1, n_visible)), np.eye(n_visible)[None] / 2)
    return unit.log_density(rows)


def _candidate(name: str, scores: Float[np.ndarray, "rows"]) -> Candidate:
    return Candidate(name, float(scores.mean()), float(scores.std(ddof=1)) / len(scores) ** 0.5)
