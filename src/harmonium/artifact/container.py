"""The container of an artifact: a `.safetensors` file that is checked whole before anything of it
is used.

The header is read and checked here instead of by the library that writes it, so that sizes are
compared with the file before a byte of a tensor is read, and nothing passes that was not looked at.
A digest of everything finds accidental damage; it is no signature, so whoever makes a file on
purpose is met by the checks of every value. Nothing is ever unpickled.
"""

import hashlib
import json
import math
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from safetensors.numpy import save_file

from harmonium.errors import ArtifactError, Message, about, describe, file_call, message
from harmonium.files import write_atomically

Config = dict[str, Any]
Arrays = dict[str, np.ndarray]

FORMAT = "harmonium"
FORMAT_VERSION = 9
# Limits that no fitted model comes near; they bound the time and memory that a hostile file can
# take.
MAX_FILE_BYTES = 1 << 31
MAX_HEADER_BYTES = 1 << 24
MAX_DIGITS = 18
MAX_RANK = 4

_WRITTEN = Message(
    "a file written by save() or by `harmonium fit`", "a run folder written by `harmonium fit`"
)
_LENGTH_BYTES = 8
_DTYPES = {"F64": "<f8", "F32": "<f4", "I64": "<i8"}


def write_container(path: str | Path, header: Config, arrays: Arrays) -> None:
    """Write a header of plain values and named arrays; the file appears whole or not at all."""
    folder, call = Path(path).parent, file_call("save", path)
    if not folder.is_dir():
        words = "{}: the folder {!r} does not exist. Try: create it first."
        raise ArtifactError(message(words, call, str(folder)))
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    for name, array in contiguous.items():
        if array.dtype.str not in _DTYPES.values():
            got = f"{array.dtype} in {name}"
            expected = "arrays of float64, float32 or int64"
            raise ArtifactError(describe(call, expected=expected, got=got))
    try:
        text = json.dumps({"format_version": FORMAT_VERSION, **header}, allow_nan=False)
    except ValueError as error:
        got = f"a fit with others ({error})"
        raise ArtifactError(
            describe(call, expected="finite figures", got=got, hint="fit again")
        ) from error
    if len(text) > MAX_HEADER_BYTES // 3:
        expected = f"at most {MAX_HEADER_BYTES // 3} bytes of settings and categories"
        raise ArtifactError(
            describe(call, expected=expected, got=f"{len(text)}", hint="fewer categories")
        )
    metadata = seal(text, contiguous)
    write_atomically(path, lambda temporary: save_file(contiguous, temporary, metadata))


def read_container(path: str | Path) -> tuple[Config, Arrays]:
    """What `write_container` wrote; `ArtifactError` for anything else."""
    path = Path(path)
    call = file_call("load", path)
    if not path.is_file():
        hint = "the path of a model.safetensors"
        raise ArtifactError(about(call, "there is no such file.", hint))
    try:
        tensors, metadata, start = _read_header(path)
        stated, text = open_seal(metadata)
        header = parse(text)
        found = header["format_version"]
    except (OSError, KeyError, TypeError, ValueError, RecursionError, MemoryError) as error:
        finding = f"not a harmonium model ({_reason(error)})."
        raise ArtifactError(about(call, finding, _WRITTEN)) from error
    if type(found) is not int or found != FORMAT_VERSION:
        hint = f"the harmonium release that wrote it; this one is {version('harmonium')}"
        expected = f"format version {FORMAT_VERSION}"
        raise ArtifactError(describe(call, expected=expected, got=f"{found!r:.40}", hint=hint))
    arrays = _read_arrays(path, tensors, start)
    if stated != digest(text, arrays):
        finding = "the file is damaged: its content does not match its digest."
        hint = "copy it again, or fit and save the model again"
        raise ArtifactError(about(call, finding, hint))
    return header, arrays


def read_kind(path: str | Path) -> str:
    """What a file says that it holds, empty where it says nothing; `read_container` checks it."""
    try:
        _, metadata, _ = _read_header(Path(path))
        kind = parse(open_seal(metadata)[1]).get("kind", "")
    except (OSError, KeyError, TypeError, ValueError, RecursionError, MemoryError, AttributeError):
        return ""
    return kind if isinstance(kind, str) else ""


def seal(text: str, arrays: Arrays) -> dict[str, str]:
    """The metadata of a file: one entry, digest and header, since several would be stored in a
    random order.
    """
    return {FORMAT: f"{digest(text, arrays)}\n{text}"}


def open_seal(metadata: dict[str, str]) -> tuple[str, str]:
    """The stated digest, empty where there is none, and the header."""
    entry = metadata[FORMAT]
    if not isinstance(entry, str):
        raise TypeError(f"its {FORMAT} entry is no text")
    stated, _, text = entry.rpartition("\n")
    return stated, text


def digest(text: str, arrays: Arrays) -> str:
    """The SHA-256 digest of a header and of names, types, shapes and bytes of its arrays."""
    found = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        found.update(f"\0{name}\0{array.dtype.str}{array.shape}\0".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def parse(text: str) -> Config:
    """One JSON object without what two readers could take for different things; else
    `ValueError`.
    """
    if not isinstance(text, str) or len(text) > MAX_HEADER_BYTES:
        raise ValueError(f"expected a header of at most {MAX_HEADER_BYTES} bytes")
    value = json.loads(
        text,
        object_pairs_hook=_distinct,
        parse_constant=_refuse,
        parse_int=_whole,
        parse_float=_finite,
    )
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object; got a {type(value).__name__}")
    # Halves of surrogate pairs are no text: printing a name with one would fail.
    json.dumps(value, ensure_ascii=False).encode()
    return value


def _read_header(path: Path) -> tuple[dict[str, Any], dict[str, Any], int]:
    """Tensors as described, metadata, and where the tensors start, once all sizes are those of the
    file.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_FILE_BYTES:
            raise ValueError(f"expected at most {MAX_FILE_BYTES} bytes; got {size}")
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        start = _LENGTH_BYTES + length
        if length > MAX_HEADER_BYTES or start > size:
            raise ValueError(f"a header of {length} bytes in a file of {size}")
        described = parse(file.read(length).decode())
    metadata = described.pop("__metadata__")
    end = 0
    for name, tensor in sorted(described.items(), key=lambda item: item[1]["data_offsets"]):
        end = _checked_end(name, tensor, end)
    if start + end != size:
        raise ValueError(f"expected {start + end} bytes by its header; got {size}")
    return described, metadata, start


def _checked_end(name: str, tensor: Config, begin: int) -> int:
    """Where a tensor ends that has to begin where the one before it ended."""
    shape, offsets, dtype = tensor["shape"], tensor["data_offsets"], tensor["dtype"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ValueError(f"{name:.80}: expected a dtype among {sorted(_DTYPES)}; got {dtype!r:.40}")
    if not isinstance(shape, list) or len(shape) > MAX_RANK:
        raise ValueError(f"{name:.80}: expected a shape of at most {MAX_RANK} sizes")
    if any(type(n) is not int or not 0 <= n <= MAX_FILE_BYTES for n in shape):
        raise ValueError(f"{name:.80}: expected sizes from 0 to {MAX_FILE_BYTES}")
    # A product of Python integers cannot wrap around.
    end = begin + math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize
    if offsets != [begin, end] or set(tensor) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{name:.80}: its place in the file does not fit its shape")
    return end


def _read_arrays(path: Path, tensors: dict[str, Any], start: int) -> Arrays:
    """The described arrays, which share one block of memory that cannot be written to."""
    try:
        content = path.read_bytes()
        return {
            name: np.frombuffer(
                content, _DTYPES[tensor["dtype"]], math.prod(tensor["shape"]), start + begin
            ).reshape(tensor["shape"])
            for name, tensor in tensors.items()
            for begin in tensor["data_offsets"][:1]
        }
    except (OSError, ValueError, MemoryError) as error:
        finding = f"the file cannot be read ({error})."
        raise ArtifactError(about(file_call("load", path), finding)) from error


def _reason(error: Exception) -> str:
    """What is wrong, in words where Python only names it."""
    if isinstance(error, KeyError):
        return f"it has no {error!s:.80}"
    return str(error) if type(error) is ValueError else f"{type(error).__name__}: {error!s:.200}"


def _distinct(pairs: list[tuple[str, Any]]) -> Config:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"expected finite numbers; got {constant}")


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"expected whole numbers of at most {MAX_DIGITS} digits")
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _refuse(digits[:40])
