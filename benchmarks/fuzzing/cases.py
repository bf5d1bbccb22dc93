"""What is done with a damaged file, and how it may end: in a result, or in the library's own
words.
"""

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fuzzing.artifacts import damage
from benchmarks.fuzzing.models import mixed_table
from benchmarks.fuzzing.tables import damage_table
from harmonium.cli.app import run
from harmonium.data import Table, read_batches, read_table, sample_rows
from harmonium.errors import ArtifactError, HarmoniumError, InvalidInputError
from harmonium.estimators import AnomalyDetector, DensityEstimator, ImageDensity, load

# Every so many tables, one also goes through the command line.
COMMAND_EVERY = 10
KINDS = {"code": "categorical", "note": "identifier"}


def artifact_case(seed: int, number: int, sources: list[bytes], folder: Path) -> tuple[str, str]:
    """Damage one artifact, load it, and score rows if that works: how it was damaged, how it
    ended.
    """
    rng = np.random.default_rng((seed, 1, number))
    kind, content = damage(sources[rng.integers(len(sources))], rng)
    path = folder / "case.safetensors"
    path.write_bytes(content)
    try:
        estimator = load(path)
    except ArtifactError as error:
        return kind, _words(str(error), "refused")
    except Exception as error:
        return kind, f"FAILED to load: {type(error).__name__}: {error!s:.200}"
    try:
        scores = _scores(estimator)
    except HarmoniumError:
        return kind, "loaded, scores refused"
    except Exception as error:
        return kind, f"FAILED to score: {type(error).__name__}: {error!s:.200}"
    finite = np.isfinite(scores).all()
    return kind, "loaded and scored" if finite else "loaded, scores not finite"


def table_case(seed: int, number: int, model: Path, folder: Path) -> tuple[str, str]:
    """Damage one table and read it in every way."""
    rng = np.random.default_rng((seed, 2, number))
    kind, ending, content = damage_table(rng)
    path = folder / f"case{ending}"
    path.write_bytes(content)
    fields = mixed_table().fields
    readers: dict[str, Any] = {
        "read_table": lambda: read_table(path),
        "read_table(kinds)": lambda: read_table(path, kinds=KINDS),
        "read_table(fields)": lambda: read_table(path, fields=fields),
        "read_batches": lambda: list(read_batches(path, fields=fields, size=16)),
        "sample_rows": lambda: sample_rows(path, 16, seed=0),
    }
    ended = "read"
    try:
        for name, read in readers.items():
            try:
                read()
            except InvalidInputError as error:
                ended = _words(str(error), "refused")
            except Exception as error:
                return kind, f"FAILED in {name}: {type(error).__name__}: {error!s:.200}"
            if ended.startswith("FAILED"):
                return kind, ended
        if number % COMMAND_EVERY == 0:
            ended = _command(model, path, ended)
    finally:
        path.unlink()
    return kind, ended


def _scores(estimator: DensityEstimator | AnomalyDetector | ImageDensity) -> np.ndarray:
    """Scores of rows of the table that the model says it is of."""
    if isinstance(estimator, ImageDensity):
        return estimator.score_samples(np.zeros((2, *estimator.density_.shape), int))
    if isinstance(estimator, DensityEstimator):
        marginals = estimator.density_.coordinates.marginals
    else:
        marginals = estimator.detector_.marginals
    columns = marginals.columns
    points = np.linspace(-1.0, 1.0, 3)[:, None] * np.ones(columns.n_modeled)
    values = columns.complete(marginals.restore(points))
    table = Table(values, columns.names, columns.fields)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = estimator.score_samples(table)
        if isinstance(estimator, AnomalyDetector):
            estimator.p_values(table)
    return scores


def _command(model: Path, path: Path, ended: str) -> str:
    """The same through `harmonium score`: an exit code, and words on the error channel."""
    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            run(["score", str(model), str(path)])
    except SystemExit as stop:
        code = stop.code or 0
    except BaseException as error:
        return f"FAILED in the command: {type(error).__name__}: {error!s:.200}"
    text = err.getvalue()
    if code not in (0, 2) or "Traceback" in text or "--debug" in text:
        return f"FAILED in the command with {code}: {text[-200:]}"
    return ended


def _words(message: str, ended: str) -> str:
    """A message is one that a terminal can show."""
    try:
        message.encode()
    except UnicodeEncodeError:
        return f"FAILED in words that cannot be printed: {message!r:.200}"
    return ended if len(message) < 3000 else f"FAILED in {len(message)} letters: {message:.80}"
