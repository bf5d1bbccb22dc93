"""An export is a folder: programs, the rules of the columns, a script that scores, and a page."""

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from harmonium.artifact import StoredDensity, StoredDetector
from harmonium.errors import InvalidInputError, Message, describe, message
from harmonium.export import control, rules, shapes  # noqa: F401  # Their rules join the others.
from harmonium.export.cells import column_rules, missing_texts
from harmonium.export.graphs import ROWS, require_onnx, to_onnx
from harmonium.export.readme import readme
from harmonium.export.scorers import Part, Program, density_parts, detector_parts
from harmonium.inference import Density

FORMATS = ("onnx", "stablehlo")
RULES_FILE, SCRIPT_FILE, PAGE_FILE = "columns.json", "score.py", "README.md"
# A StableHLO file serves the devices that it was written for.
PLATFORMS = ("cpu", "cuda", "tpu")
_OVERWRITE = Message("overwrite=True", "--overwrite")

OF_DENSITY = (
    "Draws, filled cells, features, and log Z itself: it is a number here, with the interval and "
    "the verdict that it had.",
)
OF_DETECTOR = (
    "Rows with missing cells, or with categories that training has not seen: their scores are "
    "means over draws of these cells. Their score here is NaN.",
    "Reasons, and p-values other than the split-conformal ones of `calibration`.",
)
_UNSEEN = {
    "density": "it is taken for missing, and the row pays for the rule that it breaks",
    "detector": "the row has no score: NaN",
}


@dataclass(frozen=True)
class Exported:
    """What was written: the folder, its files with their sizes in bytes, and what of the model is
    not in it, in sentences.
    """

    folder: Path
    files: dict[str, int]
    not_exported: tuple[str, ...]


def check_export(
    call: str, folder: str | Path, formats: Sequence[str], *, overwrite: bool = False
) -> None:
    """Raise `InvalidInputError` before any work is done, if these formats cannot be written or the
    folder must not be.
    """
    folder = Path(folder)
    if not formats or not set(formats) <= set(FORMATS):
        raise InvalidInputError(
            describe(call, expected=f"formats among {FORMATS}", got=repr(tuple(formats)))
        )
    if "onnx" in formats:
        require_onnx(call)
    if not folder.resolve().parent.is_dir():
        words = "{}: the folder {} does not exist. Try: create it, or another path."
        raise InvalidInputError(message(words, call, folder.resolve().parent))
    if not folder.exists():
        return
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / RULES_FILE).is_file()):
        words = "{}: {} is there already, and is no export. Try: another path."
        raise InvalidInputError(message(words, call, folder))
    if not overwrite and any(folder.iterdir()):
        words = "{}: {} exists already. Try: another path, or {}."
        raise InvalidInputError(message(words, call, folder, _OVERWRITE))


def export_fitted(
    stored: StoredDensity | StoredDetector,
    folder: str | Path,
    formats: Sequence[str] = FORMATS,
    *,
    overwrite: bool = False,
) -> Exported:
    """Write a score of rows as a folder that needs no harmonium: the log-density, or the anomaly
    score of complete rows.

    The sorted scores of the calibration rows and the offset of decisions go with a detector. Raises
    `InvalidInputError` for other formats or a path that is taken, and `ExportError` where an
    operation of the model has no counterpart; nothing is then written.
    """
    check_export("export", folder, formats, overwrite=overwrite)
    if isinstance(stored, StoredDensity):
        parts_of, facts = partial(density_parts, stored.density), _density_facts(stored.density)
    else:
        parts_of, facts = partial(detector_parts, stored.detector), _detector_facts(stored)
    return _write(parts_of, facts, stored.provenance, Path(folder), tuple(formats))


def _density_facts(density: Density) -> dict[str, Any]:
    coordinates = density.coordinates
    return {
        "kind": "density",
        "score": "log-density of a row, in nats and data units",
        "trusted": density.trusted,
        "verdict": density.verdict,
        "log_partition": _plain(asdict(density.log_partition)),
        "not_exported": list(OF_DENSITY),
        "missing": missing_texts(density.columns),
        "columns": column_rules(
            coordinates.marginals, _UNSEEN["density"], coordinates.lowest, coordinates.highest
        ),
    }


def _detector_facts(stored: StoredDetector) -> dict[str, Any]:
    detector = stored.detector
    completion = detector.completion
    return {
        "kind": "detector",
        "score": "how normal a row is, in nats: higher is more normal",
        "trusted": detector.trusted,
        "verdict": detector.verdict,
        "offset": stored.offset,
        "calibration": detector.calibration.tolist(),
        "not_exported": list(OF_DETECTOR),
        "missing": missing_texts(detector.columns),
        "columns": column_rules(
            detector.marginals, _UNSEEN["detector"], completion.lowest, completion.highest
        ),
    }


def to_stablehlo(program: Program, n_columns: int) -> bytes:
    """A program as a file of `jax.export`, for any number of rows; under `jax.enable_x64`."""
    (rows,) = jax.export.symbolic_shape(ROWS)
    shape = jax.ShapeDtypeStruct((rows, n_columns), np.float64)
    found = jax.export.export(jax.jit(program), platforms=PLATFORMS)(shape)
    return bytes(found.serialize())


_WRITERS: dict[str, Callable[[Program, int], bytes]] = {
    "onnx": to_onnx,
    "stablehlo": to_stablehlo,
}


def _write(
    parts_of: Callable[[], tuple[Part, ...]],
    facts: dict[str, Any],
    provenance: dict[str, Any],
    folder: Path,
    formats: tuple[str, ...],
) -> Exported:
    """All files, in a folder of another name first."""
    n_columns = len(facts["columns"])
    # Programs are traced as users run them: checks of our own annotations know no open sizes.
    with jax.enable_x64(True):
        parts = parts_of()
        files = {
            f"{part.name}.{kind}": _WRITERS[kind](part.program, n_columns)
            for part in parts
            for kind in formats
        }
    described = {
        "made_by": f"harmonium {version('harmonium')}",
        "formats": list(formats),
        "parts": [{"file": part.name, "rows": part.n_rows} for part in parts],
        **facts,
        "training": {name: provenance[name] for name in ("data", "versions") if name in provenance},
    }
    texts = {
        RULES_FILE: json.dumps(described, indent=1, allow_nan=False) + "\n",
        SCRIPT_FILE: Path(__file__).with_name("score.txt").read_text(encoding="utf-8"),
        PAGE_FILE: readme(described),
    }
    files |= {name: text.encode("utf-8") for name, text in texts.items()}
    _fill(folder, files)
    sizes = {name: len(content) for name, content in files.items()}
    return Exported(folder, sizes, tuple(facts["not_exported"]))


def _fill(folder: Path, files: dict[str, bytes]) -> None:
    """The folder with these files, all of them or none; an older export in its place is gone."""
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.resolve().parent))
    old = made.with_name(f"{made.name}.replaced")
    try:
        for name, content in files.items():
            (made / name).write_bytes(content)
        made.chmod(0o755)
        if folder.exists():
            folder.rename(old)
        made.rename(folder)
    except BaseException:
        if old.exists():
            old.rename(folder)
        shutil.rmtree(made, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no infinity."""
    return {
        name: None if isinstance(value, float) and not np.isfinite(value) else value
        for name, value in values.items()
    }
