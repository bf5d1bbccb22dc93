"""The model as a torch module, for scripts that the peers' python runs; imported by them, never by
us.
"""

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch.nn.functional import linear, silu, softplus  # pyright: ignore[reportMissingImports]


class FreeEnergy(torch.nn.Module):
    """F(x) = x·x - b·x - sum_k softplus(c_k - w_k·f(x)), with f the identity or a silu network."""

    def __init__(self, path: str):
        super().__init__()
        with np.load(path) as stored:
            arrays = {name: torch.tensor(stored[name]) for name in stored.files}
        self.input_scale = float(arrays.pop("input_scale"))
        self.n_layers = int(arrays.pop("n_layers"))
        # With its sign turned once, so that no call has to.
        arrays["weights"] = -arrays["weights"]
        for name, array in arrays.items():
            self.register_parameter(name, torch.nn.Parameter(array))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """F of a batch of rows, shape (batch,)."""
        features = x * self.input_scale
        for i in range(self.n_layers):
            weight, bias = getattr(self, f"layer_weight_{i}"), getattr(self, f"layer_bias_{i}")
            features = silu(linear(features, weight, bias))
        log_sum = softplus(linear(features, self.weights, self.hidden_bias)).sum(dim=1)
        return (x * x).sum(dim=1) - x @ self.visible_bias - log_sum
