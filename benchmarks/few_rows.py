"""From how many rows on an energy on top of the base pays.

`python -m benchmarks.few_rows [--tables pendigits ...] [--ratios 1 2 4 ...] [--seeds 0 1]`

Of every table, `ratio` rows per pair of columns are drawn; two densities are fitted to them, the
base alone (`effort="quick"`) and one that trains an energy, whatever the number of rows. Figures
are mean log-densities of the test rows, nats per row, and whether held-out rows kept the energy.
Tables are those of `benchmarks.density`; "rings" are ten columns on five circles whose angles
depend on each other.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import harmonium as hm
from benchmarks.density import SHARED, load_tool
from benchmarks.report import Row, publish

TABLES = ("pendigits", "magic.gamma", "satellite", "shuttle", "wilt", "rings")
N_RINGS, N_TEST = 5, 5000


def rings(n_rows: int, seed: int) -> np.ndarray:
    """Rows (n_rows, 10): every circle's angle is near half of its own plus the first one's."""
    rng = np.random.default_rng(seed)
    angles = rng.uniform(0, 2 * np.pi, (n_rows, N_RINGS))
    angles[:, 1:] = angles[:, :1] + 0.5 * angles[:, 1:]
    radius = 1 + 0.1 * rng.normal(size=angles.shape)
    rows = np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=2)
    return rows.reshape(n_rows, -1)


def parts(name: str, shared: Path) -> tuple[np.ndarray, np.ndarray]:
    """Rows to draw from and test rows of a table; `SystemExit` where ../shared is not there."""
    if name == "rings":
        return rings(4 * N_TEST, 0), rings(N_TEST, 1)
    tool = load_tool(shared)
    if tool is None:
        raise SystemExit(f"{shared} has no tables. Try: --tables rings, or --shared FOLDER.")
    training, validation, test = tool.table(name, str(shared / "data" / "adbench"))
    return np.concatenate([training, validation]), test


def fit(kinds: dict[str, str], seed: int, rows: np.ndarray, **settings: Any) -> hm.DensityEstimator:
    """A density of these rows, with these settings beside the default ones."""
    return hm.DensityEstimator(kinds=kinds, random_state=seed, **settings).fit(rows)


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """One row per table, ratio and seed."""
    for name in options.tables:
        rows, test = parts(name, options.shared)
        kinds = {f"x{i + 1}": "continuous" for i in range(rows.shape[1])}
        for ratio in options.ratios:
            n_rows = int(ratio * rows.shape[1] ** 2)
            for seed in options.seeds if 60 <= n_rows <= len(rows) else ():
                own = rows[np.random.default_rng(seed).permutation(len(rows))[:n_rows]]
                base = fit(kinds, seed, own, effort="quick").score(test)
                trained = fit(kinds, seed, own, objective="noise-contrastive")
                yield {
                    "table": name,
                    "rows": n_rows,
                    "columns": rows.shape[1],
                    "rows per pair": ratio,
                    "seed": seed,
                    "base": base,
                    "gain": trained.score(test) - base,
                    "kept": trained.chosen_.residual,
                }


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="*", default=TABLES)
    parser.add_argument("--ratios", nargs="*", type=float, default=[1.0, 2.0, 4.0, 8.0, 16.0])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1])
    parser.add_argument("--shared", type=Path, default=SHARED)
    found = []
    for row in measure(parser.parse_args()):
        print(row, flush=True)
        found.append(row)
    publish(
        "few_rows", "What an energy on top of the base gains by rows per pair of columns", found
    )


if __name__ == "__main__":
    main()
