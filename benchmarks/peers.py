"""The other libraries, in an environment of their own: `.venv-peers`, which only benchmarks create.

`python -m benchmarks.peers` makes it if it is missing and prints the versions in it.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENVIRONMENT = ROOT / ".venv-peers"
PINS = Path(__file__).with_name("peers.txt")
STAMP = ENVIRONMENT / "complete.txt"


def peer_python() -> Path:
    """The python of the peers' environment, which is made first if it is missing or outdated."""
    python = ENVIRONMENT / "bin" / "python"
    if not _is_complete():
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        install = [python, "-m", "pip", "install", "--quiet", "--requirement", PINS]
        subprocess.run(install, check=True)
        STAMP.write_text(PINS.read_text(encoding="utf-8"), encoding="utf-8")
    return python


def peer_versions() -> dict[str, str]:
    """The pinned versions by package."""
    lines = PINS.read_text(encoding="utf-8").split()
    return dict(line.split("==", 1) for line in lines)


def _is_complete() -> bool:
    """Whether an installation with these very pins came to its end."""
    return STAMP.exists() and STAMP.read_text(encoding="utf-8") == PINS.read_text(encoding="utf-8")


def main() -> None:
    """Make the environment and print what is in it."""
    peer_python()
    print(", ".join(f"{name} {version}" for name, version in peer_versions().items()))


if __name__ == "__main__":
    main()
