"""Where a table is written: a file beside the one it becomes, or standard output."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

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


class StandardOutput:
    """Standard output in the place of an `AtomicFile`: every batch is passed on at once.

    A reader that has gone raises `BrokenPipeError`, which is no fault of the user.
    """

    def __init__(self, call: str):
        self._call = call
        self.file: Any = _Unclosed()

    def __enter__(self) -> "StandardOutput":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def keep(self) -> None:
        """Nothing is left to do: what was written is there."""

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """What the system refuses, in our words."""
        try:
            yield
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise problem(self._call, "an output that takes bytes", reason(error)) from error


class _Unclosed(io.RawIOBase):
    """The bytes of standard output, which Arrow's writers must not close."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        return sys.stdout.buffer.write(data)
