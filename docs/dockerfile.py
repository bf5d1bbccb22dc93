"""What stands in the Dockerfile, and its steps run without Docker: `python docs/dockerfile.py`.

The build stage runs in a temporary folder that holds what it copies, with an environment there in
the place of the one of the image; then the command of the image fits a small table.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
# The environment of the image.
ENVIRONMENT = "/opt/harmonium"


class Step(NamedTuple):
    """One instruction: its name in capitals, and the words behind it."""

    name: str
    words: list[str]


def stages() -> list[list[Step]]:
    """The instructions of each stage, from its FROM on."""
    found: list[list[Step]] = []
    for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines():
        name, *words = line.split() or ["#"]
        if name == "FROM":
            found.append([])
        if found and not name.startswith("#"):
            found[-1].append(Step(name, words))
    return found


def copied(stage: list[Step]) -> list[str]:
    """What a stage copies from the repository."""
    copies = [step.words for step in stage if step.name == "COPY"]
    return [name for words in copies if words[0][:2] != "--" for name in words[:-1]]


def main() -> None:
    """Run the build stage and the command; raises at the first thing that fails."""
    build, _ = stages()
    with tempfile.TemporaryDirectory() as folder:
        source, environment = Path(folder, "source"), Path(folder, "harmonium")
        source.mkdir()
        for name in copied(build):
            own = ROOT / name
            copy = shutil.copytree if own.is_dir() else shutil.copy
            copy(own, source / name)
        for step in build:
            if step.name == "RUN":
                words = " ".join(step.words).replace(ENVIRONMENT, str(environment))
                words = words.replace("python -m venv", f"{sys.executable} -m venv", 1)
                print(words, flush=True)
                subprocess.run(["bash", "-c", words], cwd=source, check=True)
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        check = [environment / "bin" / "python", ROOT / "docs" / "check_wheel.py"]
        subprocess.run(check, cwd=folder, check=True, env=clean)


if __name__ == "__main__":
    main()
