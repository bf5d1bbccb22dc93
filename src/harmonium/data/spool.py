"""A stream of bytes as a table that can be read more than once, and in constant memory."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from harmonium.data.arrows import FILE_MARK
from harmonium.data.dialects import Dialect
from harmonium.data.problems import problem, read_errors
from harmonium.data.sources import TableFile

# How formats begin that are not text; an Arrow stream begins with a length of four such bytes.
_MARKS = {
    FILE_MARK: ".arrow",
    b"\xff\xff\xff\xff": ".arrows",
    b"PAR1": ".parquet",
    b"\x93NUMPY": ".npy",
    b"PK\x03\x04": ".npz",
}
_CHUNK_BYTES = 1 << 20


@contextmanager
def spooled(stream: IO[bytes], title: str, dialect: Dialect | None = None) -> Iterator[TableFile]:
    """A block in which what a stream has to say, to its end, is a table file called `title`.

    Its first bytes tell its kind: Arrow, Parquet, NPY, or else CSV, packed or not. Lists and holes
    take more than one pass over the rows, so that they are kept in a temporary file, which is gone
    after the block. Raises `InvalidInputError` where there is not a byte, or the disk is full.
    """
    with tempfile.TemporaryDirectory(prefix="harmonium-") as folder:
        with read_errors(title):
            head = stream.read(_CHUNK_BYTES)
            if not head:
                raise problem(title, "a table", "nothing")
            ending = next((own for mark, own in _MARKS.items() if head.startswith(mark)), ".csv")
            path = Path(folder, f"stream{ending}")
            with path.open("wb") as file:
                file.write(head)
                shutil.copyfileobj(stream, file, _CHUNK_BYTES)
        yield TableFile.of(path, dialect, title)
