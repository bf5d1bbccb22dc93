"""Run folders: made under a temporary name and renamed when complete."""

import json
import math
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harmonium.errors import InvalidInputError
from harmonium.learning.result import Record


@contextmanager
def new_run_folder(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """A temporary folder that becomes `path` if the block succeeds and vanishes if it fails."""
    check_output(path, overwrite=overwrite)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.resolve().parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_output(path: Path, *, overwrite: bool) -> None:
    """Raise before any work is done if the output cannot or must not be written."""
    if path.exists() and not overwrite:
        raise InvalidInputError(f"{path} exists already. Try: another path, or --overwrite.")
    if path.is_dir() and not _is_run(path):
        raise InvalidInputError(
            f"{path} is a folder that does not look like a run; it is not replaced. Try: another path."
        )
    if not path.resolve().parent.is_dir():
        raise InvalidInputError(
            f"the folder {path.resolve().parent} does not exist. Try: create it, or another path."
        )


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


def _is_run(path: Path) -> bool:
    return (path / "model.safetensors").exists() or not any(path.iterdir())
