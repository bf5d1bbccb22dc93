"""Run folders: begun with the settings, filled as the fit goes on, complete when the figures are
there.
"""

import json
import math
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harmonium.cli.later import Later
from harmonium.cli.options import CONFIG_FILE, DETECTOR_FILE, METRICS_FILE, MODEL_FILE
from harmonium.cli.toml_text import to_toml
from harmonium.errors import InvalidInputError
from harmonium.files import write_atomically

if TYPE_CHECKING:
    from harmonium.report import card_page
else:
    card_page = Later("harmonium.report.card_page")

CHECKPOINTS = "checkpoints"
# The model card, for people and for programs.
CARD_PAGE, CARD_FILE = "card.md", "card.json"
# Of config.toml: what identifies the table of a run. It is no setting.
DATA_SECTION = "data"
RUN_FILES = {
    MODEL_FILE,
    CONFIG_FILE,
    "history.parquet",
    METRICS_FILE,
    DETECTOR_FILE,
    "report.html",
    "explorer.html",
    "samples.png",
    "hidden.png",
    CARD_PAGE,
    CARD_FILE,
    CHECKPOINTS,
    "tensorboard",
}
TABLE_SUFFIXES = (".csv", ".parquet", ".arrow", ".npy")
# Of tables with words in them.
MIXED_SUFFIXES = (".csv", ".parquet", ".arrow")


@dataclass(frozen=True)
class RunFolder:
    """A run on disk. The settings are written first and the figures last: with them it is
    complete.
    """

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Where the state of the fit is saved."""
        return self.path / CHECKPOINTS

    @property
    def is_complete(self) -> bool:
        """Whether the fit came to its end, or was stopped with a model."""
        return (self.path / METRICS_FILE).is_file()

    @property
    def _replaced(self) -> Path:
        """The run that stood here before, until this one is complete."""
        return self.path.with_name(self.path.name + ".replaced")

    def begin(self) -> None:
        """Make the folder; a run that stands there is moved aside if it is complete, and deleted if
        not.
        """
        if self.path.exists():
            if self.is_complete and not self._replaced.exists():
                self.path.rename(self._replaced)
            else:
                shutil.rmtree(self.path)
        self.path.mkdir()

    def reopen(self) -> None:
        """Go on with what is there; from now on it is not complete."""
        (self.path / METRICS_FILE).unlink(missing_ok=True)

    def finish(self) -> None:
        """Remove what is not needed any more, after the figures have been written."""
        for leftover in self.path.glob(".*"):
            leftover.unlink()
        shutil.rmtree(self._replaced, ignore_errors=True)

    def abandon(self) -> None:
        """Remove the folder unless a fit can go on from it; the run that stood here before comes
        back.
        """
        if any(path.is_file() for path in self.checkpoints.rglob("*.safetensors")):
            return
        shutil.rmtree(self.path, ignore_errors=True)
        if self._replaced.exists():
            self._replaced.rename(self.path)


@contextmanager
def filling(folder: RunFolder, *, resume: bool) -> Iterator[None]:
    """A block that fills a folder; where it fails, nothing is left but what a fit can go on
    from.
    """
    if resume:
        folder.reopen()
    else:
        folder.begin()
    try:
        yield
    except BaseException:
        folder.abandon()
        raise
    folder.finish()


def check_run_output(path: Path, *, overwrite: bool) -> None:
    """Raise before any work is done if a run folder cannot or must not be written here.

    Only a folder that holds a run and nothing else is ever replaced.
    """
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise InvalidInputError(f"{path} is not a folder; it is not replaced. Try: another path.")
    if path.resolve() in (Path.cwd(), *Path.cwd().parents):
        raise InvalidInputError(f"{path} is where you are. Try: the name of a new folder.")
    names = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
    foreign = {name for name in names - RUN_FILES if not _is_half_written(name)}
    if names and (foreign or CONFIG_FILE not in names):
        raise InvalidInputError(
            f"{path} is a folder that does not look like a run; it is not replaced. "
            "Try: another path."
        )
    if names and not overwrite:
        way = "another path, or --overwrite"
        if not RunFolder(path).is_complete:
            raise InvalidInputError(
                f"{path} holds a run that is not finished. Try: harmonium fit DATA --resume "
                f"{path}, {way}."
            )
        raise InvalidInputError(f"{path} exists already. Try: {way}.")
    check_parent(path)


def check_resumable(path: Path) -> None:
    """Raise unless a fit was begun in this folder."""
    if not (path / CONFIG_FILE).is_file():
        raise InvalidInputError(
            f"--resume {path}: there is no run here, no {CONFIG_FILE}. Try: the folder that `fit "
            "-o` was given."
        )


def _is_half_written(name: str) -> bool:
    """Whether a file is what a killed process left of one of ours."""
    return any(name.startswith(f".{known}.") for known in RUN_FILES)


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


def check_output(path: Path | None, *, overwrite: bool) -> None:
    """The same of a table that need not be written."""
    if path is not None:
        check_table_output(path, overwrite=overwrite)


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
    given = {name: value for name, value in config.items() if value is not None}
    _write_text(folder / CONFIG_FILE, to_toml(given))


def write_metrics(folder: Path, metrics: dict[str, Any]) -> None:
    """metrics.json: the figures of the run."""
    _write_text(folder / METRICS_FILE, json.dumps(to_json(metrics), indent=2) + "\n")


def write_card(folder: Path, card: dict[str, Any]) -> None:
    """card.json and card.md: the model card."""
    _write_text(folder / CARD_FILE, json.dumps(card, indent=2) + "\n")
    _write_text(folder / CARD_PAGE, card_page.card_markdown(card))


def _write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda temporary: Path(temporary).write_text(text, encoding="utf-8"))


def to_json(value: Any) -> Any:
    """The same value with NaN and infinities as null, which JSON does not know."""
    if isinstance(value, dict):
        return {name: to_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
