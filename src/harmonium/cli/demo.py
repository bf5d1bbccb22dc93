"""The demo: handwritten digits, a model, two baselines, a picture."""

import logging
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from harmonium.cli.layout import wrapped
from harmonium.cli.work import Metrics, Run, fit_run
from harmonium.data import Table
from harmonium.inference import DensityFit, DensitySettings
from harmonium.inference.baselines import compare_baselines
from harmonium.inference.progress import Display
from harmonium.report import draw_image_grids

_log = logging.getLogger(__name__)

N_TEST = 347
N_SHOWN = 64
SIDE = 8
LARGEST_PIXEL = 16.0
# Of the baselines and the pictures.
FINISH_SECONDS = 15.0
HEADINGS = ("density", "mean", "95 % interval", "gain of harmonium")
NAMES = {
    "gaussian": "Gaussian, full covariance",
    "gaussian mixture (10)": "mixture of 10 Gaussians",
}


def run_demo(
    output: Path, display: Display, *, seed: int, time_budget: float | None, hint: str
) -> Metrics:
    """Fit the digits, compare on rows that neither model nor baseline has seen, draw, and print."""
    pixels = np.asarray(load_digits(return_X_y=True)[0], float)
    pixels = pixels[np.random.default_rng(seed).permutation(len(pixels))]
    training, test = pixels[N_TEST:], pixels[:N_TEST]
    names = tuple(f"pixel_{row}_{column}" for row in range(SIDE) for column in range(SIDE))

    def finish(folder: Path, fitted: DensityFit, metrics: Metrics) -> None:
        _log.info("fitting the baselines")
        metrics["test"] = _compare(fitted, training, test, seed)
        _draw(fitted, test, folder, seed)

    settings = DensitySettings(time_budget=time_budget, seed=seed)
    run = Run(settings, Table(training, names), output, hint, finish_seconds=FINISH_SECONDS)
    return fit_run(run, display, finish=finish)[0]


def _compare(
    fitted: DensityFit, training: np.ndarray, test: np.ndarray, seed: int
) -> dict[str, dict[str, float]]:
    """Mean held-out log-density with a 95 % interval, for the model and each baseline."""
    ours = {"harmonium": fitted.density.log_density(test)}
    others = compare_baselines(fitted.density.columns, training, test, seed=seed)
    log_partition = fitted.density.log_partition
    rows = {name: _interval(values, 0.0) for name, values in (ours | others).items()}
    rows["harmonium"] = _interval(ours["harmonium"], log_partition.standard_error)
    for name, values in others.items():
        rows[name]["gain"] = float(np.mean(ours["harmonium"] - values))
    return rows


def _interval(values: np.ndarray, log_partition_error: float) -> dict[str, float]:
    """Mean and 95 % interval: sampling error of the mean and error of log Z together."""
    error = np.hypot(values.std(ddof=1) / np.sqrt(len(values)), log_partition_error)
    mean = float(values.mean())
    return {"mean": mean, "low": mean - 1.96 * float(error), "high": mean + 1.96 * float(error)}


def _draw(fitted: DensityFit, test: np.ndarray, folder: Path, seed: int) -> None:
    rows, _ = fitted.density.sample(N_SHOWN, seed=seed)
    generated = rows.reshape(-1, SIDE, SIDE)
    real = test[:N_SHOWN].reshape(-1, SIDE, SIDE)
    draw_image_grids(
        folder / "samples.png",
        [("64 generated digits", generated), ("64 real digits", real)],
        limits=(0.0, LARGEST_PIXEL),
    )


def _cells(name: str, row: dict[str, float]) -> tuple[str, ...]:
    """What the table of densities says of one of them."""
    interval = f"[{row['low']:.2f}, {row['high']:.2f}]"
    gain = f"{row['gain']:+.2f}" if "gain" in row else ""
    return NAMES.get(name, name), f"{row['mean']:.2f}", interval, gain


def _aligned(rows: list[tuple[str, ...]]) -> str:
    """Rows of cells as lines: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def print_demo(metrics: Metrics, output: Path) -> None:
    """The table of densities, for people."""
    print(f"{N_TEST} held-out digits, log-density in nats per row\n")
    print(_aligned([HEADINGS, *(_cells(name, row) for name, row in metrics["test"].items())]))
    print()
    print(f"fitted {metrics['rows']} rows in {metrics['seconds']:.0f} s -> {output}")
    chosen = metrics["chosen"]
    residual = "with" if chosen["residual"] else "without"
    print(f"chosen: {chosen['base']} of {chosen['n_components']}, {residual} a residual energy")
    print("picture: samples.png; numbers: metrics.json")
    print(wrapped(metrics["verdict"]))
