"""Scores of a folder of Parquet files by Ray: a file of results for each, with the rows that the
command gives without Ray.
"""

import logging
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import parquet

from harmonium.cli.cluster import Answer, work_on_files
from harmonium.cli.detect import (
    Found,
    Opened,
    decide,
    explain_chosen,
    open_detector,
    whole_batches,
)
from harmonium.cli.models import load_density
from harmonium.cli.runs import SCORED
from harmonium.cli.streaming import BATCH_ROWS, read_rows, score_batches, write_batches
from harmonium.data import parquet_files
from harmonium.inference import SplitCalibration

Columns = dict[str, Any]

_log = logging.getLogger(__name__)


class ScoreFile:
    """Writes log-density and free energy of the rows of a file into the folder `output`."""

    def __init__(self, model: Path, output: Path):
        self._density = load_density(model, None, overwrite=False).density
        self._output = output

    def __call__(self, file: Path) -> Answer:
        """How many rows there were."""
        batches = score_batches(self._density, file)
        return {"rows": write_batches(self._output / file.name, batches)}


class DetectFile:
    """Writes the columns of `detect` that depend on no other file into the folder `output`."""

    def __init__(self, model: Path, calibration: Path | None, output: Path):
        self._opened = open_detector(model, calibration)
        self._output = output

    def __call__(self, file: Path) -> Answer:
        """The scores of the rows, as bytes."""
        scores: list[np.ndarray] = []

        def batches() -> Iterator[Columns]:
            detector = self._opened.detector
            for table, _ in read_rows(file, detector.columns.fields, "scoring"):
                scores.append(detector.scores(table.values))
                p_values = detector.p_values_of(scores[-1])
                yield self._opened.columns(table, scores[-1], p_values)

        write_batches(self._output / file.name, batches())
        return {"scores": np.concatenate(scores).tobytes()}


def score_folder(model: Path, data: Path, output: Path) -> int:
    """Score every file of a folder into another one; returns the number of rows."""
    files = _begin(data, output)
    arguments = {"model": model.resolve(), "output": output.resolve()}
    return sum(found["rows"] for found in work_on_files(ScoreFile, arguments, files))


@dataclass(frozen=True)
class Asked:
    """What `detect` is asked for: the rate of its flags, how many of the lowest rows are explained,
    how many reasons are written, and the column that names rows.
    """

    fdr: float
    top: int
    n_reasons: int
    named: str | None


def detect_folder(
    opened: Opened, model: Path, data: Path, output: Path, asked: Asked, calibration: Path | None
) -> tuple[np.ndarray, Found]:
    """Detect in every file of a folder, into another one, with flags over all rows; the scores of
    the rows, and what was found of them.
    """
    files = _begin(data, output)
    with tempfile.TemporaryDirectory(prefix=SCORED, dir=output.resolve()) as scored:
        arguments = {
            "model": model.resolve(),
            "calibration": None if calibration is None else calibration.resolve(),
            "output": Path(scored),
        }
        answers = work_on_files(DetectFile, arguments, files)
        parts = [np.frombuffer(each["scores"]) for each in answers]
        scores = np.concatenate(parts)
        decision = decide(SplitCalibration(opened.detector), scores[:, None], asked.fdr)
        found = explain_chosen(
            opened,
            data,
            scores,
            decision,
            top=asked.top,
            n_reasons=asked.n_reasons,
            named=asked.named,
        )
        _log.info("writing the flags")
        start = 0
        for file, part in zip(files, parts, strict=True):
            batches = _read_back(Path(scored) / file.name)
            rows = whole_batches(opened, file, batches, found, start)
            write_batches(output / file.name, rows)
            start += len(part)
    return scores, found


def _begin(data: Path, output: Path) -> list[Path]:
    """The files to work on, once the folder of results is there."""
    files = parquet_files(data, str(data))
    output.mkdir(exist_ok=True)
    for leftover in output.glob(f"{SCORED}*"):
        shutil.rmtree(leftover)
    _log.info("scoring %d files on Ray", len(files))
    return files


def _read_back(path: Path) -> Iterator[Columns]:
    """The columns that a process has written, batch by batch."""
    whole = parquet.read_table(path)
    for start in range(0, max(whole.num_rows, 1), BATCH_ROWS):
        part = whole.slice(start, BATCH_ROWS).combine_chunks()
        yield dict(zip(part.column_names, part.columns, strict=True))
