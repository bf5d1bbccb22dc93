"""Run folders: made under a temporary name and renamed when complete."""

import json
import math
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harmonium.cli.options import DETECTOR_FILE
from harmonium.errors import InvalidInputError
from harmonium.learning.result import Record

RUN_FILES = {"model.safetensors", "config.toml", "history.parquet", "metrics.json"}
EXTRA_FILES = {DETECTOR_FILE, "report.html", "samples.png", "training.png"}
TABLE_SUFFIXES = (".csv", ".parquet", ".npy")
# Of tables with words in them.
MIXED_SUFFIXES = (".csv", ".parquet")


@contextmanager
def new_run_folder(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """A temporary folder that becomes `path` if the block succeeds and vanishes if it fails.

    An old run is moved aside first and deleted last, so that one of the two always exists.
    """
    check_run_output(path, overwrite=overwrite)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.resolve().parent))
    aside = temporary.with_name(temporary.name + ".old")
    try:
        yield temporary
        temporary.chmod(0o755)
        if path.exists():
            path.rename(aside)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if path.exists():
            shutil.rmtree(aside, ignore_errors=True)


def check_run_output(path: Path, *, overwrite: bool) -> None:
    """Raise before any work is done if a run folder cannot or must not be written here.

    Only a folder that holds a run and nothing else is ever replaced.
    """
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise InvalidInputError(f"{path} is not a folder; it is not replaced. Try: another path.")
    if path.resolve() in (Path.cwd(), *Path.cwd().parents):
        raise InvalidInputError(f"{path} is where you are. Try: the name of a new folder.")
    names = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
    if names and not (RUN_FILES <= names <= RUN_FILES | EXTRA_FILES):
        raise InvalidInputError(
            f"{path} is a folder that does not look like a run; it is not replaced. "
            "Try: another path."
        )
    if names and not overwrite:
        raise InvalidInputError(f"{path} exists already. Try: another path, or --overwrite.")
    check_parent(path)


def check_table_output(
    path: Path, *, overwrite: bool, suffixes: tuple[str, ...] = TABLE_SUFFIXES
) -> None:
    """Raise before any work is done if a table cannot or must not be written here."""
    if path.suffix.lower() not in suffixes:
        raise InvalidInputError(
            f"{path}: expected a name that ends in {', '.join(suffixes)}; "
            f"got {path.suffix or 'no extension'!r}."
        )
    if path.is_dir():
        raise InvalidInputError(f"{path} is a folder. Try: the name of a file.")
    if path.exists() and not overwrite:
        raise InvalidInputError(f"{path} exists already. Try: another path, or --overwrite.")
    check_parent(path)


def check_parent(path: Path) -> None:
    """Raise unless something can be made beside `path`."""
    parent = path.resolve().parent
    if not parent.is_dir():
        raise InvalidInputError(
            f"the folder {parent} does not exist. Try: create it, or another path."
        )
    try:
        Path(tempfile.mkdtemp(prefix=".harmonium.", dir=parent)).rmdir()
    except OSError as error:
        raise InvalidInputError(
            f"nothing can be written in {parent} ({error.strerror}). Try: another path."
        ) from error


def read_config(path: Path) -> dict[str, Any]:
    """The settings of a config.toml."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInputError(
            f"--config {path}: not a TOML file that can be read: {error}"
        ) from error


def write_config(folder: Path, config: dict[str, Any]) -> None:
    """config.toml: every setting as it was resolved; settings that are off are left out."""
    import tomli_w

    given = {name: value for name, value in config.items() if value is not None}
    (folder / "config.toml").write_text(tomli_w.dumps(given), encoding="utf-8")


def write_metrics(folder: Path, metrics: dict[str, Any]) -> None:
    """metrics.json: the figures of the run."""
    text = json.dumps(to_json(metrics), indent=2)
    (folder / "metrics.json").write_text(text + "\n", encoding="utf-8")


def write_history(folder: Path, history: tuple[Record, ...]) -> None:
    """history.parquet: one row per evaluation."""
    import pyarrow as pa
    from pyarrow import parquet

    names = dict.fromkeys(name for record in history for name in record)
    table = pa.table({name: [record.get(name) for record in history] for name in names})
    parquet.write_table(table, folder / "history.parquet")


def to_json(value: Any) -> Any:
    """The same value with NaN and infinities as null, which JSON does not know."""
    if isinstance(value, dict):
        return {name: to_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
