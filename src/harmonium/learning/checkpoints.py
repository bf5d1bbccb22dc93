"""The course of a fit on disk, so that a run can end at any moment and go on later, bit by bit the
same.

A checkpoint is one safetensors file with the latest and the best state; what the loop remembers
stands as JSON in its header. A file is complete or absent, the last two are kept, and a digest
finds damage. The first of several processes writes; every process reads the whole file, so that a
fit may go on with another number of devices or processes.
"""

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from harmonium.errors import CheckpointError, HarmoniumError
from harmonium.files import write_atomically
from harmonium.learning.devices import broadcast, check_agreed, gather, is_first, lay_out
from harmonium.learning.fit_progress import FitProgress
from harmonium.learning.trainer import State, Trainer
from harmonium.typing import RandomKey

PATTERN = "checkpoint-*.safetensors"
# Writing takes this share of the time at most.
MAX_SHARE = 0.05

Identity = dict[str, str]
Arrays = dict[str, np.ndarray]
# What the loop remembers beside the states: plain values.
Memory = dict[str, Any]


@dataclass
class Checkpoints:
    """Checkpoints of one fit, in one folder; `identity` distinguishes it from other fits."""

    folder: Path
    identity: Identity
    _due: float = 0.0
    # The number of the checkpoint that was written or read last.
    _latest: int | None = None

    def make_folder(self) -> None:
        """Make the folder unless it is there; raises `CheckpointError` where it cannot be made."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._not_written(error) from error

    def is_empty(self) -> bool:
        """Whether the folder holds no checkpoint."""
        return not self._paths()

    def save_if_due(self, course: FitProgress) -> None:
        """Save unless so little time has passed that saving would take a large share of it."""
        if broadcast(time.monotonic() >= self._due):
            self.save(course)

    def save(self, course: FitProgress) -> None:
        """Write the course; raises `CheckpointError` if that fails, and leaves what was there.

        Every process calls it alike; the first one writes, and all fail where it fails.
        """
        number = len(course.history)
        if number == self._latest:
            return
        started = time.monotonic()
        states = gather({"state": course.state, "best": course.best})
        problem = self._try_to_write(number, states, self._memory(course)) if is_first() else None
        if broadcast(problem is not None):
            raise self._not_written(problem) from problem
        self._latest = number
        finished = time.monotonic()
        self._due = finished + (finished - started) / MAX_SHARE

    def restore(self, start: State) -> FitProgress | None:
        """The last course that can be read, or None if there is none; `start` has the structure of
        its states, and says how they lie on devices.

        Raises `CheckpointError` for checkpoints of another fit, and where there are some of which
        none can be read.
        """
        paths = self._paths()
        course, problems = None, []
        for path in reversed(paths):
            try:
                arrays, memory = _read(path)
                self._check_identity(memory["identity"])
                course = _build_course(start, arrays, memory)
                break
            except HarmoniumError:
                raise
            except Exception as error:  # a damaged file may raise anything
                problems.append(f"{type(error).__name__}: {str(error)[:200]}")
        if problems and course is None:
            raise CheckpointError(
                f"resume={str(self.folder)!r}: none of {len(paths)} checkpoints can be read "
                f"({problems[0]}). Try: fit again, into another folder."
            )
        self._latest = None if course is None else len(course.history)
        check_agreed(lambda: {"checkpoints": str(self._latest)})
        return course

    def _paths(self) -> list[Path]:
        """All checkpoints, the oldest first: their numbers have the same number of digits."""
        return sorted(self.folder.glob(PATTERN))

    def _path(self, number: int) -> Path:
        return self.folder / PATTERN.replace("*", f"{number:08d}")

    def _memory(self, course: FitProgress) -> Memory:
        return {
            "best_value": course.best_value,
            "since_best": course.since_best,
            "trust_region_scale": course.trust_region_scale,
            "history": course.history,
            "identity": self.identity,
        }

    def _try_to_write(
        self, number: int, states: dict[str, State], memory: Memory
    ) -> Exception | None:
        """Write a checkpoint and remove all but it and the one before; returns what went wrong."""
        kept = {self._path(number)}
        kept |= set() if self._latest is None else {self._path(self._latest)}
        try:
            write_atomically(self._path(number), lambda name: _write(name, states, memory))
            # Those of a killed process, too, which did not come to their names.
            for path in [*self._paths(), *self.folder.glob(f".{PATTERN}.*")]:
                if path not in kept:
                    path.unlink()
        except (OSError, SafetensorError) as error:
            return error
        return None

    def _not_written(self, problem: Exception | None) -> CheckpointError:
        """`problem` is None where it is that of another process."""
        what = "process 0 says why" if problem is None else str(problem)[:300]
        return CheckpointError(
            f"checkpoints={str(self.folder)!r}: the state of the fit could not be written "
            f"({what}). What "
            "was there before is kept. Try: free space or another folder, then resume."
        )

    def _check_identity(self, found: Identity) -> None:
        odd = [name for name, value in self.identity.items() if found.get(name) != value]
        if odd:
            raise CheckpointError(
                f"resume={str(self.folder)!r}: the checkpoints are of another fit; other "
                f"{', '.join(odd)}. Try: "
                "the same data, settings and seed, or a new folder."
            )


def identify(trainer: Trainer, start: State, key: RandomKey, n_updates: int) -> Identity:
    """What a fit depends on, in words or digests; the optimizer, which cannot be described, is
    not in it.
    """
    return {
        "data": _fingerprint((trainer.training, trainer.held_out)),
        "model": _fingerprint((start.parameters, trainer.static))
        + eqx.tree_pformat(trainer.static),
        "objective": eqx.tree_pformat(trainer.objective) + _fingerprint(trainer.objective),
        "settings": f"{trainer.settings} {trainer.updates_per_evaluation}",
        "number of updates": str(n_updates),
        "random key": _fingerprint(key),
    }


def _write(path: str, states: dict[str, State], memory: Memory) -> None:
    arrays = {
        f"{name}/{i}": np.asarray(array, order="C")
        for name, state in states.items()
        for i, array in enumerate(_to_arrays(state))
    }
    # Python writes floats so that they come back bit by bit, and NaN and infinities by name.
    text = json.dumps(memory)
    save_file(arrays, path, {"memory": text, "digest": _digest(text, arrays)})


def _read(path: Path) -> tuple[Arrays, Memory]:
    """What `_write` wrote; raises anything where the file is damaged."""
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if metadata["digest"] != _digest(metadata["memory"], arrays):
        raise ValueError(f"the content of {path.name} does not match its digest")
    return arrays, json.loads(metadata["memory"])


def _digest(text: str, arrays: Arrays) -> str:
    """SHA-256 of a text and of the names, types, shapes and bytes of arrays."""
    digest = hashlib.sha256(text.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\0{name}\0{array.dtype.str}{array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _build_course(start: State, arrays: Arrays, memory: Memory) -> FitProgress:
    return FitProgress(
        state=_from_arrays(start, arrays, "state"),
        best=_from_arrays(start, arrays, "best"),
        best_value=float(memory["best_value"]),
        since_best=int(memory["since_best"]),
        trust_region_scale=float(memory["trust_region_scale"]),
        history=tuple(memory["history"]),
    )


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _to_arrays(tree: Any) -> list[jax.Array]:
    """The arrays of a tree, random keys as their numbers."""
    leaves = jax.tree.leaves(eqx.filter(tree, eqx.is_array))
    return [jax.random.key_data(leaf) if _is_key(leaf) else leaf for leaf in leaves]


def _from_arrays(like: State, arrays: Arrays, name: str) -> State:
    """A state of the structure and the layout of `like` with the arrays of this name."""
    dynamic, static = eqx.partition(like, eqx.is_array)
    leaves, structure = jax.tree.flatten(dynamic)
    restored = []
    for i, leaf in enumerate(leaves):
        array = arrays[f"{name}/{i}"]
        expected = jax.random.key_data(leaf) if _is_key(leaf) else leaf
        if array.shape != expected.shape or array.dtype != expected.dtype:
            raise ValueError(
                f"expected {expected.shape} {expected.dtype}; got {array.shape} {array.dtype}"
            )
        found = lay_out(array, expected)
        restored.append(jax.random.wrap_key_data(found) if _is_key(leaf) else found)
    return eqx.combine(jax.tree.unflatten(structure, restored), static)


def _fingerprint(tree: Any) -> str:
    """A short digest of all arrays of a tree."""
    digest = hashlib.sha256()
    for array in map(np.asarray, _to_arrays(tree)):
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
