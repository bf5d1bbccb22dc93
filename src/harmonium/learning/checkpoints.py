"""The course of a fit on disk, so that a run can end at any moment and go on later, bit by bit the
same.

A folder of checkpoints is written by Orbax: each is complete or absent, the last two are kept, and
every one holds the best state as well as the latest. Of arrays on many devices every process writes
and reads its own parts, so that a fit may go on with another number of devices or processes.
"""

import hashlib
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from harmonium.errors import CheckpointError, HarmoniumError
from harmonium.learning.devices import broadcast
from harmonium.learning.fit_progress import FitProgress
from harmonium.learning.trainer import State, Trainer
from harmonium.typing import RandomKey

N_KEPT = 2
# Writing takes this share of the time at most.
MAX_SHARE = 0.05

Identity = dict[str, str]


@dataclass
class Checkpoints:
    """Checkpoints of one fit, in one folder; `identity` tells it from other fits."""

    folder: Path
    identity: Identity
    _due: float = 0.0

    def save_if_due(self, course: FitProgress) -> None:
        """Save unless so little time has passed that saving would take a large share of it."""
        if broadcast(time.monotonic() >= self._due):
            self.save(course)

    def save(self, course: FitProgress) -> None:
        """Write the course; raises `CheckpointError` if that fails, and leaves what was there."""
        import orbax.checkpoint as ocp

        started = time.monotonic()
        arrays = {"state": _to_arrays(course.state), "best": _to_arrays(course.best)}
        loop = {
            "best_value": course.best_value,
            "since_best": course.since_best,
            "caution": course.trust_region_scale,
            "history": list(course.history),
            "identity": self.identity,
        }
        content = ocp.args.Composite(
            arrays=ocp.args.PyTreeSave(arrays),  # pyright: ignore[reportCallIssue]
            loop=ocp.args.JsonSave(loop),  # pyright: ignore[reportCallIssue]
        )
        with self._manager() as manager:
            if manager.latest_step() != len(course.history):
                manager.save(len(course.history), args=content)
        finished = time.monotonic()
        self._due = finished + (finished - started) / MAX_SHARE

    def restore(self, start: State) -> FitProgress | None:
        """The last course that can be read, or None if there is none; `start` has the structure of
        its states.

        Raises `CheckpointError` for checkpoints of another fit, and where there are some of which
        none can be read.
        """
        with self._manager() as manager:
            steps = sorted(manager.all_steps(), reverse=True)
            problems = []
            for step in steps:
                try:
                    loop = manager.restore(step, args=_loop_alone()).loop
                    self._check_identity(loop["identity"])
                    arrays = manager.restore(step, args=_arrays_like(start)).arrays
                    return _build_course(start, arrays, loop)
                except HarmoniumError:
                    raise
                except Exception as error:  # a damaged file may raise anything
                    problems.append(f"{type(error).__name__}: {str(error)[:200]}")
        if problems:
            raise CheckpointError(
                f"resume={str(self.folder)!r}: none of {len(steps)} checkpoints can be read ({problems[0]}). "
                "Try: fit again, into another folder."
            )
        return None

    def is_empty(self) -> bool:
        """Whether the folder holds no checkpoint."""
        with self._manager() as manager:
            return not manager.all_steps()

    @contextmanager
    def _manager(self) -> Iterator[Any]:
        import orbax.checkpoint as ocp

        # Orbax tells of every step on the way, and prints what it then raises.
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        policy = ocp.checkpoint_managers.LatestN(N_KEPT)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policy,
            enable_async_checkpointing=False,
            cleanup_tmp_directories=True,
        )
        try:
            with ocp.CheckpointManager(self.folder.absolute(), options=options) as manager:
                yield manager
        except (OSError, ValueError) as error:
            if isinstance(error, HarmoniumError):
                raise
            raise CheckpointError(
                f"checkpoints={str(self.folder)!r}: the state of the fit could not be written ({str(error)[:300]}). What "
                "was there before is kept. Try: free space or another folder, then resume."
            ) from error

    def _check_identity(self, found: Identity) -> None:
        odd = [name for name, value in self.identity.items() if found.get(name) != value]
        if odd:
            raise CheckpointError(
                f"resume={str(self.folder)!r}: the checkpoints are of another fit; other {', '.join(odd)}. Try: "
                "the same data, settings and seed, or a new folder."
            )


def identify(trainer: Trainer, start: State, key: RandomKey, n_updates: int) -> Identity:
    """What a fit depends on, in words or digests; the optimizer, of which nothing can be told, is
    not in it.
    """
    return {
        "data": _digest((trainer.training, trainer.held_out)),
        "model": _digest((start.parameters, trainer.static)) + eqx.tree_pformat(trainer.static),
        "objective": eqx.tree_pformat(trainer.objective) + _digest(trainer.objective),
        "settings": f"{trainer.settings} {trainer.updates_per_evaluation}",
        "number of updates": str(n_updates),
        "random key": _digest(key),
    }


def _loop_alone() -> Any:
    import orbax.checkpoint as ocp

    return ocp.args.Composite(loop=ocp.args.JsonRestore())  # pyright: ignore[reportCallIssue]


def _arrays_like(start: State) -> Any:
    """Arrays laid out over the devices in use as those of `start` are."""
    import orbax.checkpoint as ocp

    like = {name: _to_arrays(start) for name in ("state", "best")}
    layout = jax.tree.map(lambda leaf: ocp.ArrayRestoreArgs(sharding=leaf.sharding), like)
    return ocp.args.Composite(
        arrays=ocp.args.PyTreeRestore(item=like, restore_args=layout)  # pyright: ignore[reportCallIssue]
    )


def _build_course(start: State, arrays: dict[str, Any], loop: dict[str, Any]) -> FitProgress:
    return FitProgress(
        state=_from_arrays(start, arrays["state"]),
        best=_from_arrays(start, arrays["best"]),
        best_value=float(loop["best_value"]),
        since_best=int(loop["since_best"]),
        trust_region_scale=float(loop["caution"]),
        history=tuple(loop["history"]),
    )


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _to_arrays(tree: Any) -> list[jax.Array]:
    """The arrays of a tree, random keys as their numbers."""
    leaves = jax.tree.leaves(eqx.filter(tree, eqx.is_array))
    return [jax.random.key_data(leaf) if _is_key(leaf) else leaf for leaf in leaves]


def _from_arrays(like: Any, arrays: list[jax.Array]) -> Any:
    """A tree of the structure of `like` with these arrays."""
    dynamic, static = eqx.partition(like, eqx.is_array)
    leaves, structure = jax.tree.flatten(dynamic)
    restored = []
    for leaf, array in zip(leaves, arrays, strict=True):
        expected = jax.random.key_data(leaf) if _is_key(leaf) else leaf
        if array.shape != expected.shape or array.dtype != expected.dtype:
            raise ValueError(f"expected {expected.shape} {expected.dtype}; got {array.shape}")
        restored.append(jax.random.wrap_key_data(array) if _is_key(leaf) else array)
    return eqx.combine(jax.tree.unflatten(structure, restored), static)


def _digest(tree: Any) -> str:
    """A fingerprint of all arrays of a tree."""
    digest = hashlib.sha256()
    for array in map(np.asarray, _to_arrays(tree)):
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
