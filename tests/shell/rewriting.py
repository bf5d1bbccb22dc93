"""Changing an artifact on disk, to see that damage is found."""

import json

from safetensors import safe_open
from safetensors.numpy import save_file

from harmonium.artifact.container import open_seal, seal


def rewrite(path, *, header=None, arrays=None):
    """The same file, well sealed, with some header entries or arrays replaced; a value of None
    drops an entry."""
    with safe_open(path, framework="numpy") as file:
        stored = json.loads(open_seal(file.metadata())[1])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    stored.update(header or {})
    tensors.update(arrays or {})
    kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    text = json.dumps({name: value for name, value in stored.items() if value is not None})
    save_file(kept, path, seal(text, kept))
