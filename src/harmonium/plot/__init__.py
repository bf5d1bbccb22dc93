"""Pictures for notebooks and papers: every function draws on axes of matplotlib and returns them.

Colors and sizes are those of the style that is set, dark ones too; `axes` draws into a figure of
your own. matplotlib comes with the extra `report`: `pip install 'harmonium[report]'`.
"""

from harmonium.plot.fits import hidden_units, log_partition, training_curve
from harmonium.plot.tables import energy_along, marginals, pairs, surface

__all__ = [
    "energy_along",
    "hidden_units",
    "log_partition",
    "marginals",
    "pairs",
    "surface",
    "training_curve",
]
