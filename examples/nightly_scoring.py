"""Nightly scoring: one detector in a file, every night's rows against it, alarms in a log."""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_wine

import harmonium as hm

MODEL, LOG = Path("detector.safetensors"), Path("alarms.csv")
wines = load_wine(as_frame=True).data


def train() -> None:
    """Once: fit to rows that are known to be in order, and keep the detector."""
    hm.AnomalyDetector(random_state=0).fit(wines).save(MODEL)


def score(night: int) -> pd.DataFrame:
    """Every night: load, score what came in, write down what is flagged."""
    rng = np.random.default_rng(night)
    rows = wines.sample(50, random_state=night, ignore_index=True)
    rows += 0.02 * wines.std().to_numpy() * rng.normal(size=rows.shape)
    if night == 2:
        rows.loc[[3, 17], "magnesium"] = 0.0  # a sensor fails
    detector = hm.load(MODEL)
    p_values = detector.modelled_p_values(rows)
    flagged = np.flatnonzero(p_values < 0.05 / len(rows))  # at most one false alarm in 20 nights
    worst = detector.explain(rows).top(1)[flagged, 0]
    return pd.DataFrame(
        {"night": night, "row": flagged, "p": p_values[flagged], "cell": rows.columns[worst]}
    )


if not MODEL.exists():
    train()
alarms = pd.concat([score(night) for night in (1, 2, 3)], ignore_index=True)
alarms.to_csv(LOG, index=False)
print(alarms.to_string(index=False, float_format="%.1g"))
