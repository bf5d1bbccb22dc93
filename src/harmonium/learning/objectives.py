"""What an update climbs. An objective turns a batch into an ascent direction and carries its own
state.
"""

from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax

from harmonium.learning.gradient import HiddenEstimator, contrast
from harmonium.learning.negatives import (
    AbstractNegatives,
    Chains,
    Metrics,
    Negatives,
    WeightedPopulation,
)
from harmonium.model import Harmonium
from harmonium.typing import Batch, RandomKey, Scalar


class Ascent(NamedTuple):
    """One evaluation of an objective: where to go, what limits the step, what to remember and to
    record.
    """

    gradient: Harmonium
    trust_region_chains: Negatives | None
    carry: Any
    metrics: Metrics


class AbstractObjective(eqx.Module):
    """Something to be maximized by stochastic ascent.

    Where an objective rests on draws of a base that has modes (`draws_from_base`), a state is worth
    keeping only while so many of them are effective that weights tell its log Z: a path from such a
    base, which is the other way to it, takes longer than the training.
    """

    draws_from_base: eqx.AbstractClassVar[bool]

    @abstractmethod
    def init(self, key: RandomKey, model: Harmonium, data: Batch) -> Any:
        """The state carried from update to update; called once, outside of compiled code."""

    @abstractmethod
    def ascend(self, key: RandomKey, model: Harmonium, batch: Batch, carry: Any) -> Ascent:
        """The ascent direction for this batch of rows in model units (batch, visible)."""

    @abstractmethod
    def log_partition(self, model: Harmonium, carry: Any) -> tuple[Scalar, Scalar]:
        """A running estimate of log Z of a model near the current one, and its ess; NaN if
        unknown.
        """

    @abstractmethod
    def chains(self, model: Harmonium, carry: Any) -> Chains:
        """The chains behind the objective as they stand, for diagnosis."""


class MaximumLikelihood(AbstractObjective):
    """Maximum likelihood: mean F over negatives minus mean F over data (theory, section 7), the
    negative energy gap.
    """

    draws_from_base: ClassVar[bool] = False
    negatives: AbstractNegatives = WeightedPopulation()
    hidden: HiddenEstimator = eqx.field(static=True, default="marginal")

    def init(self, key: RandomKey, model: Harmonium, data: Batch) -> Any:
        """The state of the source of negatives."""
        return self.negatives.init(key, model, data)

    def ascend(self, key: RandomKey, model: Harmonium, batch: Batch, carry: Any) -> Ascent:
        """Draw negatives for the current model, then take the contrast with the batch."""
        # A split that nobody needs would be compiled all the same.
        key_draw, key_hidden = (key, None) if self.hidden == "marginal" else jax.random.split(key)
        draw = self.negatives.draw(key_draw, model, batch, carry)
        value, gradient = contrast(
            model,
            batch,
            draw.negatives.positions,
            self.hidden,
            key=key_hidden,
            log_weights=draw.negatives.log_weights,
        )
        metrics = {**draw.metrics, "energy_gap": -value}
        return Ascent(gradient, draw.trust_region_chains, draw.carry, metrics)

    def log_partition(self, model: Harmonium, carry: Any) -> tuple[Scalar, Scalar]:
        """As the source of negatives knows it."""
        return self.negatives.log_partition(model, carry)

    def chains(self, model: Harmonium, carry: Any) -> Chains:
        """Those of the source of negatives."""
        return self.negatives.chains(model, carry)
