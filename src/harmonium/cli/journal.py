"""The record of a folder of results: with which settings, and which tables are done.

One JSON object per line: the settings first, then each table once its results are in place. A
process may be killed at any moment; what the last line lacks is done again.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harmonium.cli.places import JOURNAL
from harmonium.errors import InvalidInputError

Answer = dict[str, Any]


def digest(path: Path) -> str:
    """What tells a file from others: the SHA-256 of its bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Journal:
    """What was done in a folder of results, and what is being done.

    `settings` are plain values. Raises `InvalidInputError` where the folder was begun with others,
    unless it is to be begun anew.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, anew: bool):
        self._path = folder / JOURNAL
        first, *done = self._lines() or [{"settings": dict(settings)}]
        begun = first["settings"]
        if anew:
            done = []
        elif begun != settings:
            names = sorted(set(begun) | set(settings))
            name = next(name for name in names if begun.get(name) != settings.get(name))
            raise InvalidInputError(
                f"{folder} was begun with {name} {_shown(begun.get(name))}, and this call has "
                f"{_shown(settings.get(name))}. Try: another folder, or --overwrite to begin anew."
            )
        self._done = {each["file"]: each for each in done}
        # Without a line that a killed process may have left half-written.
        lines = [{"settings": dict(settings)}, *done]
        self._path.write_text("".join(map(_line, lines)), encoding="utf-8")

    def kept(self, name: str, source: Path, result: Path) -> Answer | None:
        """What was found of a table before, if its results are there and the table is the same."""
        found = self._done.get(name)
        if found is None or found["source"] != _mark(source):
            return None
        return found["answer"] if result.is_file() or not found["answer"]["rows"] else None

    def add(self, name: str, source: Path, answer: Answer) -> None:
        """Note that a table is done."""
        entry = {"file": name, "source": _mark(source), "answer": answer}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line(entry))

    def _lines(self) -> list[dict[str, Any]]:
        """The whole lines that are there already."""
        if not self._path.is_file():
            return []
        *whole, _ = self._path.read_text(encoding="utf-8").split("\n")
        try:
            return [json.loads(line) for line in whole]
        except ValueError as error:
            raise InvalidInputError(
                f"{self._path} is damaged ({error}). Try: another folder, or remove the file."
            ) from error


def _mark(path: Path) -> list[int]:
    """What changes with the content of a table."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _line(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry) + "\n"


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)
