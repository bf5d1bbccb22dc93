"""Which base a model gets: the Gaussian, or a mixture of what size, by rows that were held out from its fit."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from harmonium.model.mixture import Mixture
from harmonium.model.mixture_fit import MixtureFit, MixtureSettings, fit_mixture

SIZES = (1, 2, 4, 8, 16, 32, 64)
# Rows of every column that a component needs for a covariance of its own, also where it is shrunk.
LEAST_ROWS_PER_COMPONENT = 8
# Covariances are tied by so many rows per column.
SHRINKAGES = (0.0, 1.0, 4.0, 16.0)
FLOORS = (1e-3, 1e-2)
# Up to so many rows every one is held out once, beyond it a fifth of them.
MOST_CROSS_VALIDATED = 1500
N_FOLDS = 5
# More rows tell the sizes apart no better than the time they take.
MOST_ROWS = 8000
# Sizes in turn without a gain after which no larger one is tried.
PATIENCE = 2
# Fits from different starts whose mean is the base: each errs in its own way (Breiman 1996, "Bagging predictors").
N_BAGGED = 4
# Standard errors of the paired differences by which a mixture has to beat the Gaussian.
MARGIN = 2.0

Rows = Float[np.ndarray, "rows visible"]


@dataclass(frozen=True)
class Candidate:
    """One candidate with its mean held-out log-likelihood, nats per row, and the standard error of it."""

    name: str
    score: float
    standard_error: float


@dataclass(frozen=True)
class BaseChoice:
    """The mixture that was chosen, None for the Gaussian N(0, I/2), its settings, and all candidates."""

    mixture: Mixture | None
    settings: MixtureSettings | None
    candidates: tuple[Candidate, ...]


def choose_base(rows: Rows, rng: np.random.Generator, *, largest: int = SIZES[-1]) -> BaseChoice:
    """Choose between the Gaussian N(0, I/2) and mixtures of at most `largest` components for rows in model units.

    Sizes grow while held-out rows gain; each is tried with covariances that are more or less tied. The mixture has to
    beat the Gaussian by two standard errors of the paired differences, and is then fitted anew to all rows.
    """
    search = _Search(rows[rng.permutation(len(rows))[:MOST_ROWS]], rng)
    search.climb(largest)
    gaussian = _gaussian_log_density(search.rows)[search.held_out]
    found = search.best
    candidates = [_candidate("gaussian", gaussian)]
    candidates += [_candidate(name_of(own), scores) for own, scores in search.tried]
    if found is None or not _beats(found[1], gaussian):
        return BaseChoice(None, None, tuple(candidates))
    return BaseChoice(bagged_mixture(rows, found[0], rng), found[0], tuple(candidates))


def bagged_mixture(rows: Rows, settings: MixtureSettings, rng: np.random.Generator) -> Mixture:
    """The mean of several fits to all rows from different starts, as one mixture."""
    n_fits = N_BAGGED if settings.n_components > 1 else 1
    fits = [fit_mixture(rows, settings, rng, most_passes=60) for _ in range(n_fits)]
    return Mixture.from_moments(
        np.concatenate([fit.weights for fit in fits]) / n_fits,
        np.concatenate([fit.means for fit in fits]),
        np.concatenate([fit.covariances for fit in fits]),
    )


def name_of(settings: MixtureSettings) -> str:
    """A mixture in words."""
    return (
        f"mixture of {settings.n_components}, {settings.shrinkage:g} rows tied, "
        f"floor {settings.floor:g}"
    )


class _Search:
    """Fits to folds, and what they say of the rows that were held out."""

    def __init__(self, rows: Rows, rng: np.random.Generator):
        self.rows, self.rng = rows, rng
        n_rows = len(rows)
        folds = np.array_split(np.arange(n_rows), min(N_FOLDS, n_rows))
        self.folds = folds if n_rows <= MOST_CROSS_VALIDATED else folds[:1]
        self.held_out = np.concatenate(self.folds)
        self.tried: list[tuple[MixtureSettings, Float[np.ndarray, "rows"]]] = []

    @property
    def best(self) -> tuple[MixtureSettings, Float[np.ndarray, "rows"]] | None:
        """The settings with the highest mean score, and the scores."""
        return max(self.tried, key=lambda found: found[1].mean(), default=None)

    def climb(self, largest: int) -> None:
        """Try sizes in turn, each with the shrinkages near to that of the best one so far."""
        n_visible = self.rows.shape[1]
        failures, place = 0, 1
        for size in [size for size in SIZES if size <= largest]:
            if size > 1 and size * LEAST_ROWS_PER_COMPONENT > len(self.rows):
                return
            before = -np.inf if self.best is None else self.best[1].mean()
            near = range(max(place - 1, 0), min(place + 2, len(SHRINKAGES)))
            tried = {}
            for i in [1] if size == 1 else near:
                tried[i] = self._try(MixtureSettings(size, FLOORS[0], SHRINKAGES[i] * n_visible))
            place = max(tried, key=lambda i: tried[i])
            self._try(MixtureSettings(size, FLOORS[1], SHRINKAGES[place] * n_visible))
            improved = self.best is not None and self.best[1].mean() > before
            failures = 0 if improved else failures + 1
            if failures == PATIENCE:
                return

    def _try(self, settings: MixtureSettings) -> float:
        scores = np.concatenate([self._score(settings, fold) for fold in self.folds])
        self.tried.append((settings, scores))
        return float(scores.mean())

    def _score(self, settings: MixtureSettings, fold: np.ndarray) -> Float[np.ndarray, "rows"]:
        training = np.delete(self.rows, fold, axis=0)
        fit = fit_mixture(training, settings, self.rng, most_passes=40, tolerance=5e-3)
        return fit.log_density(self.rows[fold])


def _gaussian_log_density(rows: Rows) -> Float[np.ndarray, "rows"]:
    n_visible = rows.shape[1]
    unit = MixtureFit(np.ones(1), np.zeros((1, n_visible)), np.eye(n_visible)[None] / 2)
    return unit.log_density(rows)


def _beats(scores: Float[np.ndarray, "rows"], simpler: Float[np.ndarray, "rows"]) -> bool:
    """Whether the gain exceeds two standard errors of the paired differences."""
    gain = scores - simpler
    return bool(gain.mean() > MARGIN * gain.std(ddof=1) / len(gain) ** 0.5)


def _candidate(name: str, scores: Float[np.ndarray, "rows"]) -> Candidate:
    return Candidate(name, float(scores.mean()), float(scores.std(ddof=1)) / len(scores) ** 0.5)
