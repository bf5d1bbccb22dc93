"""What contract tests share: walking the package, and reading which classes are final."""

import importlib
import inspect
import pkgutil
from pathlib import Path

import equinox as eqx

import harmonium.model

ROOT = Path(harmonium.model.__file__).parent.parent


def import_all(*packages):
    """Every module below these packages of harmonium, imported."""
    modules = []
    for package in packages:
        name = f"harmonium.{package}"
        modules.append(importlib.import_module(name))
        for found in pkgutil.walk_packages([str(ROOT / package)], prefix=f"{name}."):
            modules.append(importlib.import_module(found.name))
    return modules


def is_abstract(cls):
    """Whether Equinox or `abc` would refuse to build it."""
    return bool(
        inspect.isabstract(cls)
        or getattr(cls, "__abstractvars__", None)
        or getattr(cls, "__abstractclassvars__", None)
    )


def defined_modules(*packages):
    """Every `eqx.Module` class that these packages define."""
    return {
        cls
        for module in import_all(*packages)
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if issubclass(cls, eqx.Module) and cls.__module__ == module.__name__
    }


def final_subclasses(base, *packages):
    """Names of the classes of a family that can be built."""
    found = defined_modules(*packages)
    return {cls.__name__ for cls in found if issubclass(cls, base) and not is_abstract(cls)}
