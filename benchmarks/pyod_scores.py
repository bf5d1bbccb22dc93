"""One PyOD detector on one split, run by the peers' python.

`python pyod_scores.py DETECTOR SEED SPLIT.npz SCORES.npz` fits to `train` and writes the `scores`
of `test`, in PyOD's sign: higher is more abnormal.
"""

import importlib
import random
import sys

import numpy as np

# The best of PyOD's own benchmark (INNE, CBLOF), its newest parameter-free one, and two networks.
DETECTORS = {
    "inne": ("pyod.models.inne", "INNE"),
    "cblof": ("pyod.models.cblof", "CBLOF"),
    "ecod": ("pyod.models.ecod", "ECOD"),
    "lunar": ("pyod.models.lunar", "LUNAR"),
    "autoencoder": ("pyod.models.auto_encoder", "AutoEncoder"),
}


def seeded(seed: int) -> None:
    """Not every detector takes a seed; the networks draw from torch's generator."""
    import torch  # pyright: ignore[reportMissingImports]

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def main() -> None:
    """Fit, score, write."""
    name, seed, source, target = sys.argv[1:]
    module, detector = DETECTORS[name]
    seeded(int(seed))
    with np.load(source) as split:
        train, test = split["train"], split["test"]
    fitted = getattr(importlib.import_module(module), detector)()
    fitted.fit(train)
    np.savez(target, scores=fitted.decision_function(test))


if __name__ == "__main__":
    main()
