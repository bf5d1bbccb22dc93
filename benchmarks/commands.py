"""How long whole commands and first calls in Python take, cold and with compiled code at hand.

`python -m benchmarks.commands [--only fit python budgets] [--budgets 20 60 180]`

"fit": processes of the command line, interpreter and imports included, in a folder of compiled code
of their own: empty, then filled by what came before. The first table has 569 rows and 30 columns
(breast_cancer of scikit-learn), the second 540 rows of its own (drawn with replacement, noised).
"python": seconds of calls in one process each, first for one table, then for another. "budgets":
`harmonium fit --time-budget` with detector and report, compiled code kept from a fit before, of
penguins, diamonds (3000 and all 53 940 rows), a mixed table of 4000 rows and 22 columns with gaps,
and 300 rows of 500 columns; and `harmonium detect` of all diamonds, the 20 lowest explained.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer

from benchmarks.report import Row, publish
from benchmarks.tables import TABLES

CACHE, BYTECODE = "JAX_COMPILATION_CACHE_DIR", "PYTHONDONTWRITEBYTECODE"
COMMAND = ("-c", "from harmonium.cli import main; main()")
TITLES = {
    "fit": "Seconds of whole commands",
    "python": "Seconds of first and second calls in Python",
    "budgets": "Seconds of commands with a time budget",
}
TWICE = """
import sys, time
import numpy as np
import harmonium as hm
tables = [np.loadtxt(path, delimiter=",", skiprows=1) for path in sys.argv[1:]]
holed = [np.where(np.random.default_rng(0).random(t.shape) < 0.1, np.nan, t) for t in tables]
fitted = None
for table, holes in zip(tables, holed):
    started = time.perf_counter()
    {call}
    print(time.perf_counter() - started)
"""
# Names of first calls, what is timed, and the seconds asked for, cold and with another table.
CALLS = {
    "DensityEstimator().fit": ("hm.DensityEstimator().fit(table)", 12.0, 5.0),
    "AnomalyDetector().fit": ("hm.AnomalyDetector().fit(table)", 10.0, 4.0),
    "Imputer.transform, a tenth missing": (
        "fitted = fitted or hm.Imputer(estimator=hm.DensityEstimator(effort='quick')).fit(table)\n"
        "    started = time.perf_counter()\n"
        "    fitted.transform(holes)",
        3.0,
        3.0,
    ),
}


def write_tables(folder: Path) -> list[Path]:
    """Two tables of one shape but for some rows, and the first one at 50 000 rows."""
    values = np.asarray(load_breast_cancer(return_X_y=True)[0], float)
    rng = np.random.default_rng(0)

    def like(n_rows: int) -> np.ndarray:
        rows = values[rng.integers(0, len(values), n_rows)]
        return rows + 0.1 * values.std(axis=0) * rng.normal(size=rows.shape)

    paths = []
    for name, rows in (("first", values), ("second", like(540)), ("long", like(50_000))):
        paths.append(folder / f"{name}.csv")
        header = ",".join(f"x{j + 1}" for j in range(rows.shape[1]))
        np.savetxt(paths[-1], rows, delimiter=",", header=header, comments="", fmt="%.6g")
    return paths


def run(arguments: tuple[object, ...], cache: Path) -> tuple[float, str]:
    """Seconds of a process, and what it printed; an error if it fails."""
    # As users have them: modules are compiled to bytecode once, not by every process.
    kept = {name: value for name, value in os.environ.items() if name != BYTECODE}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *map(str, arguments)],
        env=kept | {CACHE: str(cache), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        raise RuntimeError(f"{arguments}: {done.stderr[-1000:]}")
    return seconds, done.stdout


def commands(folder: Path, tables: list[Path]) -> Iterator[Row]:
    """Whole processes of the command line."""
    first, second, long = tables
    cache, model = folder / "kept", folder / "first" / "model.safetensors"
    cases = [
        ("fit, cold", ("fit", first, "-o", folder / "first", "--no-report"), 25.0),
        ("fit, second table", ("fit", second, "-o", folder / "second", "--no-report"), 8.0),
        (
            "fit --effort quick",
            ("fit", first, "-o", folder / "quick", "--effort", "quick", "--no-report"),
            4.0,
        ),
        ("fit, 50 000 rows", ("fit", long, "-o", folder / "long", "--no-report"), None),
        ("score, 569 rows", ("score", model, first, "-o", folder / "scored.csv"), 2.5),
        ("score again", ("score", model, first, "-o", folder / "again.csv"), 2.5),
        (
            "detect",
            ("detect", folder / "first" / "detector.safetensors", first, "-o", folder / "d.csv"),
            None,
        ),
        ("--help", ("--help",), 0.35),
    ]
    for name, arguments, asked in cases:
        seconds, _ = run((*COMMAND, *arguments), cache)
        yield {"what": name, "seconds": seconds, "asked": asked or ""}
    seconds, _ = run(("-c", "import harmonium"), cache)
    yield {"what": "import harmonium", "seconds": seconds, "asked": 0.1}


def calls(folder: Path, tables: list[Path]) -> Iterator[Row]:
    """First and second calls in one process, with no compiled code at hand."""
    for number, (name, (call, cold, after)) in enumerate(CALLS.items()):
        code = TWICE.format(call=call)
        _, printed = run(("-c", code, *tables[:2]), folder / f"call{number}")
        found = [float(line) for line in printed.split()]
        yield {"what": f"{name}, first", "seconds": found[0], "asked": cold}
        yield {"what": f"{name}, another table", "seconds": found[1], "asked": after}


def mixed_table() -> pd.DataFrame:
    """4000 rows of 22 columns that depend on four hidden numbers: numbers, counts, scales of five
    points and categories, of which a tenth of the cells is missing.
    """
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(4000, 4)) @ rng.normal(size=(4, 22)) + rng.normal(size=(4000, 22))
    table = pd.DataFrame({f"x{i + 1}": column for i, column in enumerate(hidden.T)})
    for name in table.columns[8:12]:
        table[name] = np.floor(np.exp(0.7 * table[name]))
    for name in table.columns[12:17]:
        table[name] = np.clip(np.round(table[name] + 3), 1, 5)
    for name in table.columns[17:]:
        table[name] = np.array(list("abcd"))[np.digitize(table[name], [-2, 0, 1])]
    return table.mask(rng.random(table.shape) < 0.1)


def budget_tables(folder: Path) -> Iterator[Path]:
    """The tables that are fitted within budgets, as CSV files."""
    diamonds = TABLES["diamonds"]()
    wide = np.random.default_rng(0).normal(size=(300, 500))
    made = {
        "penguins": TABLES["penguins"](),
        "mixed": mixed_table(),
        "diamonds-3000": diamonds.sample(3000, random_state=0),
        "diamonds": diamonds,
        "wide": pd.DataFrame(wide, columns=[f"x{i + 1}" for i in range(500)]),
    }
    for name, table in made.items():
        path = folder / f"{name}.csv"
        table.to_csv(path, index=False)
        yield path


def budgets(folder: Path, seconds: list[float]) -> Iterator[Row]:
    """Whole commands within budgets, with report and detector, and what the fit came to."""
    cache = folder / "budgets"
    for path in budget_tables(folder):
        spent, _ = run((*COMMAND, "fit", path, "-o", folder / path.stem), cache)
        yield {"what": f"{path.stem}, no budget", "seconds": spent, "asked": ""}
        for budget in seconds:
            output = folder / f"{path.stem}-{budget:g}"
            arguments = ("fit", path, "-o", output, "--time-budget", f"{budget:g}s", "--json")
            spent, printed = run((*COMMAND, *arguments), cache)
            held_out = json.loads(printed)["held_out"]["log_likelihood"]
            what = f"{path.stem}, budget {budget:g} s"
            yield {"what": what, "seconds": spent, "asked": budget, "held out": held_out}
        if path.stem == "diamonds":
            scored = folder / "scored.csv"
            spent, _ = run(
                (*COMMAND, "detect", folder / path.stem, path, "-o", scored, "--top", 20), cache
            )
            yield {"what": "diamonds, the 20 lowest explained", "seconds": spent, "asked": 15.0}


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", default=["fit", "python", "budgets"])
    parser.add_argument("--budgets", nargs="*", type=float, default=[20.0, 60.0, 180.0])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables = write_tables(folder)
        sources = {
            "fit": lambda: commands(folder, tables),
            "python": lambda: calls(folder, tables),
            "budgets": lambda: budgets(folder, options.budgets),
        }
        for source in options.only:
            rows: list[Row] = []
            for row in sources[source]():
                print(row, flush=True)
                rows.append(row)
            publish(f"commands_{source}", TITLES[source], rows)


if __name__ == "__main__":
    main()
