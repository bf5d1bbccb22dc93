"""The README is executed: its Python example runs, its commands exist, its files are there."""

import re
from pathlib import Path

import jax
import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLE_PAGE = (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")


BLOCKS = re.findall(r"```python\n(.*?)```", README + EXAMPLE_PAGE, re.DOTALL)
# What each Python example prints.
OUTPUTS = [
    r"independent columns: -?\d+\.\d\d(.|\n)*base: (.|\n)*\d nats per row; .*log Z is",
    r"\[0\.\d+ .*\]\n\[.*e-\d+ .*\]\n\['x2 -3 is unusual.*; likely \d\.\d to \d(\.\d)?',",
    r"\[ *-?\d+\.\d+(.|\n)*color(.|\n)*red(.|\n)*size",
    r"log Z in \[.*\], exactly .*\nlog Z is estimated",
]


# The first and the last train a density or estimate log Z.
EXAMPLES = [
    pytest.param(
        block, printed, marks=[] if number in (2, 3) else [pytest.mark.slow], id=str(number)
    )
    for number, (block, printed) in enumerate(zip(BLOCKS, OUTPUTS, strict=True), start=1)
]


@pytest.mark.parametrize(("block", "printed"), EXAMPLES)
def test_the_python_examples_run(block, printed, capsys):
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        exec(compile(block, "README.md", "exec"), {})
    assert re.search(printed, capsys.readouterr().out)


def test_linked_files_exist():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize(
    "command", sorted(set(re.findall(r"^harmonium (\w+) (?:table|run)", README, re.M)))
)
def test_named_commands_exist(command):
    from harmonium.cli.app import app

    assert command in {info.callback.__name__ for info in app.registered_commands}


@pytest.mark.parametrize("target", sorted(set(re.findall(r"^make ([\w-]+)", README, re.M))))
def test_named_targets_exist(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M)
