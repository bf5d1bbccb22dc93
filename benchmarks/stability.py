"""Does a default fit hold on real tables? The command line on exported CSV files, several seeds.

`python -m benchmarks.stability [--seeds 3] [--only fault ...]`

Needs the ADBench files in ../shared/data/adbench. For each set and seed: `harmonium fit`, then
`score` of the training table and `sample` of 1000 rows; the row says what happened.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.report import Row, publish

FOLDER = Path(__file__).parents[2] / "shared" / "data" / "adbench"
SETS = {
    "fault": "12_fault",
    "optdigits": "26_optdigits",
    "cardio": "6_cardio",
    "wilt": "44_Wilt",
}
N_SAMPLES = 1000


def export(name: str, folder: Path) -> Path:
    """The table of a set as CSV with a header; labels are left out."""
    with np.load(FOLDER / f"{SETS[name]}.npz") as stored:
        rows = stored["X"].astype(float)
    header = ",".join(f"c{i}" for i in range(rows.shape[1]))
    path = folder / f"{name}.csv"
    np.savetxt(path, rows, delimiter=",", header=header, comments="", fmt="%.10g")
    return path


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """One call of the command line."""
    command = [sys.executable, "-c", "from harmonium.cli import main; main()"]
    return subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def measure(name: str, seed: int, folder: Path) -> Row:
    """Fit, score and sample one set with one seed."""
    table = export(name, folder)
    output = folder / f"{name}-{seed}"
    started = time.monotonic()
    fitted = run("fit", table, "-o", output, "--seed", seed, "--json")
    row: Row = {"set": name, "seed": seed, "seconds": time.monotonic() - started}
    if fitted.returncode != 0:
        return row | {"outcome": f"fit failed: {fitted.stderr.strip()[-200:]}"}
    metrics = json.loads(fitted.stdout)
    scores, samples = folder / "scores.npy", folder / "samples.npy"
    scored = run("score", output, table, "-o", scores, "--overwrite")
    sampled = run("sample", output, "-n", N_SAMPLES, "-o", samples, "--overwrite")
    finite = (
        scored.returncode == sampled.returncode == 0
        and np.isfinite(np.load(scores)).all()
        and np.isfinite(np.load(samples)).all()
    )
    return row | {
        "held-out": metrics["held_out"]["log_likelihood"],
        "± 95 %": 1.96 * metrics["held_out"]["standard_error"],
        "Gaussian start": metrics["held_out"]["gaussian"],
        "log Z ess": metrics["log_partition"]["ess"],
        "log Z error": metrics["log_partition"]["standard_error"],
        "repairs": len(metrics["repairs"]),
        "trusted": metrics["trusted"],
        "kept update": metrics["kept_update"],
        "outcome": ("ok" if metrics["kept_update"] else "nothing learned")
        if finite
        else f"{scored.stderr[-100:]} {sampled.stderr[-100:]}",
    }


def main() -> None:
    """Run the sets and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(SETS), choices=list(SETS))
    arguments = parser.parse_args()
    if not FOLDER.is_dir():
        sys.exit(f"stability: the ADBench files are not at {FOLDER}; nothing was measured")
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            measure(name, seed, Path(folder))
            for name in arguments.only
            for seed in range(arguments.seeds)
        ]
    publish("stability", "Default fits of real tables, nats per row in data units", rows)


if __name__ == "__main__":
    main()
