"""The image: what it copies exists, what it installs is pinned, and it runs without rights.

`python docs/dockerfile.py` runs its steps.
"""

import importlib.util

import pytest
from docs.pages import ROOT

spec = importlib.util.spec_from_file_location("dockerfile", ROOT / "docs" / "dockerfile.py")
dockerfile = importlib.util.module_from_spec(spec)
spec.loader.exec_module(dockerfile)
BUILD, FINAL = dockerfile.stages()


def test_both_stages_have_the_same_small_base():
    bases = [stage[0].words[0] for stage in (BUILD, FINAL)]
    assert bases[0] == bases[1] and bases[0].endswith("-slim")


def test_what_is_copied_is_there_and_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text().split()
    names = dockerfile.copied(BUILD)
    assert {"src", "requirements", "pyproject.toml"} <= set(names)
    assert [name for name in names if not (ROOT / name).exists()] == []
    assert ignored[0] == "*" and {f"!{name}" for name in names} <= set(ignored)


def test_packages_are_pinned_with_hashes():
    installs = [step.words for step in BUILD if step.name == "RUN" and "install" in step.words]
    assert len(installs) == 2
    for words in installs:
        assert "--require-hashes" in words or "--no-deps" in words
    (wheel,) = [step.words for step in BUILD if step.name == "RUN" and "wheel" in step.words]
    assert {"--no-deps", "--no-build-isolation"} <= set(wheel)


def test_the_command_runs_as_a_user_without_rights():
    names = [step.name for step in FINAL]
    user = FINAL[names.index("USER")].words[0]
    assert user.isdecimal() and int(user) > 0
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert FINAL[-1].words == ['["harmonium"]']


@pytest.mark.parametrize("stage", [BUILD, FINAL], ids=["build", "final"])
def test_only_known_instructions_are_used(stage):
    known = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "ENTRYPOINT"}
    assert {step.name for step in stage} <= known
