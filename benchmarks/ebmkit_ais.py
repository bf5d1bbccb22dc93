"""ebmkit's annealed importance sampling, on a model exported as .npz; run by the peers' python.

`python ebmkit_ais.py MODEL.npz` answers requests, one JSON object per line of its standard input, by
one JSON object per line of its standard output. A request with "rows" asks for F of those rows;
any other holds the settings of one run: base_scale (or "base": "model" for N(b/2, I/2)), n_temps, n_chains, sampler
("hmc", the library's default, or "mala"), schedule, seed, threads (or null for torch's choice), and whether to run
"reverse" as well.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import ebm  # pyright: ignore[reportMissingImports]
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch.nn.functional import linear, silu, softplus  # pyright: ignore[reportMissingImports]

Answer = dict[str, Any]

DEFAULT_THREADS = torch.get_num_threads()


class Model:
    """F(x) = x·x - b·x - sum_k softplus(c_k - w_k·f(x)), with f the identity or a silu network."""

    def __init__(self, path: str):
        with np.load(path) as stored:
            arrays = {name: torch.tensor(stored[name]) for name in stored.files}
        self.weights = arrays["weights"]
        self.visible_bias = arrays["visible_bias"]
        self.hidden_bias = arrays["hidden_bias"]
        self.input_scale = float(arrays["input_scale"])
        self.layers = [
            (arrays[f"layer_weight_{i}"], arrays[f"layer_bias_{i}"])
            for i in range(int(arrays["n_layers"]))
        ]

    def __call__(self, x: Any) -> Any:
        """F of a batch of rows, shape (batch,)."""
        features = x * self.input_scale
        for weight, bias in self.layers:
            features = silu(linear(features, weight, bias))
        log_sum = softplus(linear(features, -self.weights, self.hidden_bias)).sum(dim=1)
        return (x * x).sum(dim=1) - x @ self.visible_bias - log_sum


def settings_of(model: Model, request: Answer) -> dict[str, Any]:
    """The keyword arguments that forward and reverse runs share."""
    kernels: dict[str, Callable[[], Any]] = {
        "hmc": lambda: None,  # the library's own choice
        "mala": lambda: ebm.MALA(step_size=0.1, steps=1),
    }
    settings = {
        "n_temps": request["n_temps"],
        "sampler": kernels[request.get("sampler", "hmc")](),
        "schedule": request.get("schedule", "linear"),
    }
    if request.get("base") != "model":
        return settings | {"base_scale": request["base_scale"]}
    mean = model.visible_bias / 2
    normal = torch.distributions.Normal(mean, torch.full_like(mean, 0.5**0.5))
    return settings | {"base": torch.distributions.Independent(normal, 1)}


def run(model: Model, request: Answer) -> Answer:
    """One timed run of forward annealing; then, untimed by it, the reverse run from its samples."""
    torch.set_num_threads(request["threads"] or DEFAULT_THREADS)
    torch.manual_seed(request["seed"])
    settings = settings_of(model, request)
    shape = (len(model.visible_bias),)
    started = time.perf_counter()
    forward = ebm.ais_log_z(model, shape, n_chains=request["n_chains"], **settings)
    answer = {
        "value": forward.log_z,
        "ess": forward.ess,
        "standard_error": forward.stderr,
        "seconds": time.perf_counter() - started,
    }
    if request.get("reverse"):
        started = time.perf_counter()
        reverse = ebm.reverse_ais_log_z(model, forward.samples, **settings)
        answer |= {"upper": reverse.log_z, "reverse_seconds": time.perf_counter() - started}
    return answer


def answer(model: Model, request: Answer) -> Answer:
    """What was asked for."""
    if "rows" in request:
        return {"free_energy": model(torch.tensor(request["rows"])).tolist()}
    return run(model, request)


def requests() -> Iterator[Answer]:
    """The requests on standard input until it is closed."""
    return (json.loads(line) for line in sys.stdin)


def main() -> None:
    """Answer until there are no more requests."""
    model = Model(sys.argv[1])
    for request in requests():
        print(json.dumps(answer(model, request)), flush=True)


if __name__ == "__main__":
    main()
