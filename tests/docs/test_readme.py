"""The README is executed: its Python examples run, its commands exist, and it is short."""

import re

import pytest
from docs.pages import ROOT, code_of, run

PAGE = ROOT / "README.md"
README = PAGE.read_text(encoding="utf-8")
MOST_WORDS = 700
# What each Python example prints. The first trains a density.
OUTPUTS = [
    r"independent columns: -?\d+\.\d\d(.|\n)*base: (.|\n)*\d nats per row; .*log Z is",
    r"\[0\.\d+ .*\]\n\[.*e-\d+ .*\]\n\['x2 -3 is unusual.*; likely \d\.\d to \d(\.\d)?',",
]
EXAMPLES = [
    pytest.param(code_of(PAGE)[0], OUTPUTS[0], marks=pytest.mark.slow, id="density"),
    pytest.param(code_of(PAGE)[1], OUTPUTS[1], id="detector"),
]


@pytest.mark.parametrize(("block", "printed"), EXAMPLES)
def test_the_python_examples_run(block, printed, unannotated, capsys):
    run(block, "README.md")
    assert re.search(printed, capsys.readouterr().out)


def test_every_python_example_is_run():
    assert len(code_of(PAGE)) == len(EXAMPLES)


def test_it_is_short():
    assert len(README.split()) <= MOST_WORDS


@pytest.mark.parametrize("target", sorted(set(re.findall(r"^make ([\w-]+)", README, re.M))))
def test_named_targets_exist(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M)
