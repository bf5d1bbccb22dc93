"""NumPy's files, of which nothing is unpickled: a pickle could run code.

NumPy's own words for that tell the reader to allow it, so that such files are told apart here.
"""

import os
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

_ARCHIVES = (b"PK\x03\x04", b"PK\x05\x06")
_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def load_plain(path: str | os.PathLike[str], *, mapped: bool = False) -> Any:
    """The array of an NPY file, or an NPZ archive.

    If `mapped`, that of an NPY file stays on disk until its cells are used. Raises `ValueError` for
    a file that is neither or holds Python objects, and whatever NumPy raises for damage.
    """
    with open(path, "rb") as file:
        start = file.read(len(npy.MAGIC_PREFIX))
        if start == npy.MAGIC_PREFIX:
            file.seek(0)
            refuse_objects(file)
        elif not start.startswith(_ARCHIVES):
            raise ValueError("a file of another format")
    return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)


def refuse_objects(file: BinaryIO) -> None:
    """Raise `ValueError` if this NPY file, at its start, holds an array of Python objects."""
    read = _READERS.get(npy.read_magic(file))
    if read is not None and read(file)[2].hasobject:
        raise ValueError("an array of Python objects")
