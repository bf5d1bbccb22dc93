"""The settings of a density fit: plain values, so that files and command lines can hold them."""

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from harmonium.data.body_choice import BODIES
from harmonium.data.whitening import SHAPES
from harmonium.inference.checks import Checks, plain_numbers
from harmonium.inference.own_parts import NAMED, OWN, FeatureMap, OwnParts, is_own
from harmonium.learning import (
    AbstractObjective,
    DataStartedChains,
    DenoisingScoreMatching,
    FitSettings,
    MaximumLikelihood,
    NoiseContrastive,
    PersistentChains,
    Stage,
    WeightedPopulation,
)
from harmonium.learning.base_choice import N_FOLDS
from harmonium.learning.trainer import default_optimizer
from harmonium.model import AbstractBase, Bernoulli, Harmonium, Spin, feature_maps
from harmonium.sampling import AbstractKernel
from harmonium.typing import RandomKey, Weights

EFFORTS = ("quick", "normal", "thorough")
BASES = ("auto", "gaussian", "mixture")
HIDDEN_UNITS = ("bernoulli", "spin")
# What each name is for a kernel, or none.
OBJECTIVES: dict[str, Callable[[AbstractKernel | None], AbstractObjective]] = {
    "auto": lambda kernel: NoiseContrastive(),
    "likelihood": lambda kernel: MaximumLikelihood(WeightedPopulation(kernel)),
    "warm-started-likelihood": lambda kernel: MaximumLikelihood(WeightedPopulation(kernel)),
    "persistent": lambda kernel: MaximumLikelihood(PersistentChains(kernel)),
    "contrastive-divergence": lambda kernel: MaximumLikelihood(DataStartedChains(kernel)),
    "score-matching": lambda kernel: DenoisingScoreMatching.between(*NOISE),
    "noise-contrastive": lambda kernel: NoiseContrastive(),
}
CONTRASTIVE = ("auto", "noise-contrastive", OWN + NoiseContrastive.__name__)
KERNELS = ("auto",)
# Of score matching: the noise, in model units, where a column has variance 1/2. Less of it leaves
# the energy far from the rows undetermined, and then log Z cannot be trusted, nor does the
# likelihood repair it (docs/decisions.md).
NOISE = (0.2, 0.7)
# Of a warm start: its share of the updates, and the learning rate after it over that before.
WARM_SHARE = 0.3
COOLED = 0.3
# Of five: two choose about as well as all, in half the time (docs/decisions.md).
QUICK_FOLDS = 2
MAX_SEED = 2**32 - 1
CONTRASTIVE_RATE = 5e-3
LIKELIHOOD_RATE = 1e-3

# Up to this many columns, fine structure can be resolved by waves, and must be to be seen at all.
MAX_FOURIER_COLUMNS = 3
# The spread of a random phase is the same for any number of columns.
FREQUENCY_SCALE = 3.0
# Spread of the first logits over that of a feature: enough that hidden units become different, so
# little that the start is a Gaussian for all that matters (docs/decisions.md).
FIRST_WEIGHTS = 0.1
# A gain above 1 lets the first layer bend within the data instead of staying linear.
INPUT_SCALE = 3.0


@dataclass(frozen=True)
class DensitySettings:
    """What to fit and how long; `DensityEstimator` documents each field.

    Of a part that was given as an object or a class (`OwnParts`) the class name stands here, after
    "own:".
    """

    n_hidden: int = 128
    feature_map: str = "auto"
    effort: str = "normal"
    base: str = "auto"
    width: int = 128
    hidden_units: str = "bernoulli"
    objective: str = "auto"
    kernel: str = "auto"
    n_updates: int = 1500
    time_budget: float | None = None
    learning_rate: float | None = None
    batch_size: int = 512
    marginals: str = "auto"
    whitening: str = "full"
    validation_fraction: float = 0.1
    seed: int = 0

    def __post_init__(self):
        plain_numbers(self)
        checks = Checks("DensityEstimator")
        checks.choice("effort", self.effort, EFFORTS)
        checks.choice("whitening", self.whitening, SHAPES)
        checks.choice("hidden_units", self.hidden_units, HIDDEN_UNITS)
        named = {
            "feature_map": FEATURE_MAPS,
            "objective": OBJECTIVES,
            "kernel": KERNELS,
            "base": BASES,
            "marginals": BODIES,
        }
        for name, choices in named.items():
            if not is_own(getattr(self, name)):
                checks.choice(name, getattr(self, name), tuple(choices))
        for name in ("n_hidden", "width", "n_updates", "batch_size"):
            checks.whole(name, getattr(self, name), 1, 2**31 - 1)
        checks.whole("random_state", self.seed, 0, MAX_SEED)
        if self.learning_rate is not None:
            expected = "a positive number or None"
            checks.number("learning_rate", self.learning_rate, expected, 1e-12)
        if self.time_budget is not None:
            checks.number("time_budget", self.time_budget, "positive seconds or None", 1e-3)
        checks.share("validation_fraction", self.validation_fraction)

    @property
    def leaves_it_open(self) -> bool:
        """Whether nothing says that an energy is wanted: neither effort nor a part of it."""
        parts = (self.base, self.objective, self.feature_map)
        return self.effort == "normal" and parts == ("auto",) * len(parts)

    @property
    def most_folds(self) -> int:
        """How many of five parts of a small table are held out to choose marginals and base."""
        return QUICK_FOLDS if self.effort == "quick" else N_FOLDS

    def build_model(self, key: RandomKey, base: AbstractBase, own: OwnParts = NAMED) -> Harmonium:
        """The untrained model: small weights in pairs of opposite sign, nearly the base."""
        n_visible = base.n_visible
        key_map, key_model, key_weights = jax.random.split(key, 3)
        model = Harmonium(
            n_visible,
            self.n_hidden,
            feature_map=self._build_feature_map(key_map, n_visible, own),
            hidden_units=Spin() if self.hidden_units == "spin" else Bernoulli(),
            base=base,
            key=key_model,
        )
        return eqx.tree_at(lambda m: m.weights, model, paired_weights(key_weights, model))

    def build_stages(self, own: OwnParts = NAMED) -> tuple[tuple[Stage, ...], int]:
        """What the energy is trained by, one after the other, and the updates of all of them."""
        main = (self.n_updates, self.build_objective(own), self.build_optimizer())
        parts = [main]
        if self.warms_up:
            n_updates = max(1, round(WARM_SHARE * self.n_updates))
            matching = DenoisingScoreMatching.between(*NOISE)
            parts = [(n_updates, matching, default_optimizer(self.first_rate)), main]
        elif self.objective == "auto" and self.effort == "thorough":
            # Where the noise starves, chains go on; they are slow, so few of them do.
            n_updates = max(1, self.n_updates // 2)
            likelihood = MaximumLikelihood(WeightedPopulation(own.kernel))
            parts = [main, (n_updates, likelihood, default_optimizer(LIKELIHOOD_RATE))]
        total = sum(n_updates for n_updates, _, _ in parts)
        stages = (Stage(objective, n / total, optimizer) for n, objective, optimizer in parts)
        return tuple(stages), total

    def build_objective(self, own: OwnParts = NAMED) -> AbstractObjective:
        """The objective itself, or that of the name."""
        if own.objective is not None:
            return own.objective
        return OBJECTIVES[self.objective](own.kernel)

    @property
    def contrasts(self) -> bool:
        """Whether training classifies rows against draws of the base."""
        return self.objective in CONTRASTIVE

    @property
    def warms_up(self) -> bool:
        """Whether score matching comes before the likelihood."""
        return self.objective == "warm-started-likelihood"

    def build_optimizer(self) -> optax.GradientTransformation:
        """AdamW with clipping, slower after a warm start."""
        return default_optimizer((COOLED if self.warms_up else 1.0) * self.first_rate)

    @property
    def first_rate(self) -> float:
        """The learning rate at the start: the given one, or the one that fits the objective."""
        if self.learning_rate is not None:
            return self.learning_rate
        return CONTRASTIVE_RATE if self.contrasts else LIKELIHOOD_RATE

    def build_fit_settings(self) -> FitSettings:
        """The settings of the training loop."""
        return FitSettings(batch_size=self.batch_size)

    def _build_feature_map(self, key: RandomKey, n_visible: int, own: OwnParts) -> FeatureMap:
        if own.feature_map is not None:
            return own.build_feature_map(key, n_visible)
        return FEATURE_MAPS[self.feature_map](key, n_visible, self.width)


def paired_weights(key: RandomKey, model: Harmonium) -> Weights:
    """Random weights in which each hidden unit but a last odd one has a partner with the opposite
    signs.

    From W = 0 all hidden units get nearly the same gradient and stay alike. The effects of two
    partners on F cancel to first order, so that the model stays close to its base, and log Z and
    chains are known well from the first update on.
    """
    n_hidden, n_features = model.weights.shape
    scale = FIRST_WEIGHTS / n_features**0.5
    half = scale * jax.random.normal(key, (-(-n_hidden // 2), n_features), model.weights.dtype)
    return jnp.stack([half, -half], axis=1).reshape(-1, n_features)[:n_hidden]


def _fourier(key: RandomKey, n_visible: int, width: int) -> FeatureMap:
    """Waves, and a layer on top of them."""
    key_waves, key_head = jax.random.split(key)
    n_frequencies = max(1, width // 2)
    head = feature_maps.MLP(2 * n_frequencies, (width,), input_scale=1.0, key=key_head)
    return feature_maps.FourierFeatures(
        n_visible,
        n_frequencies,
        frequency_scale=FREQUENCY_SCALE * (2 / n_visible) ** 0.5,
        head=head,
        key=key_waves,
    )


def _residual(key: RandomKey, n_visible: int, width: int) -> FeatureMap:
    return feature_maps.ResidualMLP(
        n_visible, width, 2, input_scale=INPUT_SCALE, is_bounded=True, key=key
    )


def _auto(key: RandomKey, n_visible: int, width: int) -> FeatureMap:
    build = _fourier if n_visible <= MAX_FOURIER_COLUMNS else _residual
    return build(key, n_visible, width)


def _mlp(key: RandomKey, n_visible: int, width: int) -> FeatureMap:
    return feature_maps.MLP(n_visible, (width, width), input_scale=INPUT_SCALE, key=key)


# What each name is for so many visible units and a width.
FEATURE_MAPS: dict[str, Callable[[RandomKey, int, int], FeatureMap]] = {
    "auto": _auto,
    "identity": lambda key, n_visible, width: feature_maps.Identity(n_visible),
    "mlp": _mlp,
    "residual": _residual,
    "fourier": _fourier,
}
