"""Holes, completed tables, and one regression pooled over them by Rubin's rules."""

import sys

import numpy as np
from sklearn.datasets import load_diabetes

import harmonium as hm

n_tables = 5 if "--small" in sys.argv else 20
table = load_diabetes(as_frame=True, scaled=False).frame[["bmi", "bp", "s5", "target"]]
rng = np.random.default_rng(0)
holed = table.mask((rng.random(table.shape) < 0.25) & (table.columns != "target"))


def regress(frame):
    """Coefficients of target on the other columns, with their squared standard errors."""
    x = np.column_stack([np.ones(len(frame)), frame.drop(columns="target").to_numpy(float)])
    y = frame["target"].to_numpy(float)
    coefficients, squares = np.linalg.lstsq(x, y)[:2]
    covariance = squares[0] / (len(y) - x.shape[1]) * np.linalg.inv(x.T @ x)
    return coefficients[1:], np.diag(covariance)[1:]


tables = hm.Imputer(n_draws=n_tables).fit(holed).draws(holed)
fits = [regress(completed) for completed in tables]
means = np.mean([coefficients for coefficients, _ in fits], axis=0)
within = np.mean([variances for _, variances in fits], axis=0)
between = np.var([coefficients for coefficients, _ in fits], axis=0, ddof=1)
errors = np.sqrt(within + (1 + 1 / n_tables) * between)

truth, _ = regress(table)
dropped, dropped_variances = regress(holed.dropna())
print("column   all cells   pooled (standard error)   complete rows only")
for place, name in enumerate(table.columns[:-1]):
    pooled = f"{means[place]:.2f} ({errors[place]:.2f})"
    alone = f"{dropped[place]:.2f} ({dropped_variances[place] ** 0.5:.2f})"
    print(f"{name:8} {truth[place]:9.2f}   {pooled:23}   {alone}")
