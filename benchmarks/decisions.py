"""Decisions with guarantees: what holds, and what lists look like.

`python -m benchmarks.decisions --protocol validity [--repetitions 500]`

    validity      simulated scores: p-values of every kind, lists, certificates
    patterns      one fitted detector, fresh rows with holes
    shift         one fitted detector, fresh rows of another mix, fitted ratios
    refits        a fit to a small table for every repetition: cross-calibration, and the scores
                  that a fit has of its own training rows
    stability     one table of OddBench over 20 seeds: how alike the lists are (`--only TABLE`)
    tables        the tables of OddBench: how many have a list at all (`--only TABLE ...`)

`stability` and `tables` need the files in ../shared/data/oddbench. Their results are lines of
results/decisions_runs.jsonl and are not computed again; `--summary` publishes from that file alone.
"Excess" is what a share exceeds its level by, in Monte-Carlo standard errors.

Compared by hand with `nonconform` 2.0.0: its weighted conformalized selection lists the same rows
as `weighted_e_values` in 200 of 200 simulated tables, pruned deterministically and homogeneously.
"""

import argparse
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations

import numpy as np
from scipy.stats import norm

import harmonium as hm
from benchmarks.detection import oddbench_sets, oddbench_split
from benchmarks.report import RESULTS, Row, publish
from harmonium.data import Table
from harmonium.inference import (
    AbstractCalibration,
    CrossCalibration,
    DetectorSettings,
    ListCertificate,
    ResplitCalibration,
    SplitCalibration,
    ThresholdCertificate,
    fit_detector,
)
from harmonium.inference.conformal import (
    benjamini_hochberg,
    cross_p_values,
    group_p_values,
    mean_p_values,
    p_values,
)
from harmonium.inference.e_values import (
    e_benjamini_hochberg,
    randomized_e_benjamini_hochberg,
    split_e_values,
    weighted_e_values,
)

Array = np.ndarray
LEVELS = (0.01, 0.05, 0.1, 0.2)
RUNS = RESULTS / "decisions_runs.jsonl"
N_SEEDS, FDR = 20, 0.1

# Simulated tables and a cheap scorer, which overfits on purpose: few rows, many columns.

N_COLUMNS, N_SMALL = 10, 60


def mahalanobis(train: Array) -> Callable[[Array], Array]:
    """Minus the squared distance to the training rows' mean, by their covariance."""
    mean, inverse = train.mean(axis=0), np.linalg.pinv(np.cov(train.T))
    return lambda rows: -np.einsum("ni,ij,nj->n", rows - mean, inverse, rows - mean)


def refitted(parts: list[Array], table: Array, rows: Array) -> tuple[list[Array], Array]:
    """Calibration scores of every part by a fit to the others, and the scores of rows by these."""
    fits = [mahalanobis(np.delete(table, part, axis=0)) for part in parts]
    pairs = zip(fits, parts, strict=True)
    return [fit(table[part]) for fit, part in pairs], np.stack([f(rows) for f in fits], axis=1)


def folds(rng: np.random.Generator, n: int, n_folds: int) -> list[Array]:
    """Random folds of n rows."""
    return np.array_split(rng.permutation(n), n_folds)


# p-values of normal rows, by kind.


def split(rng: np.random.Generator) -> Array:
    """Split-conformal, 99 calibration rows."""
    return p_values(rng.normal(size=99), rng.normal(size=50))


def cross(rng: np.random.Generator) -> Array:
    """Cross-conformal, 60 rows of 10 columns in 10 folds."""
    table, rows = (rng.normal(size=(n, N_COLUMNS)) for n in (N_SMALL, 50))
    return cross_p_values(*refitted(folds(rng, N_SMALL, 10), table, rows))


def not_crossed(rng: np.random.Generator) -> Array:
    """Fold scores as calibration, new rows by a fit to all rows: no guarantee."""
    table, rows = (rng.normal(size=(n, N_COLUMNS)) for n in (N_SMALL, 50))
    own, _ = refitted(folds(rng, N_SMALL, 10), table, rows)
    return p_values(np.concatenate(own), mahalanobis(table)(rows))


def resplit_means(rng: np.random.Generator) -> Array:
    """Twice the mean over 10 random halves of 60 rows."""
    table, rows = (rng.normal(size=(n, N_COLUMNS)) for n in (N_SMALL, 50))
    halves = [rng.permutation(N_SMALL)[: N_SMALL // 2] for _ in range(10)]
    return mean_p_values(*refitted(halves, table, rows))


def of_groups(rng: np.random.Generator, own: bool) -> Array:
    """p-values of the rarer of two groups, whose scores are lower."""
    groups = (rng.random(200) < 0.25).astype(int), np.ones(50)
    scores = rng.normal(size=200) - groups[0], rng.normal(size=50) - 1
    if not own:
        return p_values(*scores)
    found = group_p_values((scores[0], groups[0]), (scores[1], groups[1]), fewest=19)
    return found.p_values


def shifted(rng: np.random.Generator, most: float | None) -> Array:
    """Weighted by the true ratio of a shift by one standard deviation, clipped or not at all."""
    x, y = rng.normal(size=300), rng.normal(size=50) + 1
    scores = [rng.normal(size=len(own)) - own for own in (x, y)]
    if most is None:
        return p_values(scores[0], scores[1])
    weights = [np.minimum(np.exp(own - 0.5), most) for own in (x, y)]
    return p_values(scores[0], scores[1], weights=(weights[0], weights[1]))


P_VALUES: dict[str, Callable[[np.random.Generator], Array]] = {
    "split": split,
    "cross, 10 folds": cross,
    "fold scores without refits of new rows": not_crossed,
    "twice the mean of 10 halves": resplit_means,
    "group": lambda rng: of_groups(rng, own=True),
    "split, rows of a rare group": lambda rng: of_groups(rng, own=False),
    "shift, true ratio": lambda rng: shifted(rng, np.inf),
    "shift, ratio clipped at 20": lambda rng: shifted(rng, 20.0),
    "shift, ratio clipped at 3": lambda rng: shifted(rng, 3.0),
    "split under the shift": lambda rng: shifted(rng, None),
}

# Lists: of 200 rows, the last 50 abnormal.

N_ROWS, N_ODD, N_CALIBRATION = 200, 50, 400


def simulated_scores(rng: np.random.Generator) -> tuple[Array, Array]:
    """Scores of calibration rows and of rows."""
    scores = rng.normal(size=N_ROWS)
    scores[-N_ODD:] -= 4
    return rng.normal(size=N_CALIBRATION), scores


def simulated_tables(rng: np.random.Generator) -> tuple[Array, Array]:
    """A table of 400 rows and 10 columns, and rows."""
    table, rows = (rng.normal(size=(n, N_COLUMNS)) for n in (N_CALIBRATION, N_ROWS))
    rows[-N_ODD:] *= 2.5
    return table, rows


def list_split(rng: np.random.Generator, level: float) -> Array:
    """Benjamini-Hochberg on split-conformal p-values."""
    return benjamini_hochberg(p_values(*simulated_scores(rng)), level)


def list_split_e(rng: np.random.Generator, level: float) -> Array:
    """Its e-value version, one split."""
    return e_benjamini_hochberg(split_e_values(*simulated_scores(rng), level), level)


def list_cross(rng: np.random.Generator, level: float) -> Array:
    """Benjamini-Hochberg on cross-conformal p-values."""
    table, rows = simulated_tables(rng)
    found = refitted(folds(rng, len(table), 10), table, rows)
    return benjamini_hochberg(cross_p_values(*found), level)


def list_resplit_e(rng: np.random.Generator, level: float) -> Array:
    """e-values of 10 halves."""
    table, rows = simulated_tables(rng)
    halves = [rng.permutation(len(table))[: len(table) // 2] for _ in range(10)]
    own, scores = refitted(halves, table, rows)
    pairs = zip(own, scores.T, strict=True)
    found = np.mean([split_e_values(one, s, 0.5 * level) for one, s in pairs], axis=0)
    return e_benjamini_hochberg(found, level)


def list_shifted(rng: np.random.Generator, level: float, divided: bool) -> Array:
    """Weighted e-values, true ratio, divided by one uniform number or as they are."""
    x, y = rng.normal(size=N_CALIBRATION), rng.normal(size=N_ROWS) + 0.5
    own, scores = rng.normal(size=len(x)) - x, rng.normal(size=len(y)) - y
    scores[-N_ODD:] -= 5
    weights = np.exp(0.5 * x - 0.125), np.exp(0.5 * y - 0.125)
    found = weighted_e_values(own, scores, level, weights=weights)
    return randomized_e_benjamini_hochberg(found, level, 1 - rng.random() if divided else 1.0)


LISTS: dict[str, Callable[[np.random.Generator, float], Array]] = {
    "split, BH": list_split,
    "split, e-BH": list_split_e,
    "cross, BH": list_cross,
    "10 halves, e-BH": list_resplit_e,
    "shift, e-BH": lambda rng, level: list_shifted(rng, level, divided=True),
    "shift, e-BH, not divided": lambda rng, level: list_shifted(rng, level, divided=False),
}


def summary(name: str, found: dict[float, list[float]]) -> Row:
    """Shares at every level, and by how many standard errors the worst exceeds its level."""
    row: Row = {"kind": name}
    excess = []
    for level, shares in found.items():
        row[f"at {level:g}"] = float(np.mean(shares))
        error = np.std(shares) / len(shares) ** 0.5
        excess.append((np.mean(shares) - level) / max(error, 1e-12))
    return row | {"excess": float(max(excess))}


def measure_validity(repetitions: int) -> Iterator[Row]:
    """P(p <= level) of normal rows, false-discovery rates, and certificates that hold."""
    for name, sample in P_VALUES.items():
        rng = np.random.default_rng(0)
        drawn = [sample(rng) for _ in range(repetitions)]
        yield summary(name, {a: [float(np.mean(p <= a)) for p in drawn] for a in LEVELS})
    for name, choose in LISTS.items():
        rng, false, hits = np.random.default_rng(0), {}, 0
        for level in LEVELS:
            listed = [choose(rng, level) for _ in range(repetitions)]
            false[level] = [float(own[:-N_ODD].sum() / max(1, own.sum())) for own in listed]
            hits = float(np.mean([own[-N_ODD:].mean() for own in listed]))
        yield summary(f"false share, {name}", false) | {"abnormal found at 0.2": hits}
    for confidence in (0.8, 0.9, 0.95):
        yield measure_certificates(confidence, repetitions)


def measure_certificates(confidence: float, repetitions: int) -> Row:
    """How often all bounds of a certificate hold at once, with abnormal rows and without."""
    rng = np.random.default_rng(0)
    # What is certified depends on the numbers of rows alone.
    certificate = ListCertificate.of_scores(*simulated_scores(rng), confidence)
    rates = ThresholdCertificate.of_scores(rng.normal(size=N_CALIBRATION), confidence)
    held: dict[str, list[bool]] = {name: [] for name in ("lists", "all normal", "thresholds")}
    for _ in range(repetitions):
        own, scores = simulated_scores(rng)
        plain = rng.normal(size=N_ROWS)
        held["lists"].append(lists_hold(certificate, own, scores, N_ROWS - N_ODD))
        held["all normal"].append(lists_hold(certificate, own, plain, N_ROWS))
        # The supremum over thresholds that c calibration rows reach.
        highest = np.append(norm.cdf(np.sort(own)), 1.0)
        held["thresholds"].append(bool((highest <= rates.most_often).all()))
    shares = {f"{name} hold": float(np.mean(own)) for name, own in held.items()}
    return {"kind": f"certificates at {confidence:g}"} | shares


def lists_hold(certificate: ListCertificate, own: Array, scores: Array, n_normal: int) -> bool:
    """Whether every list of the lowest rows has as few normal rows, the first, as is certified."""
    false = np.cumsum((np.arange(len(scores)) < n_normal)[np.argsort(scores)])
    most = replace(certificate, p_values=p_values(own, scores)).of_lowest()
    return bool((false <= most).all())


# One detector, fresh rows.


def holed(rng: np.random.Generator, n: int) -> Array:
    """Correlated columns, some cells missing completely at random: the last two in three tenths of
    the rows, the first in a tenth.
    """
    rows = rng.normal(size=(n, 1)) + 0.5 * rng.normal(size=(n, 5))
    rows[rng.random(n) < 0.3, 3:] = np.nan
    rows[rng.random(n) < 0.1, 0] = np.nan
    return rows


def mixed_groups(rng: np.random.Generator, n: int, share: float) -> Array:
    """A group, and numbers that lie further apart in it."""
    group = (rng.random(n) < share).astype(float)
    return np.column_stack([rng.normal(size=(n, 3)) * (1 + group[:, None]), group])


def measure_patterns(repetitions: int) -> Iterator[Row]:
    """P(p <= level) of normal rows without their last two cells, by 100 calibration rows.

    All rows are scored at once, and dealt to the repetitions.
    """
    rng = np.random.default_rng(0)
    fitted = fit_detector(Table(holed(rng, 1000), tuple("abcde")), DetectorSettings())
    lacking = np.arange(5) > 2
    own, rows = holed(rng, 100 * repetitions), holed(rng, 25 * repetitions)
    rows = rows[~np.isnan(rows[:, 0])][: 20 * repetitions]
    imposed, rows = (np.where(lacking, np.nan, part) for part in (own, rows))
    usable, same = ~np.isnan(own[:, 0]), (np.isnan(own) == lacking).all(axis=1)
    drawn = [fitted.scores(part).reshape(repetitions, -1) for part in (own, imposed, rows)]
    masks = [mask.reshape(repetitions, -1) for mask in (usable, same)]
    found: dict = {}
    for as_is, with_holes, scores, fits, is_same in zip(*drawn, *masks, strict=True):
        for name, calibration in (
            ("split", as_is),
            ("observed pattern", as_is[is_same]),
            ("imposed pattern", with_holes[fits]),
        ):
            p = p_values(calibration, scores)
            for level in LEVELS:
                shares = found.setdefault(name, {}).setdefault(level, [])
                shares.append(float(np.mean(p <= level)))
    yield from (summary(name, shares) for name, shares in found.items())


def measure_shift(repetitions: int) -> Iterator[Row]:
    """The rarer group becomes the more frequent one; its ratio is fitted."""
    rng = np.random.default_rng(0)
    fitted = hm.AnomalyDetector().fit(mixed_groups(rng, 1000, 0.2))
    new = mixed_groups(rng, 300, 0.7)
    ratios = {"group": fitted.under_shift(new, ["x4"]), "all columns": fitted.under_shift(new)}
    names = ["split under a shift", *(f"shift, fitted ratio of {name}" for name in ratios)]
    found: dict = {name: {level: [] for level in LEVELS} for name in names}
    for _ in range(repetitions):
        own = fitted.calibrate(mixed_groups(rng, 200, 0.2))
        rows = mixed_groups(rng, 40, 0.7)
        kinds = [None, *(type(c).of_ratio(own.detector_, c.ratio) for c in ratios.values())]
        for name, kind in zip(names, kinds, strict=True):
            p = own.p_values(rows, kind)
            for level in LEVELS:
                found[name][level].append(float(np.mean(p <= level)))
    yield from (summary(name, own) for name, own in found.items())


def measure_refits(repetitions: int) -> Iterator[Row]:
    """A detector of 150 rows: cross-calibrated in 5 folds, and by the scores that it has anyway."""
    names = ("split", "cross, 5 folds", "the fit's own scores of training rows")
    found: dict = {name: {level: [] for level in LEVELS} for name in names}
    for repetition in range(repetitions):
        rng = np.random.default_rng(repetition)
        table, rows = (rng.normal(size=(n, 4)) @ _MIXING for n in (150, 50))
        whole = Table(table, tuple("abcd"))
        fitted = fit_detector(whole, DetectorSettings())
        crossed = CrossCalibration.fit(whole, DetectorSettings(), 5)
        kinds = (
            fitted.p_values(rows),
            crossed.p_values(crossed.measure(rows)),
            p_values(fitted.tail.scores, fitted.scores(rows)),
        )
        for name, p in zip(names, kinds, strict=True):
            for level in LEVELS:
                found[name][level].append(float(np.mean(p <= level)))
    yield from (summary(name, own) for name, own in found.items())


_MIXING = np.random.default_rng(7).normal(size=(4, 4))

# Tables of OddBench, with the detector as it comes.


def calibrations(table: Table, seed: int) -> Iterator[tuple[str, AbstractCalibration]]:
    """The ways to calibrate that are compared, fitted with this seed."""
    settings = DetectorSettings(seed=seed)
    yield "split", SplitCalibration(fit_detector(table, settings))
    yield "cross", CrossCalibration.fit(table, settings)
    yield "e-values", ResplitCalibration.fit(table, settings)


def lists(name: str, seed: int) -> Row:
    """The rows that every way lists on one table, and how long the lists are that could be had."""
    data = oddbench_split(name)
    table = Table(data.train, tuple(f"x{i + 1}" for i in range(data.train.shape[1])))
    row: Row = {"set": name, "seed": seed, "rows": len(data.y), "odd": int(data.y.sum())}
    for way, calibration in calibrations(table, seed):
        measures = calibration.measure(data.test)
        listed = calibration.select(measures, FDR).listed
        row[way] = np.flatnonzero(listed).tolist()
        row[f"{way} false"] = int(np.sum(data.y[listed] == 0))
        if way == "cross":
            order = np.argsort(calibration.p_values(measures), kind="stable")
            share = np.cumsum(data.y[order] == 0) / np.arange(1, len(order) + 1)
            row["longest"] = int(max(np.flatnonzero(share <= FDR) + 1, default=0))
    return row


def stored() -> dict[tuple[str, int], Row]:
    """Lists by table and seed."""
    lines = RUNS.read_text(encoding="utf-8").splitlines() if RUNS.exists() else []
    return {(run["set"], run["seed"]): run for run in map(json.loads, lines)}


def compute(names: list[str], seeds: range) -> None:
    """Compute the lists that are not yet stored."""
    for name in names:
        for seed in seeds:
            # Other processes may add lines.
            if (name, seed) not in stored():
                found = lists(name, seed)
                with RUNS.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(found) + "\n")
                print(name, seed, *(len(found[way]) for way in WAYS), flush=True)


WAYS = ("split", "cross", "e-values")


def overlaps(lists_of_rows: list[list[int]]) -> list[float]:
    """Common rows over all rows of every two lists, unless both are empty."""
    pairs = [(set(one), set(other)) for one, other in combinations(lists_of_rows, 2)]
    return [len(one & other) / len(one | other) for one, other in pairs if one | other]


def measure_stability() -> Iterator[Row]:
    """How alike the lists of one table are over seeds."""
    runs = stored()
    for name in dict.fromkeys(name for name, _ in runs):
        own = [run for key, run in runs.items() if key[0] == name]
        if len(own) < N_SEEDS:
            continue
        for way in WAYS:
            found = [run[way] for run in own]
            false = [run[f"{way} false"] / max(1, len(run[way])) for run in own]
            yield {
                "table": name,
                "way": way,
                "Jaccard, two empty lists apart": float(np.mean(overlaps(found) or [1.0])),
                "empty lists": sum(not rows for rows in found),
                "rows listed": float(np.mean([len(rows) for rows in found])),
                "false share": float(np.mean(false)),
                "seeds": len(own),
            }


def measure_tables() -> Iterator[Row]:
    """Lists of every table, and how many are not empty."""
    runs = [run for (_, seed), run in sorted(stored().items()) if seed == 0]
    for run in runs:
        row: Row = {key: run[key] for key in ("set", "rows", "odd")}
        row["longest list with 10 % false"] = run["longest"]
        for way in WAYS:
            row |= {way: len(run[way]), f"{way} false": run[f"{way} false"]}
        yield row
    closing: Row = {"set": f"not empty, of {len(runs)}"}
    closing["longest list with 10 % false"] = sum(run["longest"] >= 5 for run in runs)
    yield closing | {way: sum(bool(run[way]) for run in runs) for way in WAYS}


TITLES = {
    "validity": "Shares at every level: p-values of normal rows, false rows on lists",
    "patterns": "P(p <= level) of normal rows that lack two cells of five",
    "shift": "P(p <= level) of normal rows of another mix",
    "refits": "P(p <= level) of normal rows by detectors of 150 rows",
    "stability": f"Lists at {FDR:g} of one table over {N_SEEDS} seeds",
    "tables": f"Rows listed at {FDR:g}",
}


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--protocol", choices=list(TITLES), default="validity")
    parser.add_argument("--repetitions", type=int, default=500)
    parser.add_argument("--only", nargs="*", metavar="TABLE")
    parser.add_argument("--summary", action="store_true", help="publish what is stored")
    options = parser.parse_args()
    simulated = {
        "validity": measure_validity,
        "patterns": measure_patterns,
        "shift": measure_shift,
        "refits": measure_refits,
    }
    title = TITLES[options.protocol]
    warnings.simplefilter("ignore")
    if options.protocol in simulated:
        rows = []
        for row in simulated[options.protocol](options.repetitions):
            print(row, flush=True)
            rows.append(row)
        title = f"{title}; {options.repetitions} repetitions"
    else:
        if not options.summary:
            seeds = range(N_SEEDS) if options.protocol == "stability" else range(1)
            compute(options.only or list(oddbench_sets()), seeds)
        rows = list(measure_stability() if options.protocol == "stability" else measure_tables())
    publish(f"decisions_{options.protocol}", title, rows)


if __name__ == "__main__":
    main()
