"""The base of a density of images: mixtures of factor analyzers, their size chosen by held-out
rows.
"""

import logging
from typing import NamedTuple

import numpy as np

from harmonium.data.pixels import Levels, Pixels
from harmonium.learning.base_choice import Candidate
from harmonium.model.factor_mixture import FactorMixture
from harmonium.model.factor_mixture_fit import Analyzers, FactorSettings, fit_analyzers, pooled

_log = logging.getLogger(__name__)

# Components and factors of the candidates, from the least to the largest.
SIZES = ((1, 8), (8, 8), (16, 12), (32, 12), (48, 16))
# Factors of a base whose components are given.
FACTORS = 12
# Rows per component that a candidate needs.
ROWS_PER_COMPONENT = 20
# The base is the mean of so many fits (docs/decisions.md).
N_BAGGED = 3
# Points that few rows are dequantized to.
LEAST_POINTS = 5000
# Points by which the size is found.
MOST_SEARCHED = 5000
WIDE_SHARE, WIDE_SPREAD = 0.02, 1.3
# Draws over which held-out rows are averaged.
HELD_DRAWS = 2


class ImageBase(NamedTuple):
    """A base with the scores of the candidates, nats per held-out row."""

    mixture: FactorMixture
    n_components: int
    candidates: tuple[Candidate, ...]


def fit_image_base(
    pixels: Pixels,
    kept: Levels,
    held: Levels,
    n_components: int | None,
    rng: np.random.Generator,
) -> ImageBase:
    """Fit larger mixtures as long as held-out rows gain, then three of the best size, or of that
    which is given.
    """
    sizes = SIZES if n_components is None else ((n_components, FACTORS),)
    n_copies = max(1, -(-LEAST_POINTS // len(kept)))
    rows = np.concatenate([_draw(pixels, kept, rng) for _ in range(n_copies)]).astype(np.float32)
    few = rows[rng.permutation(len(rows))[:MOST_SEARCHED]]
    unseen = [_draw(pixels, held, rng) for _ in range(HELD_DRAWS)]
    independent = _score("independent pixels", pixels.log_independent(held))
    candidates, best = [independent], None
    for number, n_factors in sizes:
        settings = FactorSettings(number, min(n_factors, pixels.n_visible))
        if n_components is None and number > 1 and number * ROWS_PER_COMPONENT > len(kept):
            break
        fit = fit_analyzers(few, settings, rng)
        scored = _score(
            f"{n_components} x {settings.n_factors}", _scores(fit, pixels, held, unseen)
        )
        _log.info("a base of %s factors: %.2f", scored.name, scored.score)
        candidates.append(scored)
        if best is not None and scored.score <= best[0].score:
            break
        best = (scored, settings)
    assert best is not None
    settings = best[1]
    _log.info("fitting %s bases of the best size", N_BAGGED)
    fits = [fit_analyzers(rows, settings, rng) for _ in range(N_BAGGED)]
    whole = pooled(fits).widened(rows, WIDE_SHARE, WIDE_SPREAD)
    candidates.append(_score(f"mean of {N_BAGGED}", _scores(whole, pixels, held, unseen)))
    return ImageBase(whole.build(), settings.n_components, tuple(candidates))


def _draw(pixels: Pixels, rows: Levels, rng: np.random.Generator) -> np.ndarray:
    return pixels.dequantize(rows, rng.random(rows.shape))


def _scores(fit: Analyzers, pixels: Pixels, rows: Levels, drawn: list[np.ndarray]) -> np.ndarray:
    """Log-probabilities of rows, (rows,), from below."""
    found = [fit.log_density(units) + pixels.log_measure(rows, units) for units in drawn]
    return np.mean(found, axis=0)


def _score(name: str, scores: np.ndarray) -> Candidate:
    error = float(scores.std(ddof=1) / len(scores) ** 0.5) if len(scores) > 1 else float("nan")
    return Candidate(name, float(scores.mean()), error)
