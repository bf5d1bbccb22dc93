"""The pages say what is there: their links resolve, their code runs, their commands exist."""

import ast
import re
import shlex

import pytest
from docs.pages import CODE, DOCS, INCLUDED, PAGES, ROOT, code_of, name_of, run

import harmonium as hm
from harmonium.cli.app import app

TEXTS = {name_of(page): page.read_text(encoding="utf-8") for page in PAGES}
# Of pages beside them: the changelog and llms.txt, whose links are relative to the root.
LINKED = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "llms.txt"]
# The changelog of the root, which the build takes over as a page.
MADE = DOCS / "changelog.md"
# Indented, or between fences that name no language.
SHELL = re.compile(r"^```\n(.*?)^```|^    (harmonium [^\n]*)$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^harmonium ([a-z]+)(.*?)(?:  +#.*)?$", re.MULTILINE)
BLOCKS = {
    f"{name_of(page)}-{number}": block
    for page in PAGES
    if page.name != "README.md"
    for number, block in enumerate(code_of(page), start=1)
}
# Detectors, and bases of two or three columns. The others take longer to compile.
QUICK = ("docs/how-to-choose.md-1", "docs/tasks/score-and-explain.md-1", "docs/start.md-1")
SLOW = pytest.mark.slow
COMMANDS = {info.callback.__name__: info.callback for info in app.registered_commands}


@pytest.mark.parametrize("page", LINKED, ids=name_of)
def test_relative_links_resolve(page):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    targets = [page.parent / link for link in links if "://" not in link]
    assert [target for target in targets if not target.exists() and target != MADE] == []


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else SLOW) for name in BLOCKS]
)
def test_python_blocks_run(name, unannotated, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    run(BLOCKS[name], name)


@pytest.mark.parametrize("name", BLOCKS)
def test_python_blocks_name_what_is_public(name):
    nodes = ast.walk(ast.parse(BLOCKS[name]))
    used = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "hm"
    }
    assert used <= set(hm.__all__)


def test_included_examples_exist():
    included = set(INCLUDED.findall("\n".join(TEXTS.values())))
    assert included
    assert [name for name in included if not (ROOT / "examples" / name).is_file()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_their_options_exist(page):
    if page.name == "cli.md":
        pytest.skip("made from the commands, and tested as such")
    reference = (DOCS / "cli.md").read_text(encoding="utf-8")
    shell = "\n".join("".join(found) for found in SHELL.findall(CODE.sub("", TEXTS[name_of(page)])))
    for command, words in COMMAND.findall(shell):
        assert command in COMMANDS
        section = reference.split(f"\n## {command}\n")[1].split("\n## ")[0]
        options = [word for word in shlex.split(words) if re.match(r"--?[a-z]", word)]
        assert [word for word in options if not re.search(rf"[`, ]{word}[`, ]", section)] == []


def test_the_api_pages_have_every_public_name():
    text = "\n".join(TEXTS[name_of(page)] for page in (DOCS / "api").glob("*.md"))
    shown = set(re.findall(r"^::: harmonium\.(?:\w+\.)*(\w+)$", text, re.MULTILINE))
    assert set(hm.__all__) <= shown


def test_scripts_that_pages_name_exist():
    named = set(re.findall(r"`(examples/\w+\.py)`", "".join(TEXTS.values())))
    assert named
    assert [script for script in named if not (ROOT / script).is_file()] == []


def test_benchmarks_and_records_that_pages_name_exist():
    text = "".join(TEXTS[name_of(page)] for page in (DOCS / "benchmarks").glob("*.md"))
    modules = set(re.findall(r"python -m benchmarks\.(\w+)", text))
    records = set(re.findall(r"`(?:benchmarks/results/)?(\w+\.jsonl?)`", text))
    assert modules and records
    benchmarks = ROOT / "benchmarks"
    assert [name for name in modules if not (benchmarks / f"{name}.py").is_file()] == []
    assert [name for name in records if not (benchmarks / "results" / name).is_file()] == []


def test_the_citation_is_of_this_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.+)$", citation, re.MULTILINE) == [hm.__version__]
