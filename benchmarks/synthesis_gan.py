"""Rows of a conditional generative network or a variational autoencoder for tables (Xu et al.
2019); run in an environment with ctgan.

Reads a JSON object of "kind" ("gan" or "vae"), "columns", lists by name, "n" and "seed", and prints
as many new rows, as lists by name.
"""

import json
import sys

import numpy as np
import pandas as pd
import torch  # pyright: ignore[reportMissingImports]
from ctgan import CTGAN, TVAE  # pyright: ignore[reportMissingImports]

KINDS = {"gan": CTGAN, "vae": TVAE}


def main() -> None:
    """Fit and draw with the defaults of ctgan, 300 epochs."""
    request = json.load(sys.stdin)
    np.random.seed(request["seed"])
    torch.manual_seed(request["seed"])
    frame = pd.DataFrame(request["columns"])
    text = [name for name in frame if frame[name].dtype.kind not in "iufb"]
    model = KINDS[request["kind"]]()
    model.fit(frame, text)
    drawn = model.sample(request["n"])
    print(json.dumps({name: drawn[name].tolist() for name in frame}))


if __name__ == "__main__":
    main()
