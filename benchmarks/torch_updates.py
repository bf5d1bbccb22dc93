"""Parameter updates of ebmkit and torchebm, on a model exported as .npz; run by the peers' python.

`python torch_updates.py LIBRARY MODEL.npz DATA.npy` answers requests, one JSON object per line of
its standard input, by one JSON object per line of its standard output:

    {"rows": [...]}                       F of these rows
    {"matmul": [[m, k, n], ...]}          torch's best rate of float32 products of these shapes,
                                          FLOP/s
    {"start": name, "variant": "equal" | "shipped" | "mala", "compiled": bool, "steps", "chains",
     "step_size", "learning_rate"}        a training run from the exported weights, with the faster
                                          number of threads;
                                          an answer with "error" says why there is none
    {"continue": name, "seconds": s}      updates per second of a turn of about so long

"equal" is persistent contrastive divergence with unadjusted Langevin steps, as many stored chains
as move at an update, no re-initialization and no penalty. "shipped" leaves these to the library's
defaults. "mala" has ebmkit's Metropolis-adjusted kernel in place of Langevin.
"""

import sys

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from served import Answer, serve
from torch_model import FreeEnergy
from torch_turns import Update, faster_threads, product_rate, rate


def ebmkit(path: str, data: torch.Tensor, request: Answer) -> Update:
    """Its Trainer with its contrastive divergence."""
    import ebm  # pyright: ignore[reportMissingImports]

    energy = FreeEnergy(path)
    if request["compiled"]:
        energy.compile()
    kernel = ebm.MALA if request["variant"] == "mala" else ebm.LangevinDynamics
    sampler = kernel(step_size=request["step_size"], steps=request["steps"])
    shape = (data.shape[1],)
    if request["variant"] == "shipped":
        buffer = ebm.ReplayBuffer(10_000, shape)
    else:
        buffer = ebm.ReplayBuffer(request["chains"], shape, reinit_prob=0.0)
    loss = ebm.ContrastiveDivergence(sampler, buffer=buffer)
    trainer = ebm.Trainer(energy, loss, lr=request["learning_rate"])

    def run(n_updates: int) -> None:
        trainer.fit(data, steps=n_updates, batch_size=request["chains"], verbose=False)

    return run


def torchebm(path: str, data: torch.Tensor, request: Answer) -> Update:
    """Its persistent contrastive divergence in the loop of its documentation."""
    from torchebm.core import BaseModel  # pyright: ignore[reportMissingImports]
    from torchebm.losses import ContrastiveDivergence  # pyright: ignore[reportMissingImports]
    from torchebm.samplers import LangevinDynamics  # pyright: ignore[reportMissingImports]

    class Energy(BaseModel):
        def __init__(self) -> None:
            super().__init__(device="cpu")
            self.inner = FreeEnergy(path)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x)

    energy = Energy()
    if request["compiled"]:
        energy.inner.compile()
    sampler = LangevinDynamics(energy, step_size=request["step_size"], device="cpu")
    # The steps that fill its buffer at the start belong to no update.
    settings: Answer = {"k_steps": request["steps"], "persistent": True, "init_steps": 0}
    if request["variant"] == "equal":
        no_extras = {"new_sample_ratio": 0.0, "energy_reg_weight": 0.0}
        settings |= {"buffer_size": request["chains"], **no_extras}
    loss = ContrastiveDivergence(energy, sampler, device="cpu", **settings)
    optimizer = torch.optim.Adam(energy.parameters(), lr=request["learning_rate"])

    def run(n_updates: int) -> None:
        for _ in range(n_updates):
            batch = data[torch.randint(len(data), (request["chains"],))]
            optimizer.zero_grad()
            value, _ = loss(batch)
            value.backward()
            optimizer.step()

    return run


LIBRARIES = {"ebmkit": ebmkit, "torchebm": torchebm}


class Bench:
    """The runs of one library on one model."""

    def __init__(self, library: str, path: str, data: str):
        self._library, self._path = library, path
        self._data = torch.tensor(np.load(data))
        self._runs: dict[str, tuple[Update, int]] = {}

    def answer(self, request: Answer) -> Answer:
        """What was asked for."""
        if "rows" in request:
            with torch.no_grad():
                return {
                    "free_energy": FreeEnergy(self._path)(torch.tensor(request["rows"])).tolist()
                }
        if "matmul" in request:
            return {"rate": max(product_rate(*shape) for shape in request["matmul"])}
        if "start" in request:
            return self._start(request)
        update, threads = self._runs[request["continue"]]
        return {"rate": rate(update, request["seconds"], threads)}

    def _start(self, request: Answer) -> Answer:
        torch.manual_seed(0)
        try:
            update = LIBRARIES[self._library](self._path, self._data, request)
            threads = faster_threads(update)
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        self._runs[request["start"]] = (update, threads)
        return {"threads": threads}


def main() -> None:
    """Answer until there are no more requests."""
    serve(Bench(*sys.argv[1:]).answer)


if __name__ == "__main__":
    main()
