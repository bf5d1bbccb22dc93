"""Scores of a folder of Parquet files by Ray: a file of results for each, with the rows that the
command gives without Ray.
"""

import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from harmonium.cli.cluster import Found, work_on_files
from harmonium.cli.detect import Flags, Opened, open_detector, with_flags
from harmonium.cli.models import load_density
from harmonium.cli.runs import SCORED
from harmonium.cli.streaming import read_rows, score_batches, write_batches
from harmonium.data import parquet_files

Columns = dict[str, Any]

_log = logging.getLogger(__name__)


class ScoreFile:
    """Writes log-density and free energy of the rows of a file into the folder `output`."""

    def __init__(self, model: Path, output: Path):
        self._density = load_density(model, None, overwrite=False).density
        self._output = output

    def __call__(self, file: Path) -> Found:
        """How many rows there were."""
        batches = score_batches(self._density, file)
        return {"rows": write_batches(self._output / file.name, batches)}


class DetectFile:
    """Writes all columns of `detect` but the flags, which depend on all files, into the folder
    `output`.
    """

    def __init__(self, model: Path, calibration: Path | None, n_reasons: int, output: Path):
        self._opened = open_detector(model, calibration)
        self._n_reasons, self._output = n_reasons, output

    def __call__(self, file: Path) -> Found:
        """The p-values of the rows, as bytes."""
        p_values: list[np.ndarray] = []

        def batches() -> Iterator[Columns]:
            detector = self._opened.detector
            for table, _ in read_rows(file, detector.columns.fields, "scoring"):
                columns = self._opened.columns(
                    table, detector.scores(table.values), self._n_reasons
                )
                p_values.append(columns["p_value"])
                yield columns

        write_batches(self._output / file.name, batches())
        return {"p_values": np.concatenate(p_values).tobytes()}


def score_folder(model: Path, data: Path, output: Path) -> int:
    """Score every file of a folder into another one; returns the number of rows."""
    files = _begin(data, output)
    arguments = {"model": model.resolve(), "output": output.resolve()}
    return sum(found["rows"] for found in work_on_files(ScoreFile, arguments, files))


def detect_folder(
    opened: Opened,
    model: Path,
    data: Path,
    output: Path,
    *,
    fdr: float,
    n_reasons: int,
    calibration: Path | None,
) -> Flags:
    """Detect in every file of a folder, into another one, with flags at the rate `fdr` over all
    rows.
    """
    files = _begin(data, output)
    with tempfile.TemporaryDirectory(prefix=SCORED, dir=output.resolve()) as scored:
        arguments = {
            "model": model.resolve(),
            "calibration": None if calibration is None else calibration.resolve(),
            "n_reasons": n_reasons,
            "output": Path(scored),
        }
        found = work_on_files(DetectFile, arguments, files)
        parts = [np.frombuffer(each["p_values"]) for each in found]
        flags = opened.flags(np.concatenate(parts), fdr)
        _log.info("writing the flags")
        ends = np.cumsum([len(part) for part in parts])[:-1]
        for file, flagged in zip(files, np.split(flags.flagged, ends), strict=True):
            write_batches(output / file.name, _flagged(Path(scored) / file.name, flagged))
    return flags


def _begin(data: Path, output: Path) -> list[Path]:
    """The files to work on, once the folder of results is there."""
    files = parquet_files(data, str(data))
    output.mkdir(exist_ok=True)
    for leftover in output.glob(f"{SCORED}*"):
        shutil.rmtree(leftover)
    _log.info("scoring %d files on Ray", len(files))
    return files


def _flagged(path: Path, flagged: np.ndarray) -> Iterator[Columns]:
    """The columns of a file, with the flags of its rows in their place."""
    from pyarrow import parquet

    start = 0
    with parquet.ParquetFile(path) as content:
        for batch in content.iter_batches():
            part = slice(start, start + batch.num_rows)
            start += batch.num_rows
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            yield with_flags(columns, flagged[part])
