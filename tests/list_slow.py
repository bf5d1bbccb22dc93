"""Which tests `make test` leaves out, by the seconds that a whole run took them: `slow.txt`.

    python tests/list_slow.py LOG

LOG is what `make test-all` with `--durations=0 -vv` has printed. A file whose fixtures take long is
left out whole, since its first test would wait for them, whichever it is; of others the functions.
"""

import re
import sys
from collections import Counter
from pathlib import Path

LISTED = Path(__file__).with_name("slow.txt")
# Seconds, of two runs side by side on two cores that other work kept half busy.
MOST_SETUP, MOST_CALLS = 4.0, 1.5
# What holds habits of the code, wanted before every commit.
ALWAYS = "tests/architecture/"
LINE = re.compile(r"\s*([\d.]+)s (call|setup|teardown)\s+(tests/\S+?\.py)::(\w+)")


def slow_names(log: str) -> list[str]:
    """Files, and functions of others, FILE::NAME."""
    setups: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for line in log.splitlines():
        if found := LINE.match(line):
            seconds, phase, file, name = found.groups()
            if file.startswith(ALWAYS):
                continue
            if phase == "setup":
                setups[file] += float(seconds)
            else:
                calls[f"{file}::{name}"] += float(seconds)
    files = {file for file, seconds in setups.items() if seconds >= MOST_SETUP}
    functions = {name for name, seconds in calls.items() if seconds >= MOST_CALLS}
    return sorted(files | {name for name in functions if name.partition("::")[0] not in files})


if __name__ == "__main__":
    LISTED.write_text("\n".join(slow_names(Path(sys.argv[1]).read_text())) + "\n")
