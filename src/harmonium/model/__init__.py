"""Layer 1: what p(x, h) is."""

from harmonium.model import feature_maps
from harmonium.model.bases import (
    AbstractBase,
    ConditionalVisible,
    GaussianBase,
    MixtureBase,
    tilted,
    with_wide_component,
)
from harmonium.model.conditioning import ConditionedModel, condition, in_coordinates
from harmonium.model.harmonium import Harmonium, check_finite, split_trainable
from harmonium.model.hidden_units import AbstractHiddenUnits, Bernoulli, Spin
from harmonium.model.mixture import Mixture
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
    "AbstractBase",
    "AbstractHiddenUnits",
    "Bernoulli",
    "Center",
    "ConditionalVisible",
    "ConditionedModel",
    "GaussianBase",
    "Harmonium",
    "Mixture",
    "MixtureBase",
    "Path",
    "Spin",
    "base_free_energy",
    "base_log_partition",
    "center_at",
    "check_finite",
    "condition",
    "enumerated_log_partition",
    "exact_log_partition",
    "exact_samples",
    "feature_maps",
    "in_coordinates",
    "quadrature_log_partition",
    "sample_base",
    "split_trainable",
    "temper",
    "tilted",
    "with_wide_component",
]
