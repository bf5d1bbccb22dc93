"""Programs that tests of many devices start: each has devices, or fellow processes, of its own."""

import os
import socket
import subprocess
import sys
from pathlib import Path

FITS = Path(__file__).with_name("fits.py")


def start(*arguments, n_devices=1):
    """A Python program on so many simulated devices, in double precision."""
    devices = f"--xla_force_host_platform_device_count={n_devices}"
    # As in conftest.py.
    quick = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
    added = {"XLA_FLAGS": f"{devices} {quick}", "JAX_ENABLE_X64": "1"}
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        env=os.environ | added,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_fits(*arguments, n_devices):
    """`fits.py` as a program."""
    return start(FITS, *arguments, n_devices=n_devices)


def start_harmonium(*arguments, n_devices=1):
    """The command line."""
    code = "from harmonium.cli import main; main()"
    return start("-c", code, *arguments, n_devices=n_devices)


def free_port():
    """A port that nothing listens to."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]
