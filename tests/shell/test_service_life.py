"""A service under load, that is stopped, killed and started again; and its pages in a browser."""

import asyncio
import json
import os
import shutil
import signal
import socket
import threading
import time

import pyarrow.compute
import pyarrow.csv
import pytest
from shell.serving import Served, mixed_table, plain_rows, serving
from shell.test_cli import call
from shell.test_report_browser import requests_of

from benchmarks.service import MOST_BYTES, expected_of, press_at_once, requests

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.slow
TABLE = mixed_table()
ROWS = [row for row in plain_rows(TABLE) if row["weight"] is not None]
BODY = json.dumps({"rows": ROWS[:1]}).encode()
HEAD = (
    "POST /score HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    f"content-length: {len(BODY)}\r\n\r\n"
).encode()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    pyarrow.csv.write_csv(TABLE, folder / "table.csv")
    quick = ("--effort", "quick", "--no-report")
    assert call("fit", folder / "table.csv", "-o", folder / "run", *quick) == 0
    return folder / "run"


@pytest.mark.parametrize(
    ("stopping", "workers"), [(signal.SIGTERM, 1), (signal.SIGINT, 1), (signal.SIGTERM, 2)]
)
def test_a_service_that_still_compiles_ends_at_once(stopping, workers, run, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    served = Served(run, "--workers", workers)
    time.sleep(6)
    served.process.send_signal(stopping)
    assert served.process.wait(20) == 0
    assert not is_open(served.port)


def files_of(run):
    return {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}


def test_a_request_that_runs_is_answered_before_the_end(run):
    with serving(run) as served:
        with socket.create_connection(("127.0.0.1", served.port)) as late:
            late.sendall(HEAD + BODY[:10])
            time.sleep(0.5)
            served.process.terminate()
            time.sleep(0.5)
            with pytest.raises(ConnectionError):
                socket.create_connection(("127.0.0.1", served.port)).close()
            late.sendall(BODY[10:])
            late.settimeout(60)
            assert late.recv(100).startswith(b"HTTP/1.1 200")
        assert served.process.wait(60) == 0


def ask_on_and_on(served, until):
    while not until.is_set():
        try:
            served.client.post("/detect", json={"rows": ROWS[:40]})
        except Exception:
            return


# Of all that clients ask for; of bad requests more than usual, since there are few in all.
ASKED = {
    "one row": 0.5,
    "100 rows": 0.1,
    "reasons": 0.1,
    "oversized": 0.1,
    "malformed": 0.1,
    "slow": 0.1,
}


def test_under_load_every_answer_is_right_and_a_kill_leaves_nothing_to_repair(run):
    complete = TABLE.filter(pyarrow.compute.is_valid(TABLE["weight"]))
    asked = requests(ROWS, expected_of(run, complete), "size")
    before, limits = files_of(run), ("--max-bytes", MOST_BYTES, "--time-limit", 1)
    with serving(run, *limits) as served:
        seen = asyncio.run(press_at_once(20, 5.0, served.port, asked, 0.05, ASKED))
        allowed = {"oversized": {"413"}, "malformed": {"400", "422"}, "slow": {"408"}}
        for kind, statuses in seen.statuses.items():
            expected = allowed.get(kind, {"200"})
            # Of a refused body, the rest may come when the connection has ended already.
            assert set(statuses) <= expected | {"503", "closed"}, (kind, statuses)
            assert set(statuses) & expected, (kind, statuses)
            assert kind == "oversized" or not statuses["closed"], (kind, statuses)
        assert set(seen.statuses) == set(ASKED) and seen.error < 1e-6
        threading.Timer(1.0, served.process.kill).start()
        cut = asyncio.run(press_at_once(20, 2.0, served.port, asked, 0.05, ASKED))
        assert served.process.wait(10) == -signal.SIGKILL
        assert cut.statuses["one row"]["200"] and cut.statuses["one row"]["closed"]
        assert cut.error < 1e-6 and files_of(run) == before
    with serving(run, *limits, port=served.port) as again:
        seen = asyncio.run(press_at_once(5, 1.0, again.port, asked, 0.05, {"one row": 1.0}))
        assert set(seen.statuses["one row"]) == {"200"} and seen.error < 1e-6
        assert again.stop() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_after_a_kill_nothing_is_to_be_repaired(run, workers):
    before, ended = files_of(run), threading.Event()
    with serving(run, "--workers", workers) as served:
        scores = served.client.post("/score", json={"rows": ROWS[:5]}).json()
        clients = [threading.Thread(target=ask_on_and_on, args=(served, ended)) for _ in range(4)]
        for client in clients:
            client.start()
        time.sleep(0.5)
        served.process.send_signal(signal.SIGKILL)
        served.process.wait()
        ended.set()
        for client in clients:
            client.join()
        assert files_of(run) == before
        # Workers whose parent is gone let go of the port.
        deadline = time.monotonic() + 60
        while is_open(served.port):
            assert time.monotonic() < deadline
            time.sleep(0.2)
    with serving(run, port=served.port) as again:
        assert again.client.post("/score", json={"rows": ROWS[:5]}).json() == scores
        assert again.stop() == 0


def is_open(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_a_worker_that_hangs_and_is_killed_is_replaced(run):
    with serving(run, "--workers", 2) as served:
        children = f"/proc/{served.process.pid}/task/{served.process.pid}/children"
        with open(children) as file:
            workers = [
                int(child)
                for child in file.read().split()
                if "spawn_main" in open(f"/proc/{child}/cmdline").read()  # noqa: SIM115
            ]
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGSTOP)
        # Long enough for the parent to ask it whether it is well, and to wait for the answer.
        time.sleep(2)
        os.kill(workers[0], signal.SIGKILL)
        for _ in range(20):
            assert served.client.post("/score", json={"rows": ROWS[:1]}).status_code == 200
        text = served.client.get("/metrics").text
        assert 'harmonium_rows_total{endpoint="score"} 20' in text
        assert served.stop() == 0


@pytest.fixture(scope="module")
def service(run):
    with serving(run) as served:
        yield served


@pytest.fixture(scope="module")
def browser():
    if not (CHROMIUM and DRIVER):
        pytest.skip("needs a browser: apt-get install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def wait_for(browser, script):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 60).until(lambda b: b.execute_script(f"return {script}"))


def test_the_page_judges_a_row(service, browser):
    browser.get(service.url)
    wait_for(browser, "document.querySelector('#cell-1')?.value")
    names = browser.execute_script(
        "return [...document.querySelectorAll('.cell label')].map((label) => label.textContent)"
    )
    assert names == TABLE.column_names[1:]
    set_cell = "const cell = document.getElementById(arguments[0]); cell.value = arguments[1]"
    browser.execute_script(set_cell, "cell-2", "40")
    browser.find_element("css selector", "button.main").click()
    wait_for(browser, "!document.getElementById('answer').hidden")
    odd = browser.execute_script(
        "return [...document.querySelectorAll('.cell.odd label')].map((own) => own.textContent)"
    )
    assert "weight" in odd
    figures = browser.find_element("id", "figures").text
    assert "nats" in figures and "weight" in figures
    likely = browser.execute_script(
        "return document.getElementById('cell-2').closest('.cell')"
        ".querySelector('.likely').textContent"
    )
    assert likely.startswith("likely ") and float(likely.split()[1].removesuffix("use")) < 20


def test_the_page_says_what_is_wrong_and_fills_what_is_empty(service, browser):
    browser.get(service.url)
    wait_for(browser, "document.querySelector('#cell-1')?.value")
    set_cell = "const cell = document.getElementById(arguments[0]); cell.value = arguments[1]"
    browser.execute_script(set_cell, "cell-2", "heavy")
    browser.find_element("css selector", "button.main").click()
    problem = wait_for(browser, "document.getElementById('problem').textContent")
    assert "heavy" in problem and "weight" in problem
    browser.execute_script(set_cell, "cell-2", "")
    browser.find_element("id", "fill").click()
    assert float(wait_for(browser, "document.getElementById('cell-2').value"))


@pytest.mark.parametrize(("path", "ready"), [("/", "#cell-1"), ("/docs", "#types table")])
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_are_alone_without_errors_and_fit(service, browser, path, ready, width):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(service.url + path)
    wait_for(browser, f"document.querySelector('{ready}')")
    assert [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"] == []
    asked = [url for url in requests_of(browser) if not url.startswith("data:")]
    assert asked and all(url.startswith(service.url) for url in asked)
    page = browser.execute_script(
        "const page = document.documentElement; return [page.scrollWidth, page.clientWidth]"
    )
    assert page[0] <= page[1]
    if path == "/docs":
        shown = browser.find_element("id", "endpoints").text
        assert all(name in shown for name in ("/score", "/detect", "/impute", "/sample"))
