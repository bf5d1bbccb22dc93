"""Parts of a fit that are given as objects, beside settings that are plain values."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import equinox as eqx

from harmonium.data.own_bodies import METHODS
from harmonium.errors import InvalidInputError, describe, setting
from harmonium.inference.checks import Checks
from harmonium.learning import AbstractObjective
from harmonium.model import AbstractBase
from harmonium.sampling import AbstractKernel
from harmonium.typing import Batch, Features, RandomKey, Visible

# Before the class name of an object, in settings that a file holds.
OWN = "own:"
FeatureMap = Callable[[Visible], Features]


class OwnParts(eqx.Module):
    """What a user gave as objects; None where the settings name it.

    `feature_map` is a module that maps one row in model units (visible,) to its features, or a
    factory of such a map that is called as factory(n_visible, key=key). `base` is a base of as many
    visible units as the table has modeled columns, or a class of bases with a static method
    fit(rows, key=key), rows (rows, visible) in model units. `marginals` is a class with the methods
    of `ColumnMap`. `kernel` moves the chains of the likelihood objectives that are named.
    """

    feature_map: Callable[..., Any] | None = None
    objective: AbstractObjective | None = None
    kernel: AbstractKernel | None = None
    base: AbstractBase | type | None = None
    marginals: type | None = None

    def check(self, settings: Any) -> None:
        """Raise `InvalidInputError` if settings name an object that is not here, as those of a
        file do.
        """
        for name in PARTS:
            stored = getattr(settings, name)
            if is_own(stored) and getattr(self, name) is None:
                raise InvalidInputError(
                    describe(
                        setting("DensityEstimator", name),
                        expected="a name, or the object itself",
                        got=f"{stored!r}, the class name by which a file knows an object",
                        hint=f"set_params({name}=...) with the object before fit(X)",
                    )
                )

    def build_base(self, key: RandomKey, rows: Batch) -> AbstractBase:
        """The base itself, or what its class makes of rows (rows, visible) in model units."""
        own: Any = self.base
        made = own if isinstance(own, AbstractBase) else own.fit(rows, key=key)
        n_visible = rows.shape[1]
        if not isinstance(made, AbstractBase) or made.n_visible != n_visible:
            got = getattr(made, "n_visible", None)
            raise Checks("DensityEstimator").error(
                "base", made, f"a base of {n_visible} visible units; this one has {got}"
            )
        return made

    def build_feature_map(self, key: RandomKey, n_visible: int) -> FeatureMap:
        """The module itself, or what the factory makes for so many visible units."""
        own = self.feature_map
        assert own is not None
        made = own if isinstance(own, eqx.Module) else own(n_visible, key=key)
        return cast(FeatureMap, made)


NAMED = OwnParts()


class Part(NamedTuple):
    """One kind of part: what it is told by, and in words."""

    takes: Callable[[Any], bool]
    expected: str


def _is_class_with(*methods: str) -> Callable[[Any], bool]:
    def takes(own: Any) -> bool:
        return isinstance(own, type) and all(callable(getattr(own, name, None)) for name in methods)

    return takes


def _is_base(own: Any) -> bool:
    is_class = isinstance(own, type) and issubclass(own, AbstractBase)
    return isinstance(own, AbstractBase) or (is_class and _is_class_with("fit")(own))


def _is_map(own: Any) -> bool:
    """A module, or what can be called as a factory."""
    if isinstance(own, eqx.Module) or not callable(own):
        return callable(own)
    try:
        inspect.signature(own).bind(1, key=None)
    except TypeError:
        return False
    except ValueError:  # it does not tell what it takes
        pass
    return True


PARTS = {
    "feature_map": Part(_is_map, "a name, a module, or a factory called with (n_visible, key=key)"),
    "base": Part(_is_base, "a name, a base, or a class of bases with fit(rows, key=key)"),
    "objective": Part(
        lambda own: isinstance(own, AbstractObjective),
        "a name or an objective, such as hm.NoiseContrastive()",
    ),
    "kernel": Part(
        lambda own: isinstance(own, AbstractKernel), '"auto" or a kernel, such as hm.HMC()'
    ),
    "marginals": Part(
        _is_class_with(*METHODS), f"a name, or a class with the methods {', '.join(METHODS)}"
    ),
}


def is_own(name: str) -> bool:
    """Whether a setting is the class name of an object."""
    return isinstance(name, str) and name.startswith(OWN)


def split_parts(given: Mapping[str, Any]) -> tuple[dict[str, str], OwnParts]:
    """Names for the settings, and the objects, of what was given by the names of `PARTS`.

    Raises `InvalidInputError` for what is neither.
    """
    checks, names, objects = Checks("DensityEstimator"), {}, {}
    for name, part in PARTS.items():
        own = given[name]
        if isinstance(own, str):
            names[name] = own
        elif part.takes(own):
            names[name], objects[name] = _name_of(own), own
        else:
            raise checks.error(name, own, part.expected)
    return names, OwnParts(**objects)


def _name_of(own: Any) -> str:
    """Of an object the name of its class, of a factory its own."""
    return OWN + getattr(own, "__name__", type(own).__name__)
