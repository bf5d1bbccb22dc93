"""Two tables compared for drift: p-values of new rows are uniform as long as nothing changes."""

import numpy as np
from scipy.stats import ks_2samp
from sklearn.datasets import load_breast_cancer

import harmonium as hm

frame = (
    load_breast_cancer(as_frame=True)
    .data[["mean radius", "mean texture", "mean smoothness", "mean concavity"]]
    .sample(frac=1, random_state=0, ignore_index=True)
)
train, reference, later = frame[:300], frame[300:430], frame[430:]
drifted = later.assign(**{"mean texture": later["mean texture"] * 1.25})  # a scale that is off

detector = hm.AnomalyDetector(random_state=0).fit(train)
for name, rows in {"later": later, "drifted": drifted}.items():
    # All p-values share the calibration rows, so that a one-sample test of uniformity would reject
    # too often. Reference rows share them too: compare the two samples of p-values instead.
    as_rows = ks_2samp(detector.modelled_p_values(reference), detector.modelled_p_values(rows))
    print(f"{name}: whole rows p = {as_rows.pvalue:.2g}", end="")
    columns = {column: ks_2samp(reference[column], rows[column]).pvalue for column in frame}
    worst = min(columns, key=columns.__getitem__)
    corrected = min(1.0, len(columns) * columns[worst])  # Bonferroni
    print(f"; most changed column {worst!r}, p = {corrected:.2g}")
    small = np.sum(detector.p_values(rows) <= 0.05)
    print(
        f"   {small} of {len(rows)} rows have p <= 0.05, where {0.05 * len(rows):.0f} are expected"
    )
