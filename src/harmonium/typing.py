"""Shape-annotated array aliases. Axes: batch, chains, visible, hidden, features."""

from jaxtyping import Array, Bool, Float, Key

Scalar = Float[Array, ""]
Visible = Float[Array, "visible"]
Hidden = Float[Array, "hidden"]
Features = Float[Array, "features"]
Batch = Float[Array, "batch visible"]
Positions = Float[Array, "chains visible"]
PerChain = Float[Array, "chains"]
Flag = Bool[Array, ""]
RandomKey = Key[Array, ""]

__all__ = [
    "Batch",
    "Features",
    "Flag",
    "Hidden",
    "PerChain",
    "Positions",
    "RandomKey",
    "Scalar",
    "Visible",
]
