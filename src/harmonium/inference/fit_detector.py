"""Fitting a detector: spaces, what views say of rows they have not seen, and calibration."""

import logging

import numpy as np

from harmonium.compiling import as_floats
from harmonium.data import Columns, Marginals, Table
from harmonium.errors import Message, message
from harmonium.inference.body_family import compare_families
from harmonium.inference.completion import Completion, on_levels
from harmonium.inference.contamination import with_least_spread, without_suspects
from harmonium.inference.detection import NO_SCORES, Detector
from harmonium.inference.detection_settings import DetectorSettings
from harmonium.inference.hold_out import Split, hold_out
from harmonium.inference.neighbors import MOST_KERNELS, near_votes
from harmonium.inference.rules import Rules
from harmonium.inference.tails import Tail
from harmonium.inference.views import (
    Scale,
    Space,
    Surprise,
    Votes,
    fit_mixtures,
    mixture_votes,
    sizes_for,
)
from harmonium.typing import Points

_log = logging.getLogger(__name__)

# Bodies of the marginals of each space: numbers as they are, where what is far out is far, and
# numbers by their own distribution, where what is rare is far. The second one is left out where
# held-out rows are less likely there by so many nats: it bends what ties the columns.
PLAIN, OWN = "affine", "auto"
MOST_BENT, COMPARED_FOLDS = 0.5, 2
# Rows that mixtures are fitted to, at most.
MOST_ROWS = 10_000
# Parts of the training rows that are scored by mixtures of the others.
N_FOLDS = 3
# Values of a column that an explanation tries.
N_CANDIDATES = 24
# Draws of the missing cells of a row.
N_COPIES = 4
_CALIBRATE = Message(
    "calibrate(X) with normal rows", "detect --calibrate with a file of normal rows"
)


def fit_detector(table: Table, settings: DetectorSettings) -> Detector:
    """Fit views to a table of mostly normal rows; deterministic given `settings.seed`.

    A share of the rows is set aside before anything is fitted, for calibration. Raises
    `InvalidInputError` for too few rows.
    """
    _log.info("fitting the detector")
    rng = np.random.default_rng(settings.seed)
    split = hold_out(table, settings.calibration_fraction, rng, setting="calibration_fraction")
    return fit_split(table, split, settings, rng)


def fit_split(
    table: Table, split: Split, settings: DetectorSettings, rng: np.random.Generator
) -> Detector:
    """Fit views to the training rows of a split of the table, and calibrate on the others."""
    columns = Columns.fit(Table(split.training, table.names, table.fields), call="fit")
    completion = Completion.fit(columns, split.training)
    kept = split.training[rng.permutation(len(split.training))[:MOST_ROWS]]
    marginals = _choose_marginals(columns, kept, rng)
    fitted = [_fit_space(own, completion, kept, settings, rng) for own in marginals]
    spaces, surprises, votes = zip(*fitted, strict=True)
    modeled = kept[:, columns.modeled_index]
    raw = Detector(
        completion=completion,
        spaces=spaces,
        surprise=Surprise(
            np.concatenate([own.quantiles for own in surprises], axis=1),
            np.concatenate([own.scale for own in surprises]),
        ),
        rules=Rules.fit(columns, split.training),
        candidates=np.nanquantile(
            modeled, np.linspace(0.01, 0.99, N_CANDIDATES), axis=0, method="nearest"
        ),
        calibration=NO_SCORES,
        calibration_rows=np.zeros((0, table.n_columns)),
        tail=Tail.fit(NO_SCORES),
        verdict="",
        trusted=False,
    )
    _log.info("calibrating the detector")
    votes = np.concatenate(votes, axis=1)
    further = -raw.together(votes[np.isfinite(votes).all(axis=1)])
    return raw.calibrated_on(split.held_out, _calibration_remarks(settings), further=further)


def _choose_marginals(
    columns: Columns, values: np.ndarray, rng: np.random.Generator
) -> tuple[Marginals, ...]:
    """The marginals of the spaces, by rows that are held out."""
    plain = Marginals.fit(columns, values, PLAIN, atoms=False)
    rivals = {body: Marginals.fit(columns, values, body) for body in (PLAIN, OWN)}
    gaps = compare_families(rivals, values, shape="full", rng=rng, most_folds=COMPARED_FOLDS)
    is_bent = bool(gaps) and gaps[OWN] < gaps[PLAIN] - MOST_BENT
    return (plain,) if is_bent else (plain, rivals[OWN])


def _fit_space(
    marginals: Marginals,
    completion: Completion,
    values: np.ndarray,
    settings: DetectorSettings,
    rng: np.random.Generator,
) -> tuple[Space, Surprise, Votes]:
    """The training rows in coordinates by these marginals, surprises of votes, and votes
    (rows, views) that views cast on rows they have not seen, NaN where there is none.
    """
    n_copies = N_COPIES if np.isnan(marginals.centers(values)).any() else 1
    copies = np.tile(values, (n_copies, 1))
    copies = on_levels(completion.fill(copies, rng), copies, marginals)
    points = marginals.centers(copies)
    is_kept = np.ones(len(copies), dtype=bool)
    if settings.share_abnormal:
        is_kept = without_suspects(points, settings.share_abnormal, settings.seed)
    scale = Scale.of_points(marginals, with_least_spread(points, is_kept, rng))
    rows = scale.forward(copies[is_kept])
    numbers = np.flatnonzero(is_kept) % len(values)
    sizes = sizes_for(len(rows), rows.shape[1])
    # A row is not judged by copies of itself.
    once = np.unique(numbers, return_index=True)[1]
    at = once[rng.permutation(len(once))[:MOST_KERNELS]]
    kernels = rows[at]
    crossed, near = (
        _cross_fitted(rows, numbers, sizes, rng),
        near_votes(as_floats(kernels), kernels),
    )
    surprises = [Surprise.fit(crossed), Surprise.fit(near)]
    surprise = Surprise(
        np.concatenate([own.quantiles for own in surprises], axis=1),
        np.concatenate([own.scale for own in surprises]),
    )
    votes = np.full((len(values), crossed.shape[1] + near.shape[1]), np.nan)
    votes[numbers[at]] = np.concatenate([crossed[at], near], axis=1)
    return Space(scale, fit_mixtures(rows, sizes, rng), kernels), surprise, votes


def _cross_fitted(
    rows: Points, numbers: np.ndarray, sizes: tuple[int, ...], rng: np.random.Generator
) -> Votes:
    """Votes of the rows by mixtures of other rows; `numbers` are equal for copies of one row."""
    folds = rng.permutation(numbers.max() + 1)[numbers] % N_FOLDS
    votes = []
    for fold in range(N_FOLDS):
        mixtures = fit_mixtures(rows[folds != fold], sizes, rng)
        votes.append(mixture_votes(mixtures, rows[folds == fold]))
    # In the order of the rows again.
    return np.concatenate(votes)[np.argsort(np.argsort(folds, kind="stable"))]


def _calibration_remarks(settings: DetectorSettings) -> tuple[str, ...]:
    """What a user has to know of calibration rows that come from the training table."""
    if not settings.share_abnormal:
        return ()
    words = (
        "As stated, a share of {:g} of them is abnormal: p-values are too cautious, and few rows "
        "or none are listed at a false-discovery rate. Try: {}."
    )
    return (message(words, settings.share_abnormal, _CALIBRATE),)
