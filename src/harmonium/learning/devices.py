"""Many devices: the only module that names them.

Chains and batches are split over a row of devices; parameters, optimizer and table are whole on each. The compiler
derives from that which sums go between devices (docs/scaling.md). It is a matter of layout alone: every function
computes what it computes on one device, up to the order of sums.

    with use_devices(8):
        fit(model, data, key=key)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import equinox as eqx
import jax
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, get_abstract_mesh

from harmonium.errors import InvalidInputError, describe

T = TypeVar("T")

AXIS = "devices"

_wanted: ContextVar[Mesh | None] = ContextVar("wanted", default=None)


@contextmanager
def use_devices(n: int | None = None) -> Iterator[None]:
    """A block in which `fit` trains on `n` devices, or on all there are.

    Batch size and number of chains must be multiples of their number. The result is that of one device up to the order of sums. Raises
    `InvalidInputError` if there are fewer devices.
    """
    present = jax.devices()
    n = len(present) if n is None else n
    if not 1 <= n <= len(present):
        raise InvalidInputError(
            describe(
                f"use_devices({n})",
                expected=f"from 1 to {len(present)} device(s), as many as JAX finds here",
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
    """A block whose compiled code runs on the devices in use; outside of it, JAX computes on one."""
    mesh = _wanted.get()
    if mesh is None:
        yield
        return
    with jax.set_mesh(mesh):
        yield


def check_even(name: str, size: int) -> None:
    """Raise `InvalidInputError` if the devices in use cannot share so many rows or chains evenly."""
    mesh = _wanted.get()
    if mesh is not None and size % mesh.size:
        raise InvalidInputError(
            describe(
                f"use_devices({mesh.size})",
                expected=f"{name} that is a multiple of the number of devices",
                got=f"{name}={size}",
                hint=f"{name}={-(-size // mesh.size) * mesh.size}, or another number of devices",
            )
        )


def split(tree: T, axis: int = 0) -> T:
    """The same arrays, split along an axis where code runs on several devices."""
    if get_abstract_mesh().empty:
        return tree
    layout = PartitionSpec(*[None] * axis, AXIS)
    dynamic, static = eqx.partition(tree, eqx.is_array)
    return eqx.combine(jax.lax.with_sharding_constraint(dynamic, layout), static)


def place(tree: T) -> T:
    """The same arrays on the devices in use: those that are not split are whole on each."""
    mesh = _wanted.get()
    if mesh is None:
        return tree

    def put(leaf: jax.Array) -> jax.Array:
        there = isinstance(leaf.sharding, NamedSharding) and leaf.sharding.mesh == mesh
        return leaf if there else jax.device_put(leaf, NamedSharding(mesh, PartitionSpec()))

    dynamic, static = eqx.partition(tree, eqx.is_array)
    return eqx.combine(jax.tree.map(put, dynamic), static)


def collect(tree: T) -> T:
    """The same arrays, each whole on one device of this process, for what is not computed on many."""
    mesh = _wanted.get()
    if mesh is None:
        return tree
    dynamic, static = eqx.partition(tree, eqx.is_array)
    whole = jax.jit(_itself, out_shardings=NamedSharding(mesh, PartitionSpec()))(dynamic)
    return eqx.combine(jax.tree.map(lambda leaf: leaf.addressable_data(0), whole), static)


def _itself(tree: T) -> T:
    return tree


def agreed(value: T) -> T:
    """What the first process says of numbers that may differ between processes, such as times."""
    if jax.process_count() == 1:
        return value
    return jax.tree.map(lambda leaf: leaf.item(), multihost_utils.broadcast_one_to_all(value))
