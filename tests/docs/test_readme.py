"""The README is executed: its Python examples run, its commands exist, and it is short."""

import re

import pytest
from docs.pages import ROOT, code_of, run

PAGE = ROOT / "README.md"
README = PAGE.read_text(encoding="utf-8")
MOST_WORDS = 700
# What each Python example prints.
OUTPUTS = [
    r"^\[\d\.\d+e-0\d\]\nalcohol 24\.23 is unusual .*; likely 1\d.* to 1\d.*\n-1\d\.\d nats per row"
]
EXAMPLES = list(zip(code_of(PAGE), OUTPUTS, strict=True))


@pytest.mark.parametrize(("block", "printed"), EXAMPLES)
def test_the_python_examples_run(block, printed, unannotated, capsys):
    run(block, "README.md")
    assert re.search(printed, capsys.readouterr().out)


def test_every_python_example_is_run():
    assert len(code_of(PAGE)) == len(EXAMPLES)


def test_it_is_short():
    n_words = len(README.split())
    print(f"{n_words} words in the README of {MOST_WORDS} at most")  # noqa: T201
    assert n_words <= MOST_WORDS


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make ([\w-]+)`", README))))
def test_named_targets_exist(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M)
