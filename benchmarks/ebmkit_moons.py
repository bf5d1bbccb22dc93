"""ebmkit's methods on its two moons; run by the peers' python.

`python ebmkit_moons.py` answers requests, one JSON object per line of its standard input, by one
JSON object per line of its standard output:

    {"write": folder}                     train.npy and test.npy, in the library's own units
    {"method": name, "seed": s, "steps"}  the seconds of a training, and log_likelihood: the mean
                                          over test.npy of -E(x) - log Z, log Z by quadrature over a
                                          box, which is to the advantage of energies that would
                                          leave mass outside

The protocol is that of its README: two layers of 128, rate 1e-3, batches of 256 of 8192 rows, 3000
steps; Langevin chains of 60 steps of size 0.01 where the method has chains.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ebm  # pyright: ignore[reportMissingImports]
import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from served import Answer, serve

N_TRAIN, N_TEST = 8192, 20_000
HALF_WIDTH, N_POINTS = 4.0, 801
PART = 65_536


def langevin() -> Any:
    """The chains of its README."""
    return ebm.LangevinDynamics(step_size=1e-2, steps=60)


METHODS: dict[str, Callable[[], Any]] = {
    "contrastive divergence": lambda: ebm.ContrastiveDivergence(langevin()),
    "persistent contrastive divergence": lambda: ebm.ContrastiveDivergence(
        langevin(), buffer=ebm.ReplayBuffer(8192, (2,))
    ),
    "noise-contrastive": ebm.NoiseContrastiveEstimation,
    "sliced score matching": ebm.SlicedScoreMatching,
    "denoising score matching": ebm.DenoisingScoreMatching,
}


def rows(n: int, seed: int) -> torch.Tensor:
    """Its two moons."""
    return ebm.datasets.two_moons(n, generator=torch.Generator().manual_seed(seed))


def energies(energy: Any, points: torch.Tensor) -> torch.Tensor:
    """E of many points, in parts, in double precision from then on."""
    with torch.no_grad():
        return torch.cat([energy(part).double() for part in points.split(PART)])


def log_likelihood(energy: Any, test: torch.Tensor) -> float:
    """In nats per row, with log Z by quadrature."""
    axis = torch.linspace(-HALF_WIDTH, HALF_WIDTH, N_POINTS)
    grid = torch.cartesian_prod(axis, axis)
    area = (2 * HALF_WIDTH / (N_POINTS - 1)) ** 2
    log_partition = torch.logsumexp(-energies(energy, grid), dim=0) + np.log(area)
    return float(-energies(energy, test).mean() - log_partition)


def train(method: str, seed: int, steps: int) -> Answer:
    """One training, timed."""
    data, test = rows(N_TRAIN, 0), rows(N_TEST, 1)
    torch.manual_seed(seed)
    started = time.perf_counter()
    energy = ebm.nets.MLPEnergy(dim=2, hidden=(128, 128))
    trainer = ebm.Trainer(energy, METHODS[method](), lr=1e-3)
    trainer.fit(data, steps=steps, batch_size=256, verbose=False)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "log_likelihood": log_likelihood(energy, test)}


def answer(request: Answer) -> Answer:
    """What was asked for."""
    if "write" in request:
        folder = Path(request["write"])
        np.save(folder / "train.npy", rows(N_TRAIN, 0).numpy())
        np.save(folder / "test.npy", rows(N_TEST, 1).numpy())
        return {"methods": list(METHODS)}
    return train(request["method"], request["seed"], request["steps"])


if __name__ == "__main__":
    serve(answer)
