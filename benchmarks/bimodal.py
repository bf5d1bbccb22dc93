"""Two modes 8 standard deviations apart: which kernel gives them their shares, and does a fit say
so?

`python -m benchmarks.bimodal`

Chains start at draws of the base N(b/2, I/2), where one of the modes is, and run without weights or
annealing. Then a model is fitted to rows of such a density with plain MALA chains, and its verdict
is printed.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import harmonium as hm
from benchmarks.report import Row, publish
from harmonium.model import sample_base
from harmonium.sampling import AbstractKernel
from harmonium.sampling.chains import init_chains, run_chains
from harmonium.sampling.starts import find_modes

SHARE = 0.3
DISTANCE = 8 * 0.5**0.5
N_CHAINS = 256
N_STEPS = 2000
N_ROWS = 4000


def two_modes() -> hm.Harmonium:
    """Means 0 and (-8 sd, 0), with masses 0.7 and 0.3; sd = sqrt(1/2)."""
    model = hm.Harmonium(2, 1, key=jax.random.key(0))
    weights = jnp.asarray([[2 * DISTANCE, 0.0]])
    # The mode of h = 1 has the mean -w/2 and the mass exp(c + |w|²/4) of that of h = 0.
    bias = jnp.log(SHARE / (1 - SHARE)) - jnp.sum(weights**2, axis=1) / 4
    return eqx.tree_at(lambda m: (m.weights, m.hidden_bias), model, (weights, bias))


@eqx.filter_jit
def visits(key: jax.Array, model: hm.Harmonium, kernel: AbstractKernel):
    """Share of the second half of its steps that each chain spends in the mode of h = 1,
    (chains,).
    """
    key_start, key_init, key_settle, key_run = jax.random.split(key, 4)
    states = init_chains(key_init, model, kernel, sample_base(key_start, model, N_CHAINS))
    half = N_STEPS // 2
    states = run_chains(key_settle, model, kernel, states, n_steps=half).states
    moved = run_chains(
        key_run, model, kernel, states, n_steps=half, record=lambda states, _: states.position
    )
    return jnp.mean(moved.trace[..., 0] < -DISTANCE / 2, axis=0)


def measure(model: hm.Harmonium, name: str) -> Row:
    """The share of one mode under one kernel."""
    key_tune, key_run = jax.random.split(jax.random.key(1))
    if name == "ReplicaExchange":
        kernel = hm.tune_replica_exchange(key_tune, model, hm.MALA())
    else:
        kernel = find_modes(key_tune, model, {"MALA": hm.MALA(), "HMC": hm.HMC()}[name]).kernel
    shares = np.asarray(visits(key_run, model, kernel), np.float64)
    error = shares.std(ddof=1) / np.sqrt(N_CHAINS)
    return {
        "kernel": name,
        "share": float(shares.mean()),
        "true share": SHARE,
        "standard error": float(error),
        "errors off": float(abs(shares.mean() - SHARE) / error) if error > 0 else float("inf"),
        "chains that saw both": int(np.sum((shares > 0) & (shares < 1))),
    }


def fitted_row(name: str, negatives: hm.WeightedPopulation | hm.PersistentChains) -> Row:
    """The verdict of a fit whose chains are plain MALA."""
    rng = np.random.default_rng(0)
    rows = np.sqrt(0.5) * rng.normal(size=(N_ROWS, 2))
    rows[:, 0] += DISTANCE * ((rng.uniform(size=N_ROWS) > SHARE) - 0.5)
    feature_map = hm.feature_maps.MLP(2, (32, 32), key=jax.random.key(2))
    model = hm.Harmonium(2, 16, feature_map=feature_map, key=jax.random.key(3))
    objective = hm.MaximumLikelihood(negatives)
    fitted = hm.fit(model, rows, key=jax.random.key(4), objective=objective, n_updates=1000)
    # None where the base was kept.
    found = fitted.diagnostics
    return {
        "fit with": name,
        "R-hat": float("nan") if found is None else found.r_hat,
        "R-hat between starts": float("nan") if found is None else found.start_r_hat,
        "verdict": fitted.verdict,
    }


def main() -> None:
    """Run both parts and print their tables."""
    model = two_modes()
    kernels = [measure(model, name) for name in ("MALA", "HMC", "ReplicaExchange")]
    publish("bimodal", "Two modes 8 sd apart: chains from one of them", kernels)
    fits = [
        fitted_row("weighted MALA chains", hm.WeightedPopulation(kernel=hm.MALA())),
        fitted_row("persistent MALA chains", hm.PersistentChains(kernel=hm.MALA())),
    ]
    publish("bimodal_fits", "Two modes 8 sd apart: verdicts of fits", fits)


if __name__ == "__main__":
    main()
