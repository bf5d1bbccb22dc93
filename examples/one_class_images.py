"""Images of one digit, odd ones among others found by p-values, and maps of what is odd."""

import sys

import numpy as np
from sklearn.datasets import load_digits

import harmonium as hm
from harmonium.report.pngs import as_bytes, as_heat, in_color, sheet, write_png

images, digits = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8).astype(np.uint8)
zeros, others = images[digits == 0], images[digits != 0]
others = others[:20] if "--small" in sys.argv else others

density = hm.ImageDensity(effort="quick", n_components=1, random_state=0).fit(zeros[:150])
p_zeros, p_others = density.p_values(zeros[150:]), density.p_values(others)
print(f"p at most 0.1: {np.mean(p_zeros <= 0.1):.2f} of further zeros")
print(f"p at most 0.1: {np.mean(p_others <= 0.1):.2f} of other digits")

heat = density.explain(others[:10]).sum(axis=-1)
shown = in_color(as_bytes(others[:10, ..., None], 17))
maps = as_heat(heat, float(np.quantile(heat, 0.99)))
write_png("odd.png", sheet(np.concatenate([shown, maps]), 10, zoom=6))
print("odd.png: ten other digits, and where they are unlike zeros")
