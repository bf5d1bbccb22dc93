"""Streams with and without drift: false alarms, rows until an alarm, and what is named.

`python -m benchmarks.monitor [--only null ...] [--streams 100] [--first 0]`

Tables are 20 normal columns of variance 1, whose columns i and j correlate by 0.7^|i - j|. One
detector is fitted to 3000 rows; every stream has its own 2000 reference rows, and alarms are those
of the default: at most 1 % of all streams without drift ever raise one.

null: 10 000 rows without drift. shift: one column moved by 0.5 standard deviations from the first
row on; late: after 5000 rows. spread: one column multiplied by 1.5. broken: the cells of one column
are those of other rows, its distribution as before. holes: 10 % of the cells of one column are
missing, 2 % before. Streams with drift come in nights of 100 rows, which end with the first alarm
or 2000 rows after the change. "rows" are those between change and alarm, "named" is the share of
all streams in which the column that was changed is the first that is named, and "how" that in which
it is also named for what was done to it; alarms before the change ("early") are not counted.
Every stream is one line of results/monitor_runs.jsonl as soon as it is there, and is not computed
again.
"""

import argparse
import json
import time

import numpy as np

from benchmarks.report import RESULTS, Row, publish, record
from harmonium import AnomalyDetector, Monitor

RUNS = RESULTS / "monitor_runs.jsonl"
N_COLUMNS, CORRELATION = 20, 0.7
N_TRAINING, N_REFERENCE = 3000, 2000
N_NULL, NIGHT, MOST_NIGHTS, LATE = 10_000, 100, 20, 5000
SHIFT, SPREAD, HOLES_BEFORE, HOLES = 0.5, 1.5, 0.02, 0.1
# What a change should be named for.
KINDS = {
    "shift": "values",
    "late": "values",
    "spread": "values",
    "broken": "dependence",
    "holes": "holes",
}


def draw(rng: np.random.Generator, n: int) -> np.ndarray:
    """Rows (n, columns)."""
    index = np.arange(N_COLUMNS)
    covariance = CORRELATION ** np.abs(index[:, None] - index).astype(float)
    return rng.normal(size=(n, N_COLUMNS)) @ np.linalg.cholesky(covariance).T


def holed(rows: np.ndarray, column: int, share: float, rng: np.random.Generator) -> None:
    """Make a share of the cells of a column missing."""
    rows[rng.random(len(rows)) < share, column] = np.nan


def change(protocol: str, rows: np.ndarray, column: int, rng: np.random.Generator) -> None:
    """Make rows (rows, columns) drift."""
    if protocol in ("shift", "late"):
        rows[:, column] += SHIFT
    elif protocol == "spread":
        rows[:, column] *= SPREAD
    elif protocol == "broken":
        rows[:, column] = draw(rng, len(rows))[:, column]
    elif protocol == "holes":
        holed(rows, column, HOLES, rng)


def watch(detector: AnomalyDetector, protocol: str, seed: int) -> Row:
    """One stream."""
    rng = np.random.default_rng([seed, sorted([*KINDS, "null"]).index(protocol)])
    column = seed % N_COLUMNS
    n_before = LATE if protocol == "late" else 0
    n_rows = N_NULL if protocol == "null" else n_before + MOST_NIGHTS * NIGHT
    reference, rows = draw(rng, N_REFERENCE), draw(rng, n_rows)
    if protocol == "holes":
        holed(reference, column, HOLES_BEFORE, rng)
    if protocol != "null":
        change(protocol, rows[n_before:], column, rng)
    started = time.monotonic()
    monitor = Monitor(detector, reference, random_state=seed)
    found = monitor.update(rows[:n_before] if n_before else rows[:NIGHT])
    while not found.alarm and monitor.n_rows < n_rows:
        n_next = NIGHT if protocol != "null" else n_rows
        found = monitor.update(rows[monitor.n_rows : monitor.n_rows + n_next])
    named = found.drifts[0] if found.drifts else None
    peak = (monitor.monitoring_.evidence.peak * monitor.monitoring_.watched.shares).max()
    return {
        "protocol": protocol,
        "seed": seed,
        "rows": None if found.first_alarm is None else found.first_alarm - n_before,
        "named": named is not None and named.column == f"x{column + 1}",
        "kind": None if named is None else named.kind,
        "since": None if named is None else named.since - 1 - n_before,
        "log_peak": float(np.log(peak)),
        "seconds": time.monotonic() - started,
    }


def summarize(runs: list[Row]) -> list[Row]:
    """A row per protocol."""
    rows = []
    for protocol in ("null", *KINDS):
        own = [run for run in runs if run["protocol"] == protocol]
        if not own:
            continue
        row: Row = {"stream": protocol, "streams": len(own)}
        delays = [np.inf if run["rows"] is None else run["rows"] for run in own]
        if protocol == "null":
            row["alarms, %"] = 100 * float(np.mean(np.isfinite(delays)))
        else:
            after = [run for run, delay in zip(own, delays, strict=True) if delay > 0]
            row["early, %"] = 100 * (1 - len(after) / len(own))
            waits = [delay for delay in delays if delay > 0]
            row["rows, median"] = float(np.median(waits))
            row["rows, 90 %"] = float(np.quantile(waits, 0.9, method="higher"))
            row["named, %"] = 100 * float(np.mean([run["named"] for run in after]))
            is_right = [run["named"] and run["kind"] == KINDS[protocol] for run in after]
            row["how, %"] = 100 * float(np.mean(is_right))
        row["seconds"] = float(np.median([run["seconds"] for run in own]))
        rows.append(row)
    return rows


def main() -> None:
    """Run what is not there yet, and print the table of all there is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    protocols = ["null", *KINDS]
    parser.add_argument("--only", nargs="*", choices=protocols, default=protocols)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="seed of the first stream")
    options = parser.parse_args()
    lines = RUNS.read_text(encoding="utf-8").splitlines() if RUNS.exists() else []
    runs = [json.loads(line) for line in lines]
    done = {(run["protocol"], run["seed"]) for run in runs}
    rng = np.random.default_rng(0)
    training = draw(rng, N_TRAINING)
    detector = AnomalyDetector(random_state=0).fit(training)
    for protocol in options.only:
        for seed in range(options.first, options.first + options.streams):
            if (protocol, seed) not in done:
                runs.append(watch(detector, protocol, seed))
                record(RUNS, runs[-1])
    publish("monitor", "Streams with and without drift", summarize(runs))


if __name__ == "__main__":
    main()
