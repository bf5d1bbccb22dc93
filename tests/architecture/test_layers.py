"""Kind of truth: structure. Imports only go down the layers, and never in a circle."""

import ast
import itertools
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "src" / "harmonium"

# Low to high; packages of one row do not know each other.
LAYERS = [
    {"errors", "typing", "compiling", "cache", "files", "console", "cards", "parallel"},
    {"data", "model"},
    {"sampling"},
    {"likelihood"},
    {"learning"},
    {"inference"},
    {"artifact"},
    {"export"},
    {"estimators", "report"},
    {"service"},
    {"plot"},
    {"harmonium"},
    {"cli"},
    {"__main__"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def module_name(path):
    parts = ("harmonium", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def targets(node, module):
    """The dotted names that one import statement mentions."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{module}: relative import in line {node.lineno}"
        return [
            f"{node.module}.{alias.name}"
            if f"{node.module}.{alias.name}" in MODULES
            else node.module
            for alias in node.names
        ]
    return []


def imports_of(module):
    """The modules of harmonium that a module imports, anywhere in it."""
    tree = ast.parse(MODULES[module].read_text())
    names = {name for node in ast.walk(tree) for name in targets(node, module)}
    return {name for name in names if name.split(".")[0] == "harmonium"} - {module}


GRAPH = {module: imports_of(module) for module in MODULES}


def layer(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "harmonium"


def test_the_parser_sees_the_package():
    assert len(MODULES) > 20
    assert "harmonium.model.harmonium" in GRAPH["harmonium.model.oracles"]


def test_every_module_has_a_layer():
    assert {layer(module) for module in MODULES} <= set(RANK)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module):
    own = layer(module)
    for imported in GRAPH[module]:
        other = layer(imported)
        assert other == own or RANK[other] < RANK[own], f"{module} imports {imported}"


def test_data_knows_only_errors_and_threads():
    for module in MODULES:
        if layer(module) == "data":
            known = {layer(imported) for imported in GRAPH[module]} - {"data"}
            assert known <= {"errors", "parallel"}, f"{module} imports {known}"


def test_there_is_no_cycle():
    waiting = {module: imports & set(MODULES) for module, imports in GRAPH.items()}
    while free := [module for module, imports in waiting.items() if not imports]:
        for module in free:
            del waiting[module]
        for imports in waiting.values():
            imports.difference_update(free)
    assert not waiting, f"import cycle among {sorted(waiting)}"


def test_packages_of_one_layer_do_not_meet():
    for names in LAYERS:
        for one, other in itertools.permutations(names, 2):
            for module in MODULES:
                if layer(module) == one:
                    met = [name for name in GRAPH[module] if layer(name) == other]
                    assert not met, f"{module} imports {met}"


# docs/decisions.md: plain models of scikit-learn serve the inference layer; its interface stays in
# the shell.
MAY_USE_SKLEARN = {
    "harmonium.inference.contamination",
    "harmonium.inference.baselines",
    "harmonium.inference.shortfall",
}


BELOW_THE_SHELL = [name for name in sorted(MODULES) if RANK[layer(name)] < RANK["estimators"]]


@pytest.mark.parametrize("module", BELOW_THE_SHELL)
def test_scikit_learn_stays_in_the_shell(module):
    tree = ast.parse(MODULES[module].read_text())
    names = {name for node in ast.walk(tree) for name in targets(node, module)}
    uses_sklearn = any(name.split(".")[0] == "sklearn" for name in names)
    assert uses_sklearn == (module in MAY_USE_SKLEARN)


# Nothing else may know how many devices there are, or where an array lies; `doctor` lists them for
# people.
NAMES_DEVICES = {"harmonium.learning.devices", "harmonium.cli.checkup"}
OF_DEVICES = {
    *("devices", "local_devices", "device_count", "local_device_count", "device_put"),
    *("process_count", "process_index", "distributed", "multihost_utils", "set_mesh", "make_mesh"),
    *("sharding", "Mesh", "NamedSharding", "PartitionSpec", "with_sharding_constraint"),
}


def names_of_jax(module):
    """What a module imports from JAX or reads as an attribute of it."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith("jax."):
            yield node.attr
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("jax"):
            yield from (*node.module.split("."), *(alias.name for alias in node.names))


@pytest.mark.parametrize("module", MODULES)
def test_one_module_names_devices(module):
    named = OF_DEVICES & set(names_of_jax(module))
    assert bool(named) == (module in NAMES_DEVICES), f"{module} names {named}"
