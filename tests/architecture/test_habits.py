"""Habits of the code that readers feel, in numbers."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = ("src", "tests", "benchmarks", "examples", "docs")
SOURCES = sorted(path for place in PLACES for path in (ROOT / place).rglob("*.py"))
LONGEST_LINE = 100
# Imports inside functions, which make a command start sooner (`cli/later.py` does it for commands).
MOST_DEFERRED = 40


def test_sources_are_found():
    print(f"{len(SOURCES)} sources, lines of {LONGEST_LINE} at most")  # noqa: T201
    assert len(SOURCES) > 300


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_lines_are_short(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert not [number for number, line in enumerate(lines, 1) if len(line) > LONGEST_LINE]


def deferred(path: Path) -> int:
    """How many imports of a file stand inside functions."""
    functions = (
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    lines = {
        inner.lineno
        for function in functions
        for inner in ast.walk(function)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    }
    return len(lines)


def test_few_imports_are_deferred():
    counts = {path: deferred(path) for path in (ROOT / "src").rglob("*.py")}
    total = sum(counts.values())
    most = [path.name for path in sorted(counts, key=counts.__getitem__)[-5:]]
    print(f"{total} deferred imports of {MOST_DEFERRED} at most")  # noqa: T201
    assert total <= MOST_DEFERRED, f"{total} deferred imports, most of them in {most}"


def is_named_call(node: ast.AST) -> bool:
    return ast.unparse(node) in ("call", "self.call", "self._call")


@pytest.mark.parametrize("path", sorted((ROOT / "src").rglob("*.py")), ids=lambda path: path.name)
def test_a_call_keeps_both_of_its_wordings(path):
    """An f-string would drop the words for the command line: `errors.message` keeps them."""
    parts = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FormattedValue) and is_named_call(node.value)
    ]
    assert not [node.lineno for node in parts]


def test_the_command_line_rewrites_no_text_by_patterns():
    """Messages come with its words; `re` reads what users type, and replaces nothing."""
    rewriting = [
        f"{path.name}:{node.lineno}"
        for path in (ROOT / "src" / "harmonium" / "cli").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("sub", "subn")
    ]
    assert not rewriting
