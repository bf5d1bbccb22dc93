"""One fit of another method of density estimation; run by the peers' python.

`python density_peers.py REQUEST`, a JSON object of "method", "folder" (with train.npy,
validation.npy and test.npy), "seed", and of the flow's "seconds" and "epochs", prints a JSON
object: the mean log-density of the test rows, its standard error, the seconds of the fit with all
its choices and those of scoring, and what was chosen. Imports are not counted.

    mixture   scikit-learn's GaussianMixture, full covariances; size and floor by validation rows,
              then all rows
    flow      zuko's neural spline flow (Durkan et al. 2019), 4 autoregressive transforms, two
              layers of 128, AdamW; ends when the validation rows have not improved for 15 epochs
              and keeps the best state
    kernel    a Gaussian kernel of one bandwidth, by validation rows, then all rows
    forest    FORDE of adversarial random forests (Watson et al. 2023): a mixture over trees and
              leaves of products of truncated normals; smallest leaf by validation rows, then all
"""

import copy
import itertools
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch  # pyright: ignore[reportMissingImports]
import zuko  # pyright: ignore[reportMissingImports]
from arfpy.arf import arf  # pyright: ignore[reportMissingImports]
from scipy.special import logsumexp
from scipy.stats import truncnorm
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity
from torch_turns import batch_of, faster_threads, repeat

# arfpy calls a function that NumPy 2.4 has no more under its old name.
np.in1d = np.isin  # pyright: ignore[reportAttributeAccessIssue]

Answer = dict[str, Any]
LogDensity = Callable[[np.ndarray], np.ndarray]

SIZES = (1, 2, 3, 5, 8, 12, 20, 30, 50)
FLOORS = (1e-4, 1e-2)
BANDWIDTHS = tuple(np.geomspace(0.02, 2.0, 20))
SMALLEST_LEAVES = (5, 20, 50)
# Leaves whose rows share a value would be point masses (standardized units).
LEAST_SPREAD = 1e-3
N_TRANSFORMS, WIDTHS, BATCH, RATE, PATIENCE = 4, (128, 128), 256, 1e-3, 15
PART = 4096


def best_of(candidates: list[Answer], fit: Callable[..., LogDensity], rows: tuple) -> Answer:
    """The candidate whose fit to the training rows scores the validation rows best."""
    train, validation = rows
    scores = []
    for candidate in candidates:
        try:
            scores.append(float(fit(train, **candidate)(validation).mean()))
        except ValueError:  # A covariance is singular: this one is out.
            scores.append(-np.inf)
    return candidates[int(np.nanargmax(scores))]


def mixture(rows: tuple, request: Answer) -> tuple[LogDensity, Answer]:
    """Sizes and floors of a mixture."""

    def fit(data: np.ndarray, k: int, floor: float) -> LogDensity:
        model = GaussianMixture(k, reg_covar=floor, random_state=request["seed"])
        return model.fit(data).score_samples

    candidates = [{"k": k, "floor": floor} for k, floor in itertools.product(SIZES, FLOORS)]
    best = best_of([c for c in candidates if c["k"] <= len(rows[0])], fit, rows)
    return fit(np.concatenate(rows), **best), best


def kernel(rows: tuple, request: Answer) -> tuple[LogDensity, Answer]:
    """Bandwidths of a kernel."""

    def fit(data: np.ndarray, bandwidth: float) -> LogDensity:
        return KernelDensity(bandwidth=bandwidth).fit(data).score_samples

    best = best_of([{"bandwidth": float(b)} for b in BANDWIDTHS], fit, rows)
    return fit(np.concatenate(rows), **best), best


class Forest:
    """FORDE's density, which the library fits and draws from but does not evaluate."""

    def __init__(self, data: np.ndarray, leaf: int, seed: int):
        np.random.seed(seed)
        self.names = [f"x{i}" for i in range(data.shape[1])]
        frame = pd.DataFrame(data, columns=self.names)
        self.model = arf(frame, min_node_size=leaf, verbose=False, random_state=seed, n_jobs=-1)
        self.model.forde()
        coverage = self.model.bnds[["tree", "nodeid", "cvg"]].drop_duplicates()
        self.coverage = coverage.set_index(["tree", "nodeid"])["cvg"]
        self.parts = self.model.params.set_index(["tree", "nodeid", "variable"])

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Of each row, (rows,)."""
        leaves = self.model.clf.apply(pd.DataFrame(rows, columns=self.names))
        parts = [self._in_tree(tree, leaves[:, tree], rows) for tree in range(leaves.shape[1])]
        return logsumexp(parts, axis=0) - np.log(len(parts))

    def _in_tree(self, tree: int, leaves: np.ndarray, rows: np.ndarray) -> np.ndarray:
        coverage = self.coverage.loc[tree].reindex(leaves).fillna(0.0).to_numpy()
        wide = {
            name: self.parts.loc[tree][name].unstack("variable")[self.names].reindex(leaves)
            for name in ("mean", "sd", "min", "max")
        }
        mean, low, high = (wide[name].to_numpy() for name in ("mean", "min", "max"))
        spread = np.maximum(wide["sd"].to_numpy(), LEAST_SPREAD)
        ends = (low - mean) / spread, (high - mean) / spread
        # Trees compare in single precision: a row may lie outside of its leaf by a rounding.
        inside = np.clip(rows, low, high)
        found = truncnorm.logpdf(inside, *ends, loc=mean, scale=spread).sum(axis=1)
        with np.errstate(divide="ignore"):
            return np.where(coverage > 0, np.log(coverage) + found, -np.inf)


def forest(rows: tuple, request: Answer) -> tuple[LogDensity, Answer]:
    """Smallest leaves of a forest."""

    def fit(data: np.ndarray, leaf: int) -> LogDensity:
        return Forest(data, leaf, request["seed"])

    best = best_of([{"leaf": leaf} for leaf in SMALLEST_LEAVES], fit, rows)
    return fit(np.concatenate(rows), **best), best


class Flow:
    """A neural spline flow in training: its best state so far, by the validation rows."""

    def __init__(self, rows: tuple, seed: int):
        torch.manual_seed(seed)
        self.train, self.validation = (torch.tensor(part, dtype=torch.float32) for part in rows)
        n_columns = self.train.shape[1]
        self.model = zuko.flows.NSF(n_columns, transforms=N_TRANSFORMS, hidden_features=WIDTHS)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=RATE)
        self.best, self.kept, self.kept_epoch, self.epoch = -np.inf, {}, 0, 0
        self._keep_if_better()

    def update(self, rows: torch.Tensor) -> None:
        """By the gradient of a batch."""
        self.optimizer.zero_grad()
        loss = -self.model().log_prob(rows).mean()
        loss.backward()
        self.optimizer.step()

    def first_updates(self) -> int:
        """Some updates that tell which number of threads is faster; the others run with it."""
        threads = faster_threads(repeat(lambda: self.update(batch_of(self.train, BATCH))))
        torch.set_num_threads(threads)
        return threads

    def next_epoch(self) -> None:
        """Once through the training rows."""
        self.epoch += 1
        for part in torch.randperm(len(self.train)).split(BATCH):
            self.update(self.train[part])
        self._keep_if_better()

    def _keep_if_better(self) -> None:
        with torch.no_grad():
            held_out = float(self.model().log_prob(self.validation).mean())
        if held_out > self.best:
            self.best, self.kept_epoch = held_out, self.epoch
            self.kept = copy.deepcopy(self.model.state_dict())

    def log_density(self, data: np.ndarray) -> np.ndarray:
        """Of each row under the best state, (rows,)."""
        self.model.load_state_dict(self.kept)
        with torch.no_grad():
            parts = torch.tensor(data, dtype=torch.float32).split(PART)
            return torch.cat([self.model().log_prob(part) for part in parts]).double().numpy()


def flow(rows: tuple, request: Answer) -> tuple[LogDensity, Answer]:
    """Training until patience, time or epochs are over."""
    started = time.perf_counter()
    training = Flow(rows, request["seed"])
    threads, ended_by = training.first_updates(), ""
    while not ended_by:
        training.next_epoch()
        if training.epoch - training.kept_epoch >= PATIENCE:
            ended_by = "patience"
        elif time.perf_counter() - started > request["seconds"]:
            ended_by = "time"
        elif training.epoch >= request["epochs"]:
            ended_by = "epochs"
    epochs = {"epochs": training.epoch, "kept": training.kept_epoch, "ended by": ended_by}
    return training.log_density, epochs | {"threads": threads}


METHODS = {"mixture": mixture, "flow": flow, "kernel": kernel, "forest": forest}


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def main() -> None:
    """Fit, score, print."""
    warnings.simplefilter("ignore")
    request = json.loads(sys.argv[1])
    folder = Path(request["folder"])
    train, validation, test = (
        np.load(folder / f"{name}.npy") for name in ("train", "validation", "test")
    )
    started = time.perf_counter()
    log_density, chosen = METHODS[request["method"]]((train, validation), request)
    fitted = time.perf_counter()
    found = log_density(test)
    scored = time.perf_counter()
    answer = {
        "log-likelihood": float(found.mean()),
        "standard error": float(found.std(ddof=1) / len(found) ** 0.5),
        "fit seconds": fitted - started,
        "score seconds": scored - fitted,
        "chosen": ", ".join(f"{name} {_text(value)}" for name, value in chosen.items()),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
