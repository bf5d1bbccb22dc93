"""What the installed compiler makes of sums. Kind of truth: the same sums by NumPy.

jaxlib 0.10.2 had two of them wrong on CPUs, silently: of products with constants, and of the last
rows of many. In a process of its own, because this one compiles with other options.
"""

import os
import subprocess
import sys

CHECK = "from harmonium.cli import checkup; print(checkup._check_sums())"


def test_a_plain_process_computes_sums_right():
    plain = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", CHECK], env=plain, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("(True,"), done.stdout
