"""The reference of the command line is what the commands say of themselves."""

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_made_from_the_commands():
    made = runpy.run_path(str(DOCS / "make_cli.py"))["render"]()
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == made, "run `make docs`"
