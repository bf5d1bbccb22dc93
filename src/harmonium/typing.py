"""Shape-annotated array aliases. Axes: batch, chains, visible, hidden, features; rows, columns."""

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

# Tables by NumPy: cells in data units, the coordinates u of the modeled columns, rows in model
# units; a number for every row, and for every modeled cell.
Values = Float[np.ndarray, "rows columns"]
Points = Float[np.ndarray, "rows modeled"]
Rows = Float[np.ndarray, "rows visible"]
Scores = Float[np.ndarray, "rows"]
PerCell = Float[np.ndarray, "rows modeled"]

__all__ = [
    "Batch",
    "Features",
    "Flag",
    "HeldOut",
    "HeldOutTable",
    "Hidden",
    "HiddenBatch",
    "HiddenPositions",
    "PerCell",
    "PerChain",
    "PerRow",
    "Points",
    "Positions",
    "RandomKey",
    "Rows",
    "Scalar",
    "Scores",
    "Training",
    "TrainingTable",
    "Values",
    "Visible",
    "Weights",
]
