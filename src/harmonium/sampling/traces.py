"""Chains kept draw by draw, for whoever looks at them with tools of their own."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from harmonium.cards import card
from harmonium.errors import InvalidInputError, describe
from harmonium.model import Harmonium, check_finite, sample_base
from harmonium.sampling.chains import init_chains, run_chains
from harmonium.sampling.convergence import bulk_ess, split_r_hat, tail_ess
from harmonium.sampling.independence import name_of
from harmonium.sampling.kernel import AbstractKernel
from harmonium.sampling.population import default_kernel
from harmonium.typing import RandomKey

ADAPTATION_RATE = 0.05
FEWEST_CHAINS, FEWEST_DRAWS = 2, 4


@dataclass(frozen=True, eq=False)
class Chains:
    """Draws of chains in model units, as NumPy arrays.

    `positions` (chains, draws, visible), with their `free_energy` (chains, draws) in nats and
    `hidden_mean` E[h|x] (chains, draws, hidden); `acceptance` (chains, draws) of the last step
    before every draw. `kernel` is the one that made them, with the step size that it had come to.
    """

    positions: Float[np.ndarray, "chains draws visible"]
    free_energy: Float[np.ndarray, "chains draws"]
    hidden_mean: Float[np.ndarray, "chains draws hidden"]
    acceptance: Float[np.ndarray, "chains draws"]
    kernel: AbstractKernel

    @property
    def r_hat(self) -> Float[np.ndarray, "visible"]:
        """Rank-normalized split R-hat of every visible unit (Vehtari et al. 2021)."""
        return split_r_hat(np.moveaxis(self.positions, 2, 0))

    @property
    def bulk_ess(self) -> Float[np.ndarray, "visible"]:
        """Effective sample size of every visible unit, for the middle of its distribution."""
        return bulk_ess(np.moveaxis(self.positions, 2, 0))

    @property
    def tail_ess(self) -> Float[np.ndarray, "visible"]:
        """Effective sample size of every visible unit, for its 5 % and 95 % quantiles."""
        return tail_ess(np.moveaxis(self.positions, 2, 0))

    def _repr_html_(self) -> str:
        n_chains, n_draws, n_visible = self.positions.shape
        facts = {
            "draws": f"{n_chains} chains of {n_draws:,} draws of {n_visible} units",
            "kernel": name_of(self.kernel),
            "acceptance": float(self.acceptance.mean()),
            "worst R-hat": float(np.max(self.r_hat)),
            "smallest bulk effective sample size": float(np.min(self.bulk_ess)),
        }
        return card("Chains", facts)


def draw_chains(
    model: Harmonium,
    n_chains: int = 4,
    n_draws: int = 1000,
    *,
    key: RandomKey,
    kernel: AbstractKernel | None = None,
    n_burn_in: int = 500,
    thin: int = 1,
) -> Chains:
    """Run chains from exact draws of the base, and keep every `thin`-th draw after a burn-in.

    The step size adapts during the burn-in alone. Without a `kernel`, chains move by block Gibbs
    where the feature map is affine, else by Hamiltonian Monte Carlo. Raises `InvalidInputError` for
    fewer than 2 chains, 4 draws or a thin below 1.
    """
    if n_chains < FEWEST_CHAINS or n_draws < FEWEST_DRAWS or thin < 1 or n_burn_in < 0:
        got = f"n_chains={n_chains}, n_draws={n_draws}, n_burn_in={n_burn_in}, thin={thin}"
        expected = "at least 2 chains, 4 draws, a burn-in of at least 0 and a thin of at least 1"
        raise InvalidInputError(describe("draw_chains(model, ...)", expected=expected, got=got))
    check_finite("draw_chains(model, ...)", model)
    kernel = default_kernel(model) if kernel is None else kernel
    kernel, found = _run(key, model, kernel, n_chains, n_draws, n_burn_in, thin)
    # Draws come first from the scan; whoever reads chains expects these first.
    positions, free_energy, hidden, acceptance = (
        np.moveaxis(np.asarray(own), 0, 1) for own in found
    )
    return Chains(positions, free_energy, hidden, acceptance, kernel)


def to_inference_data(chains: Chains) -> Any:
    """Chains as the `DataTree` of arviz-base, for ArviZ's diagnostics and plots.

    Group `posterior` has `x` (chain, draw, visible) and `hidden_mean` (chain, draw, hidden), group
    `sample_stats` has `lp`, the log-density without log Z, and `acceptance_rate`. Raises
    `InvalidInputError` without the package arviz-base.
    """
    if find_spec("arviz_base") is None:
        raise InvalidInputError(
            "to_inference_data(chains): expected the package arviz-base; got an installation "
            "without it. Try: pip install 'harmonium[arviz]'."
        )
    from arviz_base import from_dict  # pyright: ignore[reportMissingImports]

    data = {
        "posterior": {"x": chains.positions, "hidden_mean": chains.hidden_mean},
        "sample_stats": {"lp": -chains.free_energy, "acceptance_rate": chains.acceptance},
    }
    attrs = {"posterior": {"kernel": name_of(chains.kernel)}}
    return from_dict(data, dims={"x": ["visible"], "hidden_mean": ["hidden"]}, attrs=attrs)


@eqx.filter_jit
def _run(
    key: RandomKey,
    model: Harmonium,
    kernel: AbstractKernel,
    n_chains: int,
    n_draws: int,
    n_burn_in: int,
    thin: int,
) -> tuple[AbstractKernel, tuple[Array, ...]]:
    """The adapted kernel; positions, F, E[h|x] and acceptance, (draws, chains, ...) each."""
    key_start, key_init, key_burn_in, key_draws = jax.random.split(key, 4)
    states = init_chains(key_init, model, kernel, sample_base(key_start, model, n_chains))
    settled = run_chains(
        key_burn_in, model, kernel, states, n_steps=n_burn_in, adaptation_rate=ADAPTATION_RATE
    )

    def draw(states: Any, key: RandomKey):
        moved = run_chains(
            key,
            model,
            settled.kernel,
            states,
            n_steps=thin,
            record=lambda states, info: info.acceptance,
        )
        at = moved.states.position
        hidden = jax.vmap(model.hidden_mean)(at)
        return moved.states, (at, moved.states.free_energy, hidden, moved.trace[-1])

    _, found = jax.lax.scan(draw, settled.states, jax.random.split(key_draws, n_draws))
    return settled.kernel, found
