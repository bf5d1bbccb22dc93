"""Scores that are no finite numbers are told, never passed on in silence."""

import warnings

import numpy as np

from harmonium.errors import HarmoniumWarning


def warn_if_not_finite(what: str, values: np.ndarray) -> np.ndarray:
    """The values (rows,) themselves, after a warning if some of them are NaN or infinite."""
    odd = ~np.isfinite(values)
    if odd.any():
        text = (
            f"{odd.sum()} of {len(values)} {what} are not finite, the first in row "
            f"{int(odd.argmax()) + 1} of these: "
            "do not use them. Try: look at the cells of these rows, or fit again."
        )
        warnings.warn(text, HarmoniumWarning, stacklevel=3)
    return values
