"""A density compared with a Gaussian mixture and a kernel density on rows that no fit has seen."""

import sys

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neighbors import KernelDensity
from sklearn.preprocessing import StandardScaler

import harmonium as hm

n_columns = 6 if "--small" in sys.argv else 30
rows = load_breast_cancer().data[:, :n_columns]
train, test = train_test_split(StandardScaler().fit_transform(rows), random_state=0)

kernel = GridSearchCV(KernelDensity(), {"bandwidth": np.geomspace(0.1, 2, 10)})
mixture = min(
    (GaussianMixture(k, reg_covar=1e-3, random_state=0).fit(train) for k in (1, 2, 4, 8)),
    key=lambda fitted: fitted.bic(train),
)
# Stated to be continuous, so that all three score densities and none probabilities of cells.
kinds = {f"x{column + 1}": "continuous" for column in range(n_columns)}
fits = {
    "harmonium": hm.DensityEstimator(effort="quick", kinds=kinds, random_state=0).fit(train),
    "Gaussian mixture": mixture,
    "kernel density": kernel.fit(train).best_estimator_,
}
for name, fitted in fits.items():
    scores = fitted.score_samples(test)
    error = scores.std() / np.sqrt(len(scores))
    print(f"{name:17} {scores.mean():7.2f} nats per row (standard error {error:.2f})")
