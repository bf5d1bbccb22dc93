"""Kind of truth: the page beside the library. What the explorer's page computes is what Python
does; its chains keep the density; and the page works in light and dark, on desks and phones."""

import json
import shutil
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harmonium.estimators import DensityEstimator
from harmonium.inference import Density
from harmonium.likelihood.result import exact_result
from harmonium.model import Harmonium, Spin, feature_maps
from harmonium.report import write_explorer

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


def two_moons(n: int = 256) -> np.ndarray:
    """Rows (n, 2) on two bent arms."""
    rng = np.random.default_rng(0)
    turn, arm = rng.uniform(0, np.pi, n), rng.integers(0, 2, n)
    side = 1 - 2 * arm
    rows = np.stack([arm + side * np.cos(turn), 0.5 * arm + side * np.sin(turn)], axis=1)
    return rows + 0.1 * rng.normal(size=rows.shape)


def mixed_rows(n: int = 256) -> np.ndarray:
    """Long tails, many zeros, whole numbers of two kinds, a switch, and a repeated column."""
    rng = np.random.default_rng(1)
    long = rng.standard_t(2, n)
    zeros = np.where(rng.random(n) < 0.3, 0.0, rng.gamma(2.0, 1.0, n))
    counts = rng.poisson(np.exp(2 + 0.2 * zeros))
    switch = (long + rng.normal(size=n) > 0).astype(float)
    two = np.where(rng.random(n) < 0.5, -4, 3) + rng.normal(size=n)
    return np.stack([long, zeros, counts, switch, two, two], axis=1)


def with_hidden(density: Density, feature_map, units=None, scale: float = 0.6) -> Density:
    """The density with an energy of a map of any kind, made up instead of trained."""
    base = density.model.base
    key = jax.random.key(3)
    model = Harmonium(
        base.n_visible, 7, feature_map=feature_map, base=base, hidden_units=units, key=key
    )
    rng = np.random.default_rng(0)
    weights = scale * rng.normal(size=model.weights.shape)
    bias = 0.2 * rng.normal(size=base.n_visible)
    model = eqx.tree_at(
        lambda m: (m.weights, m.visible_bias),
        model,
        (jnp.asarray(weights, jnp.float32), jnp.asarray(bias, jnp.float32)),
    )
    chosen = replace(density.chosen, residual=True)
    return replace(
        density, model=model, log_partition=exact_result(1.25, "quadrature"), chosen=chosen
    )


def maps(n: int) -> dict:
    """A map of every kind that the page computes."""
    key = jax.random.key(0)
    build = feature_maps
    inner = build.ResidualMLP(12, 8, 2, activation="softplus", key=key)
    return {
        "identity": build.Identity(n),
        "mlp": build.MLP(n, (9, 6), activation="gelu", key=key),
        "residual": build.ResidualMLP(n, 8, 2, is_bounded=True, key=key),
        "fourier": build.FourierFeatures(n, 6, head=inner, key=key),
    }


@pytest.fixture(scope="module")
def moons() -> Density:
    """A small density of two columns, of a base with several components."""
    return DensityEstimator(effort="quick").fit(two_moons()).density_


@pytest.fixture(scope="module")
def mixed() -> Density:
    kinds = {"x5": "continuous"}
    with pytest.warns(UserWarning, match="x6"):
        return DensityEstimator(effort="quick", kinds=kinds).fit(mixed_rows()).density_


@pytest.fixture(scope="module")
def browser():
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(120)
    yield driver
    driver.quit()


def open_page(browser, path, width=1280, theme="light"):
    """The page with its surface drawn to the last pass."""
    from selenium.webdriver.support.ui import WebDriverWait

    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(path.as_uri())
    WebDriverWait(browser, 60).until(
        lambda b: b.execute_script("return globalThis.explorer?.surface?.isComplete === true")
    )


def read_rows(browser, density: Density, rows: np.ndarray) -> list[dict]:
    """What the page says of rows (rows, columns)."""
    cells = rows[:, density.columns.modeled_index].tolist()
    script = "return JSON.stringify(arguments[0].map((row) => explorer.density.read(row)))"
    return json.loads(browser.execute_script(script, cells))


def compare(browser, density: Density, rows: np.ndarray) -> None:
    """Energies, log-densities and p(h|x) of the page with those of the library."""
    found = read_rows(browser, density, rows)
    free_energy = np.array([own["energy"] for own in found])
    expected = density.free_energy(rows)
    np.testing.assert_allclose(free_energy, expected, rtol=3e-6, atol=1e-4)
    exact = np.array([own["isExact"] for own in found])
    log_density = np.array([own["logDensity"] for own in found])
    expected = density.log_density(rows)
    np.testing.assert_allclose(log_density[exact], expected[exact], rtol=3e-6, atol=1e-4)
    means = density.hidden_mean(rows)
    spin = type(density.model.hidden_units).__name__ == "Spin"
    probabilities = np.array([own["probabilities"] for own in found])
    np.testing.assert_allclose(probabilities, (means + 1) / 2 if spin else means, atol=1e-5)


@pytest.mark.parametrize("kind", ["base", *maps(1)])
def test_the_page_computes_what_the_library_does(kind, moons, tmp_path, browser):
    density = moons if kind == "base" else with_hidden(moons, maps(2)[kind])
    path = tmp_path / "page.html"
    write_explorer(path, density)
    open_page(browser, path)
    rng = np.random.default_rng(5)
    rows = np.concatenate([two_moons(128), rng.uniform(-4, 4, (128, 2))])
    compare(browser, density, rows)


def test_columns_of_all_kinds(mixed, tmp_path, browser):
    density = with_hidden(mixed, maps(5)["residual"], Spin())
    path = tmp_path / "page.html"
    write_explorer(path, density)
    open_page(browser, path)
    rows = mixed_rows()
    compare(browser, density, rows)
    # Not exact where cells are intervals, but near.
    found = np.array([own["logDensity"] for own in read_rows(browser, density, rows)])
    assert np.median(np.abs(found - density.log_density(rows))) < 0.3


def test_the_page_goes_back_from_coordinates_to_cells(mixed, tmp_path, browser):
    path = tmp_path / "page.html"
    write_explorer(path, mixed)
    open_page(browser, path)
    u = np.random.default_rng(2).normal(size=(100, 5))
    script = (
        "return arguments[0].map((row) => row.map((own, j) => {"
        " const column = explorer.density.columns[j];"
        " return column.snap(column.numberAt(own)); }))"
    )
    found = np.array(browser.execute_script(script, u.tolist()))
    expected = mixed.coordinates.marginals.restore(u)
    scale = np.ptp(expected, axis=0)
    # Levels are the same; numbers come from a table between whose knots the page interpolates.
    np.testing.assert_array_equal(found[:, 3], expected[:, 3])
    assert np.mean(np.abs(found - expected) > 0.02 * scale) < 0.02


def test_gradients_are_those_of_energies(moons, tmp_path, browser):
    for kind, feature_map in maps(2).items():
        density = with_hidden(moons, feature_map)
        path = tmp_path / f"{kind}.html"
        write_explorer(path, density)
        open_page(browser, path)
        script = """
        const { model } = explorer.density;
        const states = model.allFree.map((free, k) => [free, 0, 1][k % 3]);
        const errors = [];
        for (let i = 0; i < 20; i++) {
          const z = Float64Array.from([Math.sin(i), Math.cos(2 * i)]);
          const { gradient } = model.energy(z, states, true);
          for (const j of [0, 1]) {
            const moved = (step) =>
              model.energy(z.map((x, k) => x + step * (k === j)), states).value;
            errors.push(Math.abs((moved(1e-5) - moved(-1e-5)) / 2e-5 - gradient[j]));
          }
        }
        return Math.max(...errors);
        """
        assert browser.execute_script(script) < 1e-6, kind


# Chains of independent starts, and the seed of their random numbers.
N_CHAINS, N_STEPS, SEED = 2500, 40, 11


@pytest.mark.parametrize("kernel", ["mala", "gibbs"])
@pytest.mark.parametrize("held", [False, True])
def test_chains_keep_the_density(kernel, held, moons, tmp_path, browser):
    """Chains that start in equilibrium, at exact draws by quadrature, stay in it: means of several
    functions within 5 standard errors of independent chains."""
    density = with_hidden(moons, maps(2)["fourier"])
    path = tmp_path / "page.html"
    write_explorer(path, density)
    open_page(browser, path)
    side, n = 8.0, 320
    line = -side + (np.arange(n) + 0.5) * (2 * side / n)
    states = [1, 0, -1, -1, 1, -1, -1] if held else [-1] * 7
    energy = browser.execute_script(
        "const [line, states] = arguments; const { density } = explorer;"
        "return JSON.stringify(line.flatMap((y) => line.map((x) =>"
        " density.model.energy(density.units([x, y]), states).value)))",
        line.tolist(),
        states,
    )
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    energy = np.array(json.loads(energy))
    mass = np.exp(energy.min() - energy)
    mass /= mass.sum()
    edge = np.abs(grid).max(axis=1) > side - 0.2
    assert mass[edge].sum() < 1e-6
    rng = np.random.default_rng(SEED)
    starts = grid[rng.choice(len(grid), N_CHAINS, p=mass)]
    starts += rng.uniform(-side / n, side / n, starts.shape)
    script = """
    const [starts, states, kernel, seed, nSteps] = arguments;
    const target = new HeldTarget(explorer.density, [0, 1], [0, 0]);
    const chains = new Chains(target, starts, { kernel, seed, stepSize: 0.02, adapts: false });
    for (let i = 0; i < nSteps; i++) chains.step(states);
    return JSON.stringify([chains.positions.map((own) => [...own]), chains.acceptance]);
    """
    found = browser.execute_script(script, starts.tolist(), states, kernel, SEED, N_STEPS)
    ends, acceptance = json.loads(found)
    ends = np.array(ends)
    assert 0.3 < acceptance < 0.99
    moved = np.abs(ends - starts).max(axis=1)
    assert np.mean(moved > 0.1) > 0.5
    functions = [
        lambda x: x[:, 0],
        lambda x: x[:, 1],
        lambda x: x[:, 0] ** 2,
        lambda x: x[:, 0] * x[:, 1],
        lambda x: np.sin(3 * x[:, 0] + x[:, 1]),
        lambda x: (x[:, 1] > 0.3).astype(float),
    ]
    for function in functions:
        truth, values = mass @ function(grid), function(ends)
        error = values.std() / np.sqrt(N_CHAINS)
        assert abs(values.mean() - truth) < 5 * error + 2e-3


@pytest.fixture(scope="module")
def page(mixed, tmp_path_factory):
    """The page of a mixed table with hidden units, with rows of its table."""
    from harmonium.data import as_table

    path = tmp_path_factory.mktemp("explorer") / "page.html"
    rows = mixed_rows(120)
    rows[3, 1] = np.nan
    table = as_table(rows, call="test", fields=mixed.columns.fields)
    density = with_hidden(mixed, maps(5)["mlp"])
    summary = write_explorer(path, density, table=table, name="<run> & co")
    assert summary.n_rows == 120 and not summary.are_draws and summary.latent == "hidden units"
    assert summary.n_bytes == path.stat().st_size < 5_000_000
    return path


def errors_and_requests(browser):
    errors = [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"]
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [m for m in messages if m["method"] == "Network.requestWillBeSent"]
    return errors, [m["params"]["request"]["url"] for m in sent]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("device", WIDTHS)
def test_the_page_is_whole_and_alone(device, theme, page, browser):
    open_page(browser, page, WIDTHS[device], theme)
    errors, asked = errors_and_requests(browser)
    assert errors == []
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
    sizes = browser.execute_script(
        "const page = document.documentElement; return [page.scrollWidth, page.clientWidth]"
    )
    assert sizes[0] <= sizes[1]
    clipped = browser.execute_script(
        "return [...document.querySelectorAll('main *')].filter((part) =>"
        " part.getBoundingClientRect().right > innerWidth + 1 && !part.closest('.skip')).length"
    )
    assert clipped == 0
    unnamed = browser.execute_script(
        "return [...document.querySelectorAll('button, select, input')].filter((part) =>"
        " !(part.labels?.length || part.ariaLabel || part.textContent.trim())).length"
    )
    assert unnamed == 0
    colors = browser.execute_script(
        "const canvas = document.querySelector('.surface');"
        "const pixels = canvas.getContext('2d').getImageData(60, 20, canvas.width - 80,"
        " canvas.height - 80).data;"
        "const seen = new Set(); for (let i = 0; i < pixels.length; i += 4)"
        " seen.add(pixels[i] + 256 * pixels[i + 1]); return seen.size"
    )
    assert colors > 50


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
return [...document.querySelectorAll("p, h1, h2, dt, dd, label, button, output, figcaption")]
  .filter((part) => part.textContent.trim() && part.offsetParent)
  .map((part) => {
    const both = [light(getComputedStyle(part).color), light(ground(part))];
    return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
  });
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_text_can_be_read(theme, page, browser):
    open_page(browser, page, 1280, theme)
    contrasts = browser.execute_script(CONTRASTS)
    assert len(contrasts) > 30 and min(contrasts) >= 4.5


def test_names_of_the_data_are_text(page, browser):
    open_page(browser, page)
    assert browser.title == "Explorer of <run> & co"


def test_holding_a_unit_changes_the_surface_and_the_words(page, browser):
    open_page(browser, page)
    before = browser.execute_script("return [...explorer.surface.values]")
    browser.execute_script("document.querySelector('.unit').click()")
    wait_for_surface(browser)
    after, word, name = browser.execute_script(
        "return [[...explorer.surface.values], document.querySelector('.unit .word').textContent,"
        " document.querySelector('#density-name').textContent]"
    )
    assert word == "on" and "held" in name
    # log p(x, h) is below log p(x) everywhere.
    assert np.all(np.array(after) < np.array(before))
    browser.execute_script("document.querySelector('#free').click()")
    wait_for_surface(browser)
    again = browser.execute_script("return [...explorer.surface.values]")
    np.testing.assert_allclose(again, before)


def test_sliders_rows_and_keys_move_what_is_read(page, browser):
    open_page(browser, page)
    read = "return [...explorer.row]"
    browser.execute_script(
        "const input = document.querySelector('.holder input'); input.value = input.max;"
        "input.dispatchEvent(new Event('input'))"
    )
    held = int(browser.execute_script("return document.querySelector('.holder input').id[5]"))
    before = browser.execute_script(read)
    assert before[held] == pytest.approx(
        browser.execute_script("return explorer.density.columns[arguments[0]].highest", held),
        rel=0.05,
    )
    browser.execute_script(
        "document.querySelector('.overlay').dispatchEvent(new KeyboardEvent('keydown',"
        " { key: 'ArrowRight' }))"
    )
    moved = browser.execute_script(read)
    pair = browser.execute_script("return explorer.pair")
    assert moved[pair[0]] > before[pair[0]] and moved[held] == before[held]
    browser.execute_script("explorer.holdRow(8)")
    np.testing.assert_allclose(browser.execute_script(read), mixed_rows(120)[8, :5])
    # Of a row with a missing cell only the known ones are taken.
    browser.execute_script("explorer.holdRow(3)")
    row = browser.execute_script(read)
    assert row[1] == pytest.approx(mixed_rows(120)[8, 1])
    assert row[0] == pytest.approx(mixed_rows(120)[3, 0])


def test_chains_play_pause_and_step(page, browser):
    open_page(browser, page)
    steps = "return explorer.chains.nSteps"
    start = browser.execute_script(steps)
    browser.execute_script("document.querySelector('#step').click()")
    assert browser.execute_script(steps) == start + 1
    browser.execute_script("document.querySelector('#play').click()")
    browser.execute_async_script("setTimeout(arguments[0], 400)")
    browser.execute_script("document.querySelector('#play').click()")
    stopped = browser.execute_script(steps)
    assert stopped > start + 2
    browser.execute_async_script("setTimeout(arguments[0], 200)")
    assert browser.execute_script(steps) == stopped


def test_a_base_alone_has_components_to_hold(moons, tmp_path, browser):
    path = tmp_path / "page.html"
    assert write_explorer(path, moons).latent == "components"
    open_page(browser, path)
    mixture = moons.model.base.mixture
    log_weights = np.asarray(mixture.log_weights, np.float64)
    n_switches = "return document.querySelectorAll('#components input').length"
    assert browser.execute_script(n_switches) == len(log_weights)
    # Switches stand in the order of weights, the heaviest first: the second one stays on.
    kept = np.argsort(-log_weights, kind="stable")[1]
    browser.execute_script(
        "document.querySelectorAll('#components input').forEach((input, k) =>"
        " { if (k !== 1) input.click(); })"
    )
    # With one component, exp(-E) is w_k N(x; m_k, S_k): at its mean, its peak.
    mean = np.asarray(mixture.means[kept], np.float64)
    found = browser.execute_script(
        "return explorer.density.model.base.energy(Float64Array.from(arguments[0]), false).value",
        mean.tolist(),
    )
    factor = np.asarray(mixture.factors[kept], np.float64)
    peak = -np.log(np.diag(factor)).sum() - np.log(2 * np.pi)
    assert found == pytest.approx(-(log_weights[kept] + peak), abs=1e-4)


def wait_for_surface(browser):
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 60).until(
        lambda b: b.execute_script("return explorer.surface.isComplete === true")
    )


def test_on_paper_nothing_is_cleared_that_lies_below(page, browser):
    """A canvas that is cleared while it is printed cuts a hole into the one below it."""
    open_page(browser, page)
    browser.execute_script(
        "globalThis.cleared = 0; const { prototype } = CanvasRenderingContext2D;"
        "const { clearRect } = prototype;"
        "prototype.clearRect = function (...place) { cleared += 1; clearRect.apply(this, place); };"
    )
    resize = "window.dispatchEvent(new Event('resize')); return cleared"
    before = browser.execute_script(resize)
    assert before > 0
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert browser.execute_script(resize) == before
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
