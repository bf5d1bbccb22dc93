"""A file that is written beside the one it becomes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from harmonium.data.problems import problem, reason


class AtomicFile:
    """A file beside `path` that takes its place if it is kept: a reader never sees half a file."""

    def __init__(self, path: Path, call: str):
        self._path, self._call = path, call
        self._own = path.with_name(f".{path.name}.{os.getpid()}.partial")
        with self.refusals():
            self.file: IO[bytes] = self._own.open("wb")

    def __enter__(self) -> "AtomicFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self._own.unlink(missing_ok=True)

    def keep(self) -> None:
        """Put the file in the place of `path`."""
        with self.refusals():
            self.file.close()
            os.replace(self._own, self._path)

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """What the system refuses, in our words."""
        try:
            yield
        except OSError as error:
            hint = f"create the folder {str(self._path.parent)!r}, or choose another"
            raise problem(self._call, "a file that can be written", reason(error), hint) from error
