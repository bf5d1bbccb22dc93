"""ebmkit's annealed importance sampling, on a model exported as .npz; run by the peers' python.

`python ebmkit_ais.py MODEL.npz` answers requests, one JSON object per line of its standard input,
by one JSON object per line of its standard output. A request with "rows" asks for F of those rows;
any other holds the settings of one run: base_scale (or "base": "model" for N(b/2, I/2)), n_temps,
n_chains, sampler ("hmc", the library's default, or "mala"), schedule, seed, threads (or null for
torch's choice), and whether to run "reverse" as well.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import ebm  # pyright: ignore[reportMissingImports]
import torch  # pyright: ignore[reportMissingImports]
from served import Answer, serve
from torch_model import FreeEnergy

DEFAULT_THREADS = torch.get_num_threads()


def settings_of(model: FreeEnergy, request: Answer) -> dict[str, Any]:
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
    mean = model.visible_bias.detach() / 2
    normal = torch.distributions.Normal(mean, torch.full_like(mean, 0.5**0.5))
    return settings | {"base": torch.distributions.Independent(normal, 1)}


def run(model: FreeEnergy, request: Answer) -> Answer:
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


def answer(model: FreeEnergy, request: Answer) -> Answer:
    """What was asked for."""
    if "rows" in request:
        return {"free_energy": model(torch.tensor(request["rows"])).tolist()}
    return run(model, request)


def main() -> None:
    """Answer until there are no more requests."""
    model = FreeEnergy(sys.argv[1]).requires_grad_(False)
    serve(lambda request: answer(model, request))


if __name__ == "__main__":
    main()
