"""How a service holds under load: 200 clients at once on loopback, in a process of their own, with
valid, oversized, malformed and slow requests; then rows per second in batches.

Every client asks, waits for a while (exponential, `--pause` seconds in the mean), and asks again,
on a connection of its own. Nine of ten requests score one row; the others are of the kinds below.

    one row      POST /score with 1 row
    100 rows     POST /score with 100 rows
    reasons      POST /detect with 1 row and reasons
    oversized    a body beyond the limit of bytes
    malformed    JSON that ends too early, or a word in a column of numbers
    slow         a body that stops in the middle, for longer than the service waits
    batches      afterwards, alone: 4 clients with 500 rows a request, one after the other

"5xx" counts answers of 500 and above but for 503 (refused load), which has a column of its own;
"peak MB" is the resident memory of the workers, "grown MB" how much more it is than at the start of
the load. "largest error" compares every answer with what the estimators say of its rows: log-
densities and anomaly scores, divided by these where they are larger than 1.

`python -m benchmarks.service [--seconds 60] [--clients 200] [--pause 1] [--workers 1]`
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import httptools
import httpx
import numpy as np

from benchmarks.report import Row, publish
from benchmarks.scoring import table

N_TRAINED = 2000
MOST_BYTES = 1_000_000
TIME_LIMIT = 5.0
SHARES = {
    "one row": 0.90,
    "100 rows": 0.03,
    "reasons": 0.01,
    "oversized": 0.01,
    "malformed": 0.04,
    "slow": 0.01,
}
BATCH, BATCH_CLIENTS = 500, 4


@dataclass
class Seen:
    """What the clients saw, by the kind of request: seconds, statuses, and the largest error."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    statuses: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    error: float = 0.0


class Connection:
    """One connection: writes a request, and reads its answer with httptools."""

    def __init__(self, port: int):
        self._port = port
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """The status and the body of the answer."""
        reader, writer = await self._open()
        writer.write(request)
        answer = _Answer()
        while not answer.complete:
            data = await reader.read(2**16)
            if not data:
                raise ConnectionError("closed")
            answer.parser.feed_data(data)
        status = answer.parser.get_status_code()
        if not answer.parser.should_keep_alive():
            self.close()
        return status, bytes(answer.body)

    def close(self) -> None:
        """The next request gets a new connection."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self._reader, self._writer


class _Answer:
    def __init__(self) -> None:
        self.parser: Any = httptools.HttpResponseParser(self)
        self.body, self.complete = bytearray(), False

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


@dataclass(frozen=True)
class Request:
    """A request as it goes over the wire, and the entry of a right answer that is compared."""

    content: bytes
    entry: str = ""
    expected: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def error(self, body: bytes) -> float:
        """How far an answer is from what the estimator says, relative to 1 or more."""
        found = np.array(json.loads(body)[self.entry])
        return float(np.max(np.abs(found - self.expected) / np.maximum(1, np.abs(self.expected))))


def post(path: str, body: bytes, *, stated: int | None = None) -> bytes:
    """A request as it goes over the wire; `stated` is a length of the body that it has not."""
    length = len(body) if stated is None else stated
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {length}\r\n\r\n".encode() + body


def rows_of(values: np.ndarray) -> list[dict[str, float]]:
    """Rows by the names of their columns."""
    return [{f"x{i + 1}": float(cell) for i, cell in enumerate(row)} for row in values]


def requests(
    rows: list[dict[str, Any]], expected: dict[str, np.ndarray], numeric: str
) -> dict[str, list[Request]]:
    """Requests of every kind for these rows. Of the estimators, `expected` has the `log_density`
    and the `score` of each (rows,); `numeric` is a column of numbers.
    """

    def asking(path: str, entry: str, at: slice) -> Request:
        body = json.dumps({"rows": rows[at]}).encode()
        return Request(post(path, body), entry, expected[entry][at])

    word = json.dumps({"rows": [rows[0] | {numeric: "many"}]}).encode()
    each = [slice(i, i + 1) for i in range(len(rows))]
    return {
        "one row": [asking("/score", "log_density", own) for own in each],
        "100 rows": [asking("/score", "log_density", slice(100))],
        "reasons": [asking("/detect", "score", own) for own in each[:1]],
        "oversized": [Request(post("/score", b" " * (MOST_BYTES + 100_000)))],
        "malformed": [Request(post("/score", b'{"rows": [{')), Request(post("/score", word))],
        "slow": [Request(post("/score", b'{"rows": [', stated=1000))],
    }


async def client(
    port: int,
    asked: dict[str, list[Request]],
    until: float,
    pause: float,
    shares: dict[str, float] = SHARES,
) -> Seen:
    """One client: asks, waits, and asks again."""
    seen, connection = Seen(), Connection(port)
    await asyncio.sleep(random.expovariate(1 / pause))
    while time.monotonic() < until:
        (kind,) = random.choices(list(shares), list(shares.values()))
        request = random.choice(asked[kind])
        started = time.perf_counter()
        try:
            status, body = await connection.ask(request.content)
        except OSError:
            connection.close()
            seen.statuses[kind]["closed"] += 1
        else:
            seen.seconds[kind].append(time.perf_counter() - started)
            seen.statuses[kind][str(status)] += 1
            if status == 200:
                seen.error = max(seen.error, request.error(body))
        await asyncio.sleep(random.expovariate(1 / pause))
    connection.close()
    return seen


async def press_at_once(
    n_clients: int,
    seconds: float,
    port: int,
    asked: dict[str, list[Request]],
    pause: float,
    shares: dict[str, float] = SHARES,
) -> Seen:
    """What so many clients see in all."""
    until, whole = time.monotonic() + seconds, Seen()
    clients = (client(port, asked, until, pause, shares) for _ in range(n_clients))
    for seen in await asyncio.gather(*clients):
        for kind, taken in seen.seconds.items():
            whole.seconds[kind] += taken
        for kind, statuses in seen.statuses.items():
            whole.statuses[kind] += statuses
        whole.error = max(whole.error, seen.error)
    return whole


async def _batches(options: dict[str, Any], values: np.ndarray) -> tuple[int, float]:
    request = post("/score", json.dumps({"rows": rows_of(values[:BATCH])}).encode())
    started = time.monotonic()

    async def ask() -> int:
        connection, n_rows = Connection(options["port"]), 0
        while time.monotonic() < started + options["seconds"] / 4:
            status, _ = await connection.ask(request)
            assert status == 200, status
            n_rows += BATCH
        return n_rows

    counts = await asyncio.gather(*(ask() for _ in range(BATCH_CLIENTS)))
    return sum(counts), time.monotonic() - started


def press(
    options: dict[str, Any], values: np.ndarray, expected: dict[str, np.ndarray]
) -> dict[str, Any]:
    """All of the load; what it showed. Runs in a process of its own."""
    random.seed(0)
    asked = requests(rows_of(values), expected, "x3")
    load = (options["clients"], options["seconds"], options["port"], asked, options["pause"])
    seen = asyncio.run(press_at_once(*load))
    n_rows, seconds = asyncio.run(_batches(options, values))
    return {
        "seconds": dict(seen.seconds),
        "statuses": {kind: dict(own) for kind, own in seen.statuses.items()},
        "error": seen.error,
        "batch rate": n_rows / seconds,
        "batches": n_rows // BATCH,
    }


def resident_mb(pid: int) -> float:
    """Resident memory of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    own = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return own / 2**20 + sum(resident_mb(int(child)) for child in children)


def fit(folder: Path) -> tuple[Path, np.ndarray, dict[str, np.ndarray]]:
    """A run, rows to ask for, and what the estimators say of them."""
    train, rows = table(N_TRAINED, seed=0), table(500, seed=1)
    header = ",".join(f"x{i + 1}" for i in range(train.shape[1]))
    np.savetxt(folder / "train.csv", train, delimiter=",", header=header, comments="")
    command = [sys.executable, "-m", "harmonium", "fit", str(folder / "train.csv")]
    quick = ["--effort", "quick", "--no-report", "-o", str(folder / "run")]
    subprocess.run([*command, *quick], check=True, capture_output=True)
    return folder / "run", rows, expected_of(folder / "run", rows)


def expected_of(run: Path, rows: Any) -> dict[str, np.ndarray]:
    """What the estimators of a run say of rows, by the entry of an answer."""
    import harmonium as hm

    density, detector = hm.load(run), hm.load(run / "detector.safetensors")
    assert isinstance(density, hm.DensityEstimator) and isinstance(detector, hm.AnomalyDetector)
    return {"log_density": density.score_samples(rows), "score": detector.score_samples(rows)}


def start(run: Path, workers: int) -> tuple[subprocess.Popen[str], int, float]:
    """A service that answers: its process, its port, and the seconds until then."""
    command = [sys.executable, "-m", "harmonium", "serve", str(run), "--port", "0"]
    limits = ["--max-bytes", str(MOST_BYTES), "--time-limit", str(TIME_LIMIT)]
    started = time.monotonic()
    process = subprocess.Popen(
        [*command, *limits, "--workers", str(workers)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    port = int(process.stdout.readline().rpartition(":")[2])
    httpx.get(f"http://127.0.0.1:{port}/health", timeout=600)
    return process, port, time.monotonic() - started


def measure(options: argparse.Namespace, folder: Path) -> tuple[list[Row], dict[str, Any]]:
    """The rows of the table, and the figures of the whole."""
    run, values, expected = fit(folder)
    process, port, ready = start(run, options.workers)
    try:
        before = peak = resident_mb(process.pid)
        asked = vars(options) | {"port": port}
        with get_context("spawn").Pool(1) as pool:
            pending = pool.apply_async(press, (asked, values, expected))
            while not pending.ready():
                pending.wait(0.25)
                peak = max(peak, resident_mb(process.pid))
            found = pending.get()
        metrics = httpx.get(f"http://127.0.0.1:{port}/metrics").text.splitlines()
        compiled = next(own for own in metrics if own.startswith("harmonium_compilations"))
    finally:
        process.terminate()
        process.wait(60)
    rows = [_summary(kind, found) for kind in SHARES]
    whole = {
        "largest error": found["error"],
        "rows/s in batches": found["batch rate"],
        "peak MB": peak,
        "grown MB": peak - before,
        "seconds to start": ready,
        "compiled": float(compiled.split()[1]),
        "exit code": process.returncode,
    }
    return rows, whole


def _summary(kind: str, found: dict[str, Any]) -> Row:
    statuses, seconds = found["statuses"].get(kind, {}), found["seconds"].get(kind, [])
    failed = sum(n for status, n in statuses.items() if status >= "500" and status.isdecimal())
    refused = statuses.get("503", 0)
    row: Row = {"requests": kind, "number": sum(statuses.values())}
    if seconds:
        p50, p99 = np.quantile(seconds, (0.5, 0.99)) * 1e3
        row |= {"p50 ms": float(p50), "p99 ms": float(p99), "longest ms": 1e3 * max(seconds)}
    usual = sorted(f"{status}: {n}" for status, n in statuses.items())
    return row | {"5xx": failed - refused, "503": refused, "answers": ", ".join(usual)}


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--pause", type=float, default=1.0)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rows, whole = measure(options, Path(name))
    title = (
        f"{options.clients} clients for {options.seconds:g} s, pauses of {options.pause:g} s, "
        f"{options.workers} workers; "
        + ", ".join(f"{name} {value:.4g}" for name, value in whole.items())
    )
    publish("service", title, rows)


if __name__ == "__main__":
    main()
