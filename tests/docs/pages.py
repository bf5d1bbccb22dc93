"""The pages that people read, and the code on them."""

import re
from pathlib import Path

import jax

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)
INCLUDED = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)


def name_of(page: Path) -> str:
    """A page as it stands below the root."""
    return str(page.relative_to(ROOT))


def code_of(page: Path) -> list[str]:
    """The Python blocks of a page; scripts of examples/ that it includes are fenced otherwise."""
    return CODE.findall(page.read_text(encoding="utf-8"))


def run(code: str, name: str) -> None:
    """Run code with JAX as users have it."""
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        exec(compile(code, name, "exec"), {"__name__": "__main__"})
