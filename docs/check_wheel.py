"""What a user does first with a wheel; `make wheel` runs this in an empty environment."""

import subprocess
import sys
import tempfile
from pathlib import Path

import harmonium as hm

PAGES = ("llms.txt", "docs/start.md", "docs/cli.md", "docs/tasks/fill-holes.md")


def main() -> None:
    """Import, look for the pages, fit a small CSV; raises at the first thing that fails."""
    home = Path(hm.__file__).parent
    assert "site-packages" in home.parts, f"harmonium is imported from {home}, not from the wheel"
    assert all((home / page).is_file() for page in PAGES), "pages are missing"
    assert (home / "py.typed").is_file(), "the marker of types is missing"
    for name in hm.__all__:
        getattr(hm, name)
    command = Path(sys.executable).with_name("harmonium")
    subprocess.run([command, "--help"], check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory() as folder:
        table, run = Path(folder, "table.csv"), Path(folder, "run")
        rows = (f"{i % 17},{i % 17 + i % 5 / 10},{'ab'[i % 2]}" for i in range(300))
        table.write_text("x,y,z\n" + "\n".join(rows) + "\n", encoding="utf-8")
        subprocess.run([command, "fit", table, "-o", run, "--effort", "quick"], check=True)
        assert (run / "report.html").is_file(), "the fit wrote no report"
    print(f"harmonium {hm.__version__}: imports, pages, commands and a quick fit work.")


if __name__ == "__main__":
    main()
