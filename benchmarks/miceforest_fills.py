"""miceforest on one table with holes, run by the peers' python.

`python miceforest_fills.py HOLED.parquet FOLDER N SEED` writes N completed tables to FOLDER.
"""

import sys
from pathlib import Path

import pandas as pd


def main() -> None:
    """Read, complete, write."""
    import miceforest  # pyright: ignore[reportMissingImports]

    source, folder, n_completed, seed = sys.argv[1:]
    table = pd.read_parquet(source)
    for name in table:
        if table[name].dtype.kind not in "if":
            table[name] = table[name].astype("category")
    kernel = miceforest.ImputationKernel(
        table, num_datasets=int(n_completed), random_state=int(seed)
    )
    kernel.mice(5)
    for number in range(int(n_completed)):
        completed = kernel.complete_data(dataset=number)
        text = {c: str for c in completed if completed[c].dtype == "category"}
        completed.astype(text).to_parquet(Path(folder) / f"{number}.parquet")


if __name__ == "__main__":
    main()
