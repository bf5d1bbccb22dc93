"""Many devices, of one process or of several: the only module that names them.

Chains and batches are split over a row of devices; parameters, optimizer and table are whole on
each. The compiler derives from that which sums go between devices (docs/scaling.md). It is a matter
of layout alone: every function computes what it computes on one device, up to the order of sums.

    with use_devices(8):
        fit(model, data, key=key)
"""

import os
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import equinox as eqx
import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, get_abstract_mesh

from harmonium.errors import InvalidInputError, LostProcessError, describe

T = TypeVar("T")

AXIS = "devices"
# Seconds of silence after which a process counts as lost.
HEARTBEAT = 60
# Seconds that processes wait for the slowest at the end: the first still writes a report then.
PATIENCE = 24 * 3600
# What JAX says, in one place or another, where a process is gone.
SIGNS_OF_LOSS = ("gloo", "nccl", "barrier", "heartbeat", "coordination service")

_wanted: ContextVar[Mesh | None] = ContextVar("wanted", default=None)


@contextmanager
def use_devices(n: int | None = None) -> Iterator[None]:
    """A block in which `fit` trains on `n` devices, or on all there are, those of other processes
    too.

    Batch size and number of chains must be multiples of their number. The result is that of one
    device up to the order of sums. Every process of a run must enter the block and call the same in
    it. Raises `InvalidInputError` if there are fewer devices.
    """
    present, n_processes = jax.devices(), jax.process_count()
    n = len(present) if n is None else n
    if n_processes > 1 and n != len(present):
        raise InvalidInputError(
            describe(
                f"{n} device(s)",
                expected=f"all {len(present)} of the {n_processes} processes",
                got=f"{n}",
                hint="no number; CUDA_VISIBLE_DEVICES hides devices from a process",
            )
        )
    if not 1 <= n <= len(present):
        raise InvalidInputError(
            describe(
                f"{n} device(s)",
                expected=f"from 1 to {len(present)}, as many as JAX finds here",
                got=f"{n}",
                hint="fewer; or, to try it on a CPU, "
                f"XLA_FLAGS=--xla_force_host_platform_device_count={max(n, 2)} in the environment",
            )
        )
    mesh = jax.make_mesh((n,), (AXIS,), axis_types=(AxisType.Auto,), devices=present[:n])
    before = _wanted.set(mesh if n > 1 else None)
    try:
        yield
    finally:
        _wanted.reset(before)


@contextmanager
def on_devices() -> Iterator[None]:
    """A block whose compiled code runs on the devices in use; outside of it, JAX computes on
    one.
    """
    mesh = _wanted.get()
    if mesh is None:
        yield
        return
    with jax.set_mesh(mesh):
        yield


def check_even(name: str, size: int) -> None:
    """Raise `InvalidInputError` if the devices in use cannot share so many rows or chains
    evenly.
    """
    mesh = _wanted.get()
    if mesh is not None and size % mesh.size:
        raise InvalidInputError(
            describe(
                f"{mesh.size} devices",
                expected=f"a {name} that is a multiple of {mesh.size}",
                got=f"{name}={size}",
                hint=f"{name}={-(-size // mesh.size) * mesh.size}, or another number of devices",
            )
        )


def shard(tree: T, axis: int = 0) -> T:
    """The same arrays, split along an axis where code runs on several devices."""
    if get_abstract_mesh().empty:
        return tree
    layout = PartitionSpec(*[None] * axis, AXIS)
    dynamic, static = eqx.partition(tree, eqx.is_array)
    return eqx.combine(jax.lax.with_sharding_constraint(dynamic, layout), static)


def replicate(tree: T) -> T:
    """The same arrays on the devices in use: those that are not split are whole on each."""
    mesh = _wanted.get()
    if mesh is None:
        return tree

    def is_elsewhere(leaf: object) -> bool:
        return isinstance(leaf, jax.Array) and len(leaf.sharding.device_set) < mesh.size

    elsewhere, rest = eqx.partition(tree, is_elsewhere)
    return eqx.combine(_whole(mesh, elsewhere), rest)


def gather(tree: T) -> T:
    """The same arrays, each whole on one device of this process, for what is not computed on
    many.
    """
    mesh = _wanted.get()
    if mesh is None:
        return tree
    dynamic, static = eqx.partition(tree, eqx.is_array)
    whole = _whole(mesh, dynamic)
    return eqx.combine(jax.tree.map(lambda leaf: leaf.addressable_data(0), whole), static)


def lay_out(array: np.ndarray, like: jax.Array) -> jax.Array:
    """An array that every process has whole, with the values of `array`, on the devices of `like`
    and split as that is.
    """
    return jax.make_array_from_callback(like.shape, like.sharding, lambda part: array[part])


def is_first() -> bool:
    """Whether this process writes for all: it is the first, or the only one."""
    return _is_alone() or jax.process_index() == 0


def broadcast(value: T) -> T:
    """What the first process says of numbers that may differ between processes, such as times."""
    if _is_alone():
        return value
    return jax.tree.map(lambda leaf: leaf.item(), multihost_utils.broadcast_one_to_all(value))


def check_agreed(describe_own: Callable[[], dict[str, str]]) -> None:
    """Raise `InvalidInputError` if this process has other settings than the first one; by name.

    `describe_own` gives the settings in words; it is not called where there is one process only.
    """
    if _is_alone():
        return
    own = {name: zlib.crc32(text.encode()) >> 1 for name, text in describe_own().items()}
    odd = [name for name, value in broadcast(own).items() if value != own[name]]
    if odd:
        raise InvalidInputError(
            describe(
                "several processes",
                expected="the same data, settings and seed in each",
                got=f"other {', '.join(odd)} in process {jax.process_index()} than in process 0",
            )
        )


@contextmanager
def joined(
    coordinator: str | None = None, n_processes: int | None = None, process: int | None = None
) -> Iterator[bool]:
    """A block that runs in every process of a run, with all their devices; gives whether this is
    the first.

    To be entered before JAX computes anything. Without arguments the cluster is asked (Slurm, Open
    MPI, Kubernetes, TPU). `coordinator` is HOST:PORT, an address of process 0 that the others
    reach. Raises `LostProcessError` where another process ends early. After an exception the
    process should end at once (`os._exit`): an orderly exit of Python would wait for the others.
    """
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(
            coordinator,
            n_processes,
            process,
            heartbeat_timeout_seconds=HEARTBEAT,
            shutdown_timeout_seconds=PATIENCE,
        )
    except (RuntimeError, ValueError, TypeError) as error:
        needed = (
            "Slurm, Open MPI or Kubernetes, which say what processes there are"
            if coordinator is None
            else f"{n_processes} processes to meet at {coordinator}"
        )
        raise InvalidInputError(
            describe(
                "several processes",
                expected=needed,
                got=_first_line(error).rstrip("."),
                hint=(
                    "a coordinator by its address, with the number of processes and that of this "
                    "one"
                ),
            )
        ) from error
    try:
        _meet()
        yield jax.process_index() == 0
    except Exception as error:
        if not tells_of_loss(error):
            raise
        raise LostProcessError(
            f"another process of this run has ended or cannot be reached ({_first_line(error)}). "
            "Try: what it said, then go "
            "on from the last saved state with --resume, with as many processes or with others."
        ) from error
    jax.distributed.shutdown()


def tells_of_loss(error: BaseException | None) -> bool:
    """Whether an error, or one that it comes from, is how JAX notices that a process is gone."""
    if error is None or isinstance(error, InvalidInputError):
        return False
    text = str(error).lower()
    return any(sign in text for sign in SIGNS_OF_LOSS) or tells_of_loss(error.__cause__)


def _meet() -> None:
    """The first exchange between the processes. Gloo reports it on standard output, which is for
    results.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        multihost_utils.sync_global_devices("joined")
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _is_alone() -> bool:
    return _wanted.get() is None or jax.process_count() == 1


def _whole(mesh: Mesh, arrays: T) -> T:
    """Arrays whole on every device; compiled, because across processes nothing else puts them
    there.
    """
    return jax.jit(_itself, out_shardings=NamedSharding(mesh, PartitionSpec()))(arrays)


def _itself(arrays: T) -> T:
    return arrays


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
