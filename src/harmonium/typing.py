"""Shape-annotated array aliases. Axes: batch, chains, visible, hidden, features."""

import numpy as np
from jaxtyping import Array, Bool, Float, Key

Scalar = Float[Array, ""]
Visible = Float[Array, "visible"]
Hidden = Float[Array, "hidden"]
Features = Float[Array, "features"]
Batch = Float[Array, "batch visible"]
Training = Float[Array, "training visible"]
HeldOut = Float[Array, "held_out visible"]
TrainingTable = Float[Array | np.ndarray, "training visible"]
HeldOutTable = Float[Array | np.ndarray, "held_out visible"]
Positions = Float[Array, "chains visible"]
HiddenBatch = Float[Array, "batch hidden"]
HiddenPositions = Float[Array, "chains hidden"]
PerRow = Float[Array, "batch"]
Weights = Float[Array, "hidden features"]
PerChain = Float[Array, "chains"]
Flag = Bool[Array, ""]
RandomKey = Key[Array, ""]

__all__ = [
    "Batch",
    "Features",
    "Flag",
    "HeldOut",
    "HeldOutTable",
    "Hidden",
    "HiddenBatch",
    "HiddenPositions",
    "PerChain",
    "PerRow",
    "Positions",
    "RandomKey",
    "Scalar",
    "Training",
    "TrainingTable",
    "Visible",
    "Weights",
]
