"""Parts of a fit that are given as objects, beside settings that are plain values."""

from collections.abc import Callable
from typing import Any, cast

import equinox as eqx

from harmonium.errors import InvalidInputError, describe
from harmonium.inference.checks import Checks
from harmonium.learning import AbstractObjective
from harmonium.sampling import AbstractKernel
from harmonium.typing import Features, RandomKey, Visible

# Before the class name of an object, in settings that a file holds.
OWN = "own:"
PARTS = ("feature_map", "objective", "kernel")

FeatureMap = Callable[[Visible], Features]


class OwnParts(eqx.Module):
    """What a user gave as objects; None where the settings name it.

    `feature_map` is a module that maps one row in model units (visible,) to its features, or a
    factory of such a map that is called as factory(n_visible, key=key). `kernel` moves the chains
    of the likelihood objectives that are named.
    """

    feature_map: Callable[..., Any] | None = None
    objective: AbstractObjective | None = None
    kernel: AbstractKernel | None = None

    def check(self, settings: Any) -> None:
        """Raise `InvalidInputError` if settings name an object that is not here, as those of a
        file do.
        """
        for name in PARTS:
            stored = getattr(settings, name)
            if is_own(stored) and getattr(self, name) is None:
                raise InvalidInputError(
                    describe(
                        f"DensityEstimator({name}=...)",
                        expected="a name, or the object itself",
                        got=f"{stored!r}, the class name by which a file knows an object",
                        hint=f"set_params({name}=...) with the object before fit(X)",
                    )
                )

    def build_feature_map(self, key: RandomKey, n_visible: int) -> FeatureMap:
        """The module itself, or what the factory makes for so many visible units."""
        own = self.feature_map
        assert own is not None
        made = own if isinstance(own, eqx.Module) else own(n_visible, key=key)
        return cast(FeatureMap, made)


NAMED = OwnParts()


def is_own(name: str) -> bool:
    """Whether a setting is the class name of an object."""
    return isinstance(name, str) and name.startswith(OWN)


def split_parts(feature_map: Any, objective: Any, kernel: Any) -> tuple[dict[str, str], OwnParts]:
    """Names for the settings, and the objects; raises `InvalidInputError` for what is neither."""
    checks = Checks("DensityEstimator")
    if not (isinstance(feature_map, str) or callable(feature_map)):
        expected = "a name, a module, or a factory called with (n_visible, key=key)"
        raise checks.error("feature_map", feature_map, expected)
    if not isinstance(objective, str | AbstractObjective):
        expected = "a name or an objective, such as hm.NoiseContrastive()"
        raise checks.error("objective", objective, expected)
    if not isinstance(kernel, str | AbstractKernel):
        raise checks.error("kernel", kernel, '"auto" or a kernel, such as hm.HMC()')
    given = {"feature_map": feature_map, "objective": objective, "kernel": kernel}
    names = {name: own if isinstance(own, str) else _name_of(own) for name, own in given.items()}
    objects = {name: own for name, own in given.items() if not isinstance(own, str)}
    return names, OwnParts(**objects)


def _name_of(own: Any) -> str:
    """Of an object the name of its class, of a factory its own."""
    return OWN + getattr(own, "__name__", type(own).__name__)
