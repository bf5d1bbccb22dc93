"""Makes the reports that the gallery links to, by the command line:
`PYTHONPATH=src:. python docs/make_reports.py`.
"""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine

from benchmarks.tables import TABLES
from harmonium.cli.app import run

REPORTS = Path(__file__).parent / "reports"
MOST_ROWS = 1000


def labeled(bunch: Any, name: str) -> pd.DataFrame:
    """A table of scikit-learn, with its classes as text."""
    found: pd.DataFrame = bunch.data.copy()
    return found.assign(**{name: np.asarray(bunch.target_names)[bunch.target]})


def tables() -> dict[str, pd.DataFrame]:
    """Six tables: four of scikit-learn, and two of those of the benchmarks."""
    return {
        "iris": labeled(load_iris(as_frame=True), "species"),
        "wine": labeled(load_wine(as_frame=True), "cultivar"),
        "breast-cancer": labeled(load_breast_cancer(as_frame=True), "diagnosis"),
        "diabetes": load_diabetes(as_frame=True, scaled=False).frame,
        "penguins": TABLES["penguins"](),
        "diamonds": TABLES["diamonds"]().sample(MOST_ROWS, random_state=0),
    }


def main() -> None:
    """Every report, into docs/reports."""
    REPORTS.mkdir(exist_ok=True)
    for name, table in tables().items():
        with tempfile.TemporaryDirectory() as folder:
            source, out = Path(folder) / f"{name}.csv", Path(folder) / "run"
            table.to_csv(source, index=False)
            try:
                run(["fit", str(source), "-o", str(out), "--quiet"])
            except SystemExit as ended:
                if ended.code:
                    sys.exit(ended.code)
            shutil.copy(out / "report.html", REPORTS / f"{name}.html")


if __name__ == "__main__":
    main()
