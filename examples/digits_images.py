"""Handwritten digits of 8 by 8 pixels: drawn ones beside real ones, and a lower half filled in."""

import sys

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import harmonium as hm

images = load_digits().data
images = images[:300] if "--small" in sys.argv else images

estimator = hm.DensityEstimator(effort="quick", random_state=0).fit(images)
drawn = estimator.sample(8)

halves = images[:8].copy()
halves[:, 32:] = np.nan
imputer = hm.Imputer(n_draws=1).adopt(estimator)
filled = imputer.draws(halves)[0]

lines = {"real": images[:8], "drawn": drawn, "upper half": halves, "lower half drawn": filled}
figure, axes = plt.subplots(len(lines), 8, figsize=(8, 4.4))
for row, (name, shown) in zip(axes, lines.items(), strict=True):
    row[0].set_title(name, loc="left", fontsize=9)
    for axis, image in zip(row, shown, strict=True):
        axis.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
        axis.axis("off")
figure.savefig("digits.png", dpi=110, bbox_inches="tight")
print("digits.png:", ", ".join(lines))
