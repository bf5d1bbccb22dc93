"""Rows of an adversarial random forest (Watson et al. 2023); run by the peers' python.

`python synthesis_forest.py TRAIN DRAWN N SEED` reads a pickled frame and writes N rows.
"""

import sys

import numpy as np
import pandas as pd
from arfpy.arf import arf  # pyright: ignore[reportMissingImports]

# arfpy calls a function that NumPy 2.4 has no more under its old name.
np.in1d = np.isin  # pyright: ignore[reportAttributeAccessIssue]


def main() -> None:
    """Fit and draw with the defaults of arfpy."""
    source, target, n, seed = sys.argv[1:]
    np.random.seed(int(seed))
    frame = pd.read_pickle(source)
    model = arf(frame, random_state=int(seed), verbose=False)
    model.forde()
    model.forge(n=int(n))[list(frame)].to_pickle(target)


if __name__ == "__main__":
    main()
