"""Kind of truth: structure. A class is abstract (a contract) or final (never subclassed)."""

import ast
import inspect

import equinox as eqx
import pytest
from contracts.registry import ROOT, defined_modules, is_abstract

CORE = ("model", "sampling", "likelihood", "learning")
PACKAGES = [path.name for path in ROOT.iterdir() if path.is_dir() and list(path.glob("*.py"))]
CLASSES = sorted(defined_modules(*PACKAGES), key=lambda cls: cls.__qualname__)
each_class = pytest.mark.parametrize("cls", CLASSES, ids=[cls.__name__ for cls in CLASSES])


def test_the_classes_are_found():
    assert {"Harmonium", "MALA", "AbstractKernel"} <= {cls.__name__ for cls in CLASSES}


@each_class
def test_bases_are_abstract(cls):
    for base in cls.__mro__[1:]:
        if base.__module__.startswith("harmonium."):
            assert is_abstract(base), f"{cls.__name__} inherits from the final {base.__name__}"


@each_class
def test_abstract_classes_are_called_so_and_hold_no_data(cls):
    assert is_abstract(cls) == cls.__name__.startswith("Abstract")
    if is_abstract(cls):
        with pytest.raises(TypeError):
            cls()
        assert not [name for name in vars(cls) if name in cls.__dataclass_fields__]


@each_class
def test_final_classes_override_only_abstract_methods(cls):
    for name, member in vars(cls).items():
        if not inspect.isfunction(member) or name.startswith("__"):
            continue
        for base in cls.__mro__[1:]:
            inherited = vars(base).get(name)
            if base is not eqx.Module and inspect.isfunction(inherited):
                assert getattr(inherited, "__isabstractmethod__", False), f"{base}.{name}"


@pytest.mark.parametrize("package", CORE)
def test_the_core_has_no_super(package):
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "super", f"{path}:{node.lineno}"
