"""Ways to damage an artifact: blindly by bytes, and by structure with the seal put on again."""

import copy
import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from harmonium.artifact.container import FORMAT, open_seal, seal

Rng = np.random.Generator

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 3, 7, 10**6, 2**31, 2**63, -(2**63), 10**40, 10**4000),
    *(0.5, -0.5, 1e-320, 1e308, -1e308, float("nan"), float("inf")),
    *("", "x", "NaN", "1", "true", "\x00", "\x1b[2J", "\ud800", "../../x", "identity", "é" * 5000),
    *([], {}, [[]], [1], [None], ["x"] * 3, [0] * 1000, {"name": "x"}, {"__class__": "os.system"}),
    *("MLP", "Identity", "FourierFeatures", "Spin", "relu", "detector", "density", "gradient"),
)
ODD_NUMBERS = (np.nan, np.inf, -np.inf, 1e38, -1e38, 1e300, 1e-300, 0.0, -1.0, 0.5, 1e9)
ODD_TENSOR_ENTRIES = (
    *({}, [], None, 0, {"dtype": "F32"}, {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}),
    *({"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}, "x"),
)


def damage(content: bytes, rng: Rng) -> tuple[str, bytes]:
    """What was done, and the damaged file."""
    kinds = list(WAYS)
    kind = kinds[rng.integers(len(kinds))]
    return kind, WAYS[kind](content, rng)


def _flip(content: bytes, rng: Rng, begin: int = 0, end: int | None = None) -> bytes:
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 9))):
        changed[int(rng.integers(begin, end or len(changed)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _flip_header(content: bytes, rng: Rng) -> bytes:
    return _flip(content, rng, 0, 8 + struct.unpack("<Q", content[:8])[0])


def _insert(content: bytes, rng: Rng) -> bytes:
    at, extra = int(rng.integers(len(content))), rng.bytes(int(rng.integers(1, 64)))
    return content[:at] + extra + content[at:]


def _delete(content: bytes, rng: Rng) -> bytes:
    at = int(rng.integers(len(content)))
    return content[:at] + content[at + int(rng.integers(1, 64)) :]


def _truncate(content: bytes, rng: Rng) -> bytes:
    return content[: int(rng.integers(len(content)))]


def _length(content: bytes, rng: Rng) -> bytes:
    odd = (0, 1, 8, len(content), len(content) * 2, 2**24 + 1, 2**31, 2**63, 2**64 - 1)
    return struct.pack("<Q", odd[rng.integers(len(odd))]) + content[8:]


def _edit_outer(content: bytes, rng: Rng) -> bytes:
    """The library's own header with odd tensors: shapes, types and places that are not so."""
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    names = [name for name in header if name != "__metadata__"]
    tensor = header[names[rng.integers(len(names))]]
    match int(rng.integers(6)):
        case 0:
            odd = ([2**40, 2**40], [-1], [0], [1e9], ["3"], [2**62, 4], [1] * 70, None)
            tensor["shape"] = odd[rng.integers(len(odd))]
        case 1:
            odd = ([0, 2**62], [-8, 8], [8, 0], None, [0], ["0", "8"], [0, 1e300])
            tensor["data_offsets"] = odd[rng.integers(len(odd))]
        case 2:
            tensor["dtype"] = ("F64", "F16", "BOOL", "U8", "", None, 3, [])[rng.integers(8)]
        case 3:
            name = names[rng.integers(len(names))]
            header[name] = ODD_TENSOR_ENTRIES[rng.integers(len(ODD_TENSOR_ENTRIES))]
        case 4:
            del header[names[rng.integers(len(names))]]
        case _:
            odd = (None, {}, {FORMAT: 3}, {FORMAT: "[" * 100_000}, {FORMAT: "{}"}, [])
            header["__metadata__"] = odd[rng.integers(len(odd))]
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def _edit_header(content: bytes, rng: Rng) -> bytes:
    """One or two entries of our own header replaced, dropped or added."""
    header, arrays = unpacked(content)
    for _ in range(int(rng.integers(1, 3))):
        place, key = _pick(header, rng)
        match int(rng.integers(4)):
            case 0:
                del place[key]
            case 1:
                place[key] = copy.deepcopy(_pick_value(header, rng))
            case _:
                place[key] = copy.deepcopy(ODD_VALUES[rng.integers(len(ODD_VALUES))])
    return packed(header, arrays)


def _nest(content: bytes, rng: Rng) -> bytes:
    header, arrays = unpacked(content)
    place, key = _pick(header, rng)
    place[key] = "@nest@"
    depth = int(rng.choice([10, 300, 3000, 100_000]))
    opening, closing = ("[", "]") if rng.integers(2) else ('{"head": ', "}")
    nested = opening * depth + "0" + closing * depth
    return packed(header, arrays, lambda text: text.replace('"@nest@"', nested))


def _repeat_key(content: bytes, rng: Rng) -> bytes:
    header, arrays = unpacked(content)
    keys = [key for key in header if rng.integers(3)] or ["kind"]
    key = keys[rng.integers(len(keys))]
    return packed(header, arrays, lambda text: text.replace(f'"{key}":', f'"{key}": 0, "{key}":'))


def _edit_tensor(content: bytes, rng: Rng) -> bytes:
    """A tensor of other values, shape, type or name, or none."""
    header, arrays = unpacked(content)
    names = sorted(arrays)
    name = names[rng.integers(len(names))]
    array = np.array(arrays[name])
    match int(rng.integers(7)):
        case 0:
            array = array.astype(array.dtype)
            with np.errstate(all="ignore"):
                array.flat[: max(1, array.size // 2)] = np.asarray(
                    ODD_NUMBERS[rng.integers(len(ODD_NUMBERS))]
                ).astype(array.dtype)
        case 1:
            array = array.reshape(array.shape[::-1]) if array.ndim > 1 else array[None]
        case 2:
            array = array[: len(array) // 2] if array.ndim else array
        case 3:
            array = np.concatenate([array, array]) if array.ndim else array
        case 4:
            with np.errstate(all="ignore"):
                array = array.astype(("f8", "f4", "i8", "f2", "?")[rng.integers(5)])
        case 5:
            arrays[names[rng.integers(len(names))]] = array
        case _:
            del arrays[name]
            arrays[name + "x"] = array
            return packed(header, arrays)
    arrays[name] = array
    return packed(header, arrays)


def _flip_tensor(content: bytes, rng: Rng) -> bytes:
    """Flipped bits in a tensor, sealed: numbers that look like numbers."""
    header, arrays = unpacked(content)
    names = [name for name in sorted(arrays) if arrays[name].size]
    name = names[rng.integers(len(names))]
    array = arrays[name]
    flipped = _flip(array.tobytes(), rng)
    arrays[name] = np.frombuffer(flipped, array.dtype).reshape(array.shape)
    return packed(header, arrays)


def unpacked(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of a whole artifact."""
    length = struct.unpack("<Q", content[:8])[0]
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    return json.loads(open_seal(metadata)[1]), dict(load(content))


def packed(
    header: dict[str, Any],
    arrays: dict[str, np.ndarray],
    change: Callable[[str], str] = lambda text: text,
) -> bytes:
    """An artifact of any content with a digest that fits; `change` may spoil the JSON text."""
    text = change(_dump(header))
    kept = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return save(kept, seal(text, kept))


def _dump(header: dict[str, Any]) -> str:
    # Python writes NaN and integers of any size, which is the point.
    return json.dumps(header).replace("\\ud800", "\\ud800")


def _pick(header: Any, rng: Rng) -> tuple[Any, Any]:
    """A container within the header, and a key or index of it."""
    place, key = header, None
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = keys[rng.integers(len(keys))]
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or rng.random() < 0.3:
            return place, key
        place = inner


def _pick_value(header: Any, rng: Rng) -> Any:
    place, key = _pick(header, rng)
    return place[key]


WAYS: dict[str, Callable[[bytes, Rng], bytes]] = {
    "bits flipped": _flip,
    "bits of the header flipped": _flip_header,
    "bytes inserted": _insert,
    "bytes deleted": _delete,
    "truncated": _truncate,
    "header length": _length,
    "tensor entry, unsealed": _edit_outer,
    "header entry, sealed": _edit_header,
    "deep nesting, sealed": _nest,
    "repeated key, sealed": _repeat_key,
    "tensor, sealed": _edit_tensor,
    "bits of a tensor flipped, sealed": _flip_tensor,
}
