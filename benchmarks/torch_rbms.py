"""Updates of rbms, learnergy and scikit-learn's machines; run by the peers' python.

`python torch_rbms.py DATA.npy` answers requests, one JSON object per line of its standard input, by
one JSON object per line of its standard output:

    {"start": name, "peer": ..., "n_hidden", "steps", "chains"}   a training run, with the faster
    number of threads {"continue": name, "seconds": s}                              updates per
    second of a turn of about so long
"""

import os
import sys
import tempfile

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from served import Answer, serve
from torch_turns import Update, batch_of, faster_threads, rate, repeat

LEARNING_RATE = 1e-3


def rbms(data: torch.Tensor, request: Answer) -> Update:
    """Binary units: the body of its training loop, centered and normalized gradients as by
    default.
    """
    from rbms.bernoulli_bernoulli.classes import BBRBM  # pyright: ignore[reportMissingImports]
    from rbms.training.pcd import fit_batch_pcd  # pyright: ignore[reportMissingImports]

    n_visible, n_hidden, chains = data.shape[1], request["n_hidden"], request["chains"]
    weights = 0.01 * torch.randn(n_visible, n_hidden)
    model = BBRBM(weights, torch.zeros(n_visible), torch.zeros(n_hidden))
    model.init_grad()
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, maximize=True)
    binary, ones = (data > 0).float(), torch.ones(chains)
    state = model.init_chains(chains)

    def one() -> None:
        nonlocal state
        with torch.no_grad():
            optimizer.zero_grad(set_to_none=False)
            batch = (batch_of(binary, chains), ones)
            state, _ = fit_batch_pcd(batch, state, model, request["steps"], 1.0)
            optimizer.step()

    return repeat(one)


def learnergy_model(data: torch.Tensor, request: Answer):
    """Its Gaussian-Bernoulli machine."""
    from learnergy.models.gaussian import GaussianRBM  # pyright: ignore[reportMissingImports]

    return GaussianRBM(
        data.shape[1],
        request["n_hidden"],
        steps=request["steps"],
        learning_rate=LEARNING_RATE,
        normalize=False,
    )


def learnergy_fit(data: torch.Tensor, request: Answer) -> Update:
    """Its own loop over as many rows as a batch has: one update, with its loader and its
    metrics.
    """
    model, chains = learnergy_model(data, request), request["chains"]
    rows = torch.utils.data.TensorDataset(data[:chains], torch.zeros(chains))
    return repeat(lambda: model.fit(rows, batch_size=chains, epochs=1))


def learnergy_steps(data: torch.Tensor, request: Answer) -> Update:
    """Its chains, its energy and its optimizer without its loader and its metrics: the bare
    work.
    """
    model = learnergy_model(data, request)

    def one() -> None:
        batch = batch_of(data, request["chains"])
        negatives = model.gibbs_sampling(batch)[-1].detach()
        cost = model.energy(batch).mean() - model.energy(negatives).mean()
        model.optimizer.zero_grad()
        cost.backward()
        model.optimizer.step()

    return repeat(one)


def scikit_learn(data: torch.Tensor, request: Answer) -> Update:
    """Binary units, and one step at an update, which is all that it has."""
    from sklearn.neural_network import BernoulliRBM

    chains = request["chains"]
    model = BernoulliRBM(request["n_hidden"], batch_size=chains, learning_rate=LEARNING_RATE)
    binary = (data > 0).float().numpy()
    generator = np.random.default_rng(0)
    return repeat(lambda: model.partial_fit(binary[generator.integers(len(binary), size=chains)]))


PEERS = {
    "rbms": rbms,
    "learnergy fit": learnergy_fit,
    "learnergy steps": learnergy_steps,
    "scikit-learn": scikit_learn,
}


def main() -> None:
    """Answer until there are no more requests."""
    data = torch.tensor(np.load(sys.argv[1]))
    runs: dict[str, tuple[Update, int]] = {}

    def answer(request: Answer) -> Answer:
        if "start" in request:
            torch.manual_seed(0)
            update = PEERS[request["peer"]](data, request)
            runs[request["start"]] = (update, faster_threads(update))
            return {"threads": runs[request["start"]][1]}
        update, threads = runs[request["continue"]]
        return {"rate": rate(update, request["seconds"], threads)}

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # learnergy writes a log where it runs.
        serve(answer)


if __name__ == "__main__":
    main()
