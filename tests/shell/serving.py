"""Services in processes of their own, as users start them."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa

from harmonium.service.bodies import ARROW

ROOT = Path(__file__).parents[2]
LONGEST_START = 400


class Served:
    """A service, its process and its address."""

    def __init__(self, run, *options, port=0, environment=None):
        command = [sys.executable, "-m", "harmonium", "serve", str(run), "--port", str(port)]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src")} | (environment or {})
        self.process = subprocess.Popen(
            [*command, *map(str, options)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.url = self.process.stdout.readline().strip().rpartition(" at ")[2]
        self.port = int(self.url.rpartition(":")[2])
        self.client = httpx.Client(base_url=self.url, timeout=120)

    def wait(self):
        """Until it answers."""
        deadline = time.monotonic() + LONGEST_START
        while time.monotonic() < deadline:
            assert self.process.poll() is None, "the service has ended"
            try:
                if httpx.get(f"{self.url}/health", timeout=5).status_code == 200:
                    return self
            except httpx.TransportError:
                time.sleep(0.1)
        raise TimeoutError(self.url)

    def stop(self):
        """As by `kill PID`; the exit code."""
        self.client.close()
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(60)


@contextmanager
def serving(run, *options, port=0):
    """A service that answers, for as long as the block lasts."""
    served = Served(run, *options, port=port)
    try:
        yield served.wait()
    finally:
        if served.process.poll() is None:
            served.process.kill()
        served.process.wait()
        served.client.close()
        served.process.stdout.close()


def mixed_table(n=120):
    """Numbers with holes, whole numbers, categories, truth values, dates, and names of rows."""
    rng = np.random.default_rng(0)
    size = rng.normal(3, 1, n).round(2)
    weight = (2 * size + rng.normal(0, 0.3, n)).round(2)
    days = np.datetime64("2024-01-01") + np.arange(n)
    return pa.table(
        {
            "id": [f"row {i}" for i in range(n)],
            "size": size,
            "weight": pa.array(weight, mask=rng.random(n) < 0.1),
            "count": rng.poisson(3.0, n),
            "color": rng.choice(["red", "green", "blue"], n),
            "ok": rng.random(n) < 0.5,
            "day": pa.array(days),
        }
    )


def plain_rows(table):
    """Rows as JSON has them."""
    return [
        {
            name: cell.isoformat() if hasattr(cell, "isoformat") else cell
            for name, cell in row.items()
        }
        for row in table.to_pylist()
    ]


def stream(table, **options):
    """A table as the body and the headers of a request."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as out:
        out.write_table(table)
    return {"content": sink.getvalue().to_pybytes(), "headers": {"content-type": ARROW}}
