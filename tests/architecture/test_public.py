"""Kind of truth: structure. Public = exported = documented, in every package."""

import importlib
import inspect

import pytest
from contracts.registry import ROOT

FOLDERS = sorted({path.parent for path in ROOT.rglob("*.py")})
PACKAGES = {
    ".".join(("harmonium", *folder.relative_to(ROOT).parts)): folder / "__init__.py"
    for folder in FOLDERS
}


def exported():
    """Every exported name with its object, as (package, name)."""
    for package, path in PACKAGES.items():
        if path.exists():
            module = importlib.import_module(package)
            yield from ((package, name) for name in getattr(module, "__all__", ()))


EXPORTED = list(exported())


def own_methods(cls):
    """Public functions and properties that a class has from harmonium."""
    for base in cls.__mro__:
        if base.__module__.startswith("harmonium"):
            for name, member in vars(base).items():
                if isinstance(member, staticmethod | classmethod):
                    member = member.__func__
                if not name.startswith("_") and (
                    inspect.isfunction(member) or isinstance(member, property)
                ):
                    yield f"{base.__name__}.{name}", member


def assert_documented(name, thing):
    """Its docstring begins with one sentence."""
    # inspect.getdoc would also find the docstring of a base class.
    text = thing.fget.__doc__ if isinstance(thing, property) else thing.__doc__
    assert text, f"{name} has no docstring"
    # A dataclass without docstring gets its signature as one.
    assert not text.startswith(f"{getattr(thing, '__name__', name)}("), f"{name} has no docstring"
    sentence = text.strip().split("\n\n")[0]
    assert sentence[-1] in ".:?…", f"{name}: {sentence!r} is no sentence"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_what_it_exports(package):
    path = PACKAGES[package]
    assert path.exists(), f"{package} has modules but no __init__.py"
    module = importlib.import_module(package)
    assert module.__doc__ and module.__doc__.strip(), f"{package} has no docstring"
    names = module.__all__
    assert len(names) == len(set(names))
    for name in names:
        assert hasattr(module, name), f"{package}.__all__ names {name}, which does not exist"
        assert not name.startswith("_") or name == "__version__"


@pytest.mark.parametrize(("package", "name"), EXPORTED, ids=[".".join(pair) for pair in EXPORTED])
def test_exported_names_are_documented(package, name):
    thing = getattr(importlib.import_module(package), name)
    if not (inspect.isclass(thing) or inspect.isfunction(thing) or inspect.ismodule(thing)):
        return
    assert_documented(f"{package}.{name}", thing)
    if inspect.isclass(thing):
        for method, member in own_methods(thing):
            assert_documented(method, member)


def test_the_core_exports_something():
    # Guards the tests above against an empty table.
    assert {("harmonium.model", "Harmonium"), ("harmonium.sampling", "MALA")} <= set(EXPORTED)
