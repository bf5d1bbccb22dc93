"""log Z of a model of your own, with an interval, beside the exact value."""

import sys

import equinox as eqx
import jax

import harmonium as hm

strengths = (0.2,) if "--small" in sys.argv else (0.2, 0.5, 0.8)
for strength in strengths:
    model = hm.Harmonium(6, 12, key=jax.random.key(0))  # Gaussian-Bernoulli
    weights = strength * jax.random.normal(jax.random.key(1), (12, 6))
    model = eqx.tree_at(lambda m: m.weights, model, weights)

    # "auto" enumerates the hidden states of a model as small as this one.
    found = hm.estimate_log_partition(model, key=jax.random.key(2), method="importance")
    exact = hm.exact_log_partition(model)
    trust = "trusted" if found.trusted else "not trusted"
    interval = f"[{found.low:.3f}, {found.high:.3f}]"
    print(f"weights of {strength}: log Z in {interval}, exactly {exact:.3f}; {trust}")
