"""Kind of truth: structure. What every user installs is little, and the rest is imported where it
is used."""

import ast
import re
import sys
import tomllib

import pytest
from architecture.test_layers import MODULES, ROOT, layer

PROJECT = tomllib.loads((ROOT.parents[1] / "pyproject.toml").read_text())["project"]
MOST = 11
# Of packages whose module has another name.
PACKAGE_OF = {"sklearn": "scikit-learn", "tensorboardX": "tensorboardx", "PIL": "pillow"}


def names(requirements):
    return {re.split(r"[^\w.-]", requirement)[0].lower() for requirement in requirements}


REQUIRED = names(PROJECT["dependencies"])
EXTRAS = {name: names(listed) for name, listed in PROJECT["optional-dependencies"].items()}
OPTIONAL = set().union(*(found for name, found in EXTRAS.items() if name != "dev"))


def imported(node):
    """The packages of others that one statement imports."""
    modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    modules += [node.module] if isinstance(node, ast.ImportFrom) else []
    own = {"harmonium", *sys.stdlib_module_names}
    tops = {module.split(".")[0] for module in modules} - own
    return {PACKAGE_OF.get(top, top.replace("_", "-")) for top in tops}


def is_for_checkers(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def at_once(node):
    """The packages that are imported as soon as a module is."""
    found = imported(node)
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef) and not is_for_checkers(child):
            found |= at_once(child)
    return found


def somewhere(tree):
    return set().union(*map(imported, ast.walk(tree)))


# Packages whose members are imported on their first use, all of them with one extra.
OF_AN_EXTRA = {"service": "serve"}


def given(module):
    """The packages that are there wherever a module is imported."""
    return REQUIRED | EXTRAS.get(OF_AN_EXTRA.get(layer(module), ""), set())


TREES = {module: ast.parse(path.read_text()) for module, path in MODULES.items()}


def test_users_install_few_packages():
    assert len(REQUIRED) <= MOST


def test_every_required_package_is_used():
    assert set().union(*map(somewhere, TREES.values())) >= REQUIRED


@pytest.mark.parametrize("module", MODULES)
def test_other_packages_are_imported_where_they_are_used_and_are_in_an_extra(module):
    assert at_once(TREES[module]) <= given(module)
    assert somewhere(TREES[module]) <= REQUIRED | OPTIONAL


def test_developers_have_what_reports_need():
    assert any(
        own.startswith("harmonium[") and "report" in own
        for own in PROJECT["optional-dependencies"]["dev"]
    )
