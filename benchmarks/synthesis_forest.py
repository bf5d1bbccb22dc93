"""Rows of an adversarial random forest (Watson et al. 2023); run in an environment with arfpy.

Reads a JSON object of "columns", lists by name, "n" and "seed", and prints as many new rows, as
lists by name.
"""

import json
import sys

import numpy as np
import pandas as pd
from arfpy.arf import arf  # pyright: ignore[reportMissingImports]

# arfpy calls a function that NumPy 2.4 has no more under its old name.
np.in1d = np.isin  # pyright: ignore[reportAttributeAccessIssue]


def main() -> None:
    """Fit and draw with the defaults of arfpy."""
    request = json.load(sys.stdin)
    np.random.seed(request["seed"])
    frame = pd.DataFrame(request["columns"])
    text = [name for name in frame if frame[name].dtype.kind not in "iufb"]
    frame = frame.astype(dict.fromkeys(text, object))
    # arfpy looks columns up by their positions.
    names, frame.columns = list(frame), range(frame.shape[1])
    model = arf(frame, random_state=request["seed"], verbose=False)
    model.forde()
    drawn = model.forge(n=request["n"])
    print(json.dumps({name: drawn[i].tolist() for i, name in enumerate(names)}))


if __name__ == "__main__":
    main()
