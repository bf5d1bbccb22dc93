"""From a bare machine to the first ranked anomaly, by the commands of the README.

A machine is bare that has Python and this source: the environment is new, pip has nothing in its
cache, and no compiled code is kept. The table has 500 rows of four columns and categories; one cell
of the new rows is wrong. Packages come from the index that pip is set up with, so that the first
line depends on the network.

`python -m benchmarks.first_anomaly`
"""

import csv
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
TARGET_SECONDS = 120
N_ROWS, ODD_ROW = 500, 17


def write_table(path: Path, n: int, seed: int) -> None:
    """Rows of three measurements that go together, and a group that two of them tell."""
    rng = random.Random(seed)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["height", "weight", "pulse", "group"])
        for _ in range(n):
            height = rng.gauss(170, 8)
            weight = 70 + 0.9 * (height - 170) + rng.gauss(0, 5)
            group = "tall" if height + rng.gauss(0, 3) > 172 else "short"
            writer.writerow([f"{height:.1f}", f"{weight:.1f}", round(rng.gauss(70, 9)), group])


def spoil(path: Path) -> None:
    """Write a weight of ten times as much into `ODD_ROW`, counted from 1."""
    lines = path.read_text(encoding="utf-8").splitlines()
    height, weight, *others = lines[ODD_ROW].split(",")
    lines[ODD_ROW] = ",".join([height, f"{10 * float(weight):.1f}", *others])
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Print the seconds of every command and of all; the exit code is 1 if the row is not found."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        write_table(here / "table.csv", N_ROWS, 0)
        write_table(here / "new.csv", 50, 1)
        spoil(here / "new.csv")
        environment, cache = here / "environment", str(here / "cache")
        bare = os.environ | {"XDG_CACHE_HOME": cache, "PIP_NO_CACHE_DIR": "1"}
        for name in ("PYTHONPATH", "JAX_COMPILATION_CACHE_DIR", "PIP_CACHE_DIR"):
            bare.pop(name, None)
        harmonium = str(environment / "bin" / "harmonium")
        pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        commands = {
            "python -m venv": [sys.executable, "-m", "venv", str(environment)],
            "pip install '.[report]'": [*pip, f"{ROOT}[report]"],
            "harmonium fit table.csv -o run": [harmonium, "fit", "table.csv", "-o", "run"],
            "harmonium detect run new.csv --explain 3 -o odd.csv": [
                *(harmonium, "detect", "run", "new.csv", "--explain", "3", "-o", "odd.csv")
            ],
        }
        total, told = 0.0, ""
        machine = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
        print(f"python {sys.version.split()[0]}, {machine}", flush=True)
        for words, command in commands.items():
            started = time.perf_counter()
            done = subprocess.run(command, cwd=here, env=bare, text=True, capture_output=True)
            if done.returncode:
                sys.exit(f"{words}: {done.stderr[-2000:]}")
            seconds = time.perf_counter() - started
            total, told = total + seconds, done.stdout
            print(f"{seconds:7.1f} s  {words}", flush=True)
        first = next(line for line in told.splitlines()[2:] if line)
        verdict = "met" if total <= TARGET_SECONDS else "MISSED"
        print(f"{total:7.1f} s  to the first ranked anomaly (at most {TARGET_SECONDS}: {verdict})")
        print(f"first    {first}")
        sys.exit(0 if first.split()[0] == str(ODD_ROW) else 1)


if __name__ == "__main__":
    main()
