"""The report as a browser shows it: everything drawn at once, no error, no request, no overflow, in
light and in dark, and on paper."""

import base64
import json
import re
import shutil

import pytest
from test_report import fit_mixed, view_of

from harmonium.report import write_report

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER),
        reason="needs a browser: apt-get install chromium chromium-driver",
    ),
]
WIDTHS = {"desktop": 1280, "phone": 390}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("browser") / "report.html"
    write_report(path, view_of(*fit_mixed(), classifiers={"boosted trees": (0.5, 1.0)}))
    return path


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
    """The page, as it is without any scrolling."""
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
        "return [...document.querySelectorAll('section svg')].map(drawing =>"
        " [drawing.getBoundingClientRect().width, drawing.querySelectorAll('path, rect').length])"
    )
    assert len(drawn) > 12 and min(width for width, _ in drawn) > 50
    assert min(marks for _, marks in drawn) > 0
    page = "const page = document.documentElement; return "
    sizes = browser.execute_script(f"{page}[page.scrollWidth, page.clientWidth, page.scrollHeight]")
    assert sizes[0] <= sizes[1] and sizes[2] < 20_000
    # What is wider than the page scrolls in a place of its own, which a keyboard reaches.
    clipped = browser.execute_script(
        "return [...document.querySelectorAll('body *')].filter(part =>"
        " part.getBoundingClientRect().right > innerWidth + 1"
        " && !part.closest('.scroll, .skip, details:not([open])')).length"
    )
    assert clipped == 0


CONTRASTS = """
const parse = (color) => color.match(/[\\d.]+/g).map(Number);
const light = (color) => parse(color).slice(0, 3).map((part) => part / 255)
  .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
  .reduce((sum, part, k) => sum + part * [0.2126, 0.7152, 0.0722][k], 0);
const ground = (part) => {
  for (; part; part = part.parentElement) {
    const color = getComputedStyle(part).backgroundColor;
    if ((parse(color)[3] ?? 1) > 0) return color;
  }
};
return [...document.querySelectorAll("section p, section li, section td, section h2, svg text")]
  .filter((part) => part.textContent.trim())
  .map((part) => {
    const style = getComputedStyle(part);
    const drawn = part instanceof SVGElement;
    const both = [light(drawn ? style.fill : style.color), light(ground(part.closest("*")))];
    return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
  });
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_text_can_be_read(theme, report, browser):
    open_report(browser, report, 1280, theme)
    contrasts = browser.execute_script(CONTRASTS)
    assert len(contrasts) > 100 and min(contrasts) >= 4.5


def test_a_dark_page_has_dark_charts(report, browser):
    colors = {}
    for theme in ("light", "dark"):
        open_report(browser, report, 1280, theme)
        colors[theme] = browser.execute_script(
            "const text = document.querySelector('.chart text');"
            "return [getComputedStyle(document.body).backgroundColor, getComputedStyle(text).fill]"
        )
    assert colors["light"][0] != colors["dark"][0] and colors["light"][1] != colors["dark"][1]


def test_nothing_of_the_data_runs(report, browser):
    open_report(browser, report, 1280, "light")
    # An alert would make every further command fail.
    assert browser.title.endswith("report of my <run>")
    assert browser.execute_script("return document.querySelectorAll('img[src=x]').length") == 0
    texts = browser.execute_script(
        "return [...document.querySelectorAll('.chart text')].map(text => text.textContent)"
    )
    assert "<script>alert(1)</script>" in texts


def test_odd_rows_are_sorted_by_any_column(report, browser):
    open_report(browser, report, 1280, "light")
    order = (
        "return [...document.querySelectorAll('.rows tbody th')].map(cell => +cell.dataset.order)"
    )
    before = browser.execute_script(order)
    press = "document.querySelector('.rows thead button').click()"
    for expected in (sorted(before), sorted(before, reverse=True)):
        browser.execute_script(press)
        assert browser.execute_script(order) == expected
    state = "return document.querySelector('.rows thead th').getAttribute('aria-sort')"
    assert browser.execute_script(state) == "descending"


def test_the_page_prints_on_few_sheets(report, browser):
    open_report(browser, report, 1280, "dark")
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    pages = re.findall(rb"/Type /Page\b", base64.b64decode(printed["data"]))
    assert 2 <= len(pages) <= 4
