"""Nightly scoring: a folder that grows by a table every night, one command, alarms in a log."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_wine

import harmonium as hm

MODEL, ARRIVALS, FOUND, LOG = map(Path, ("wine.safetensors", "arrivals", "found", "alarms.csv"))
wines = load_wine(as_frame=True).data


def arrive(night: int) -> None:
    """What comes in: a table in a folder of its own."""
    rng = np.random.default_rng(night)
    rows = wines.sample(50, random_state=night, ignore_index=True)
    rows += 0.02 * wines.std().to_numpy() * rng.normal(size=rows.shape)
    if night == 2:
        rows.loc[[3, 17], "magnesium"] = 0.0  # a sensor fails
    folder = ARRIVALS / f"night={night}"
    folder.mkdir(parents=True, exist_ok=True)
    rows.to_csv(folder / "rows.csv", index=False)


# Once: fit to rows that are known to be in order, and keep the detector.
hm.AnomalyDetector(random_state=0).fit(wines).save(MODEL)
# Every night: tables that are done already are kept. Cron and systemd call the command itself.
detect = ["detect", MODEL, ARRIVALS, "-o", FOUND, "--explain", "1", "--quiet"]
for night in (1, 2, 3):
    arrive(night)
    subprocess.run([sys.executable, "-m", "harmonium", *map(str, detect)], check=True)
rows = pd.concat({path.parent.name: pd.read_csv(path) for path in sorted(FOUND.rglob("*.csv"))})
rows = rows.rename_axis(["night", None]).reset_index("night")
alarms = rows[rows.modelled_p_value < 0.05 / 50][["night", "row", "modelled_p_value", "why"]]
alarms.to_csv(LOG, index=False)
print(alarms.to_string(index=False))
