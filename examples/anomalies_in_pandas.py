"""Anomalies with reasons as columns of a pandas frame: three planted errors among 178 wines."""

import pandas as pd
from sklearn.datasets import load_wine

import harmonium as hm

wines = load_wine(as_frame=True).data
wines.loc[10, "alcohol"] = 1.42  # a decimal point that slipped: 14.2
wines.loc[50, "proline"] = -999.0  # a code for "unknown"
wines.loc[90, "ash"] = 23.6  # one that is missing: 2.36


def add_anomalies(frame: pd.DataFrame, detector: hm.AnomalyDetector) -> pd.DataFrame:
    """The frame with p-values and, for every row, the cell to blame and a likely value."""
    reasons = detector.explain(frame)
    worst = reasons.top(1)[:, 0]
    rows = range(len(frame))
    return frame.assign(
        p_value=detector.modelled_p_values(frame),
        reason=frame.columns[worst],
        value=frame.to_numpy()[rows, worst],
        likely=reasons.likely_values[rows, worst],
    )


detector = hm.AnomalyDetector(random_state=0).fit(wines)
found = wines.pipe(add_anomalies, detector).sort_values("p_value")
print(found[["p_value", "reason", "value", "likely"]].head(5).to_string(float_format="%.3g"))
