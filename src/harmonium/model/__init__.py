"""Layer 1: what p(x, h) is."""

from harmonium.model import feature_maps
from harmonium.model.harmonium import ConditionalVisible, Harmonium, check_finite
from harmonium.model.hidden_units import AbstractHiddenUnits, Bernoulli, Spin
from harmonium.model.oracles import (
    enumerated_log_partition,
    exact_log_partition,
    exact_samples,
    quadrature_log_partition,
)
from harmonium.model.tempering import (
    Center,
    Path,
    base_free_energy,
    base_log_partition,
    center_at,
    sample_base,
    temper,
)

__all__ = [
    "AbstractHiddenUnits",
    "Bernoulli",
    "Center",
    "ConditionalVisible",
    "Harmonium",
    "Path",
    "Spin",
    "base_free_energy",
    "base_log_partition",
    "center_at",
    "check_finite",
    "enumerated_log_partition",
    "exact_log_partition",
    "exact_samples",
    "feature_maps",
    "quadrature_log_partition",
    "sample_base",
    "temper",
]
