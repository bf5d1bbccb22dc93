"""The report as a browser shows it: everything drawn, no error, no request, no overflow, in light
and in dark."""

import json
import shutil

import pytest
from test_mixed_cli import call
from test_report import evil_rows

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER),
        reason="needs a browser: apt-get install chromium chromium-driver",
    ),
]
WIDTHS = {"desktop": 1280, "phone": 375}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    evil_rows().to_csv(folder / "table.csv", index=False)
    code = call(
        "fit", folder / "table.csv", "-o", folder / "run", "--updates", 20, "--hidden", 6,
        "--feature-map", "identity", "--kind", "zip=categorical",
    )  # fmt: skip
    assert code == 0
    assert call("report", folder / "run", folder / "table.csv", "--overwrite") == 0
    return folder / "run" / "report.html"


@pytest.fixture(scope="module")
def browser():
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def open_report(browser, report, width, theme):
    """The page with all charts drawn."""
    from selenium.webdriver.support.ui import WebDriverWait

    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(report.as_uri())
    wait = WebDriverWait(browser, 60)
    wait.until(lambda b: b.execute_script("return document.readyState") == "complete")
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    count = "return document.querySelectorAll('.chart:not([data-drawn])').length"
    wait.until(lambda b: b.execute_script(count) == 0)


def requests_of(browser):
    """Addresses that the page asked for."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [m for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [m["params"]["request"]["url"] for m in sent]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("device", WIDTHS)
def test_the_page_is_complete_and_alone(device, theme, report, browser):
    open_report(browser, report, WIDTHS[device], theme)
    errors = [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"]
    assert errors == []
    asked = [url for url in requests_of(browser) if not url.startswith(("data:", "blob:"))]
    assert asked == [report.as_uri()]
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    drawn = browser.execute_script(
        "return [...document.querySelectorAll('.chart')].map(place => {"
        " const svg = place.querySelector('.main-svg');"
        " return svg ? svg.getBoundingClientRect().width : 0 })"
    )
    assert len(drawn) > 10 and min(drawn) > 200
    widths = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    wide, window = browser.execute_script(widths)
    assert wide <= window


def test_a_dark_page_has_dark_charts(report, browser):
    colors = {}
    for theme in ("light", "dark"):
        open_report(browser, report, 1280, theme)
        colors[theme] = browser.execute_script(
            "const text = document.querySelector('.chart .xtick text');"
            "return [getComputedStyle(document.body).backgroundColor, getComputedStyle(text).fill]"
        )
    assert colors["light"][0] != colors["dark"][0] and colors["light"][1] != colors["dark"][1]


def test_nothing_of_the_data_runs(report, browser):
    open_report(browser, report, 1280, "light")
    # An alert would make every further command fail.
    title = browser.title
    assert title.startswith("Trusted")
    assert browser.execute_script("return document.querySelectorAll('img[src=x]').length") == 0
    texts = browser.execute_script(
        "return [...document.querySelectorAll('.chart .xtitle')].map(text => text.textContent)"
    )
    assert "<script>alert(1)</script>" in texts


def test_pairs_can_be_taken_apart(report, browser):
    open_report(browser, report, 1280, "light")
    shown = (
        "return document.querySelectorAll('.pairs .chart .trace.scatter').length"
        " / document.querySelectorAll('.pairs .chart').length"
    )
    assert browser.execute_script(shown) == 2
    browser.execute_script("document.querySelector('[data-show=samples]').click()")
    assert browser.execute_script(shown) == 1
