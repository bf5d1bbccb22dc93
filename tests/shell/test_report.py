"""The report of a run: what stands in it, what must not, and that it needs nothing beside
itself."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import with_residual
from test_mixed_cli import call, mixed_rows

from harmonium.data import Columns, Table, as_table
from harmonium.estimators import AnomalyDetector, DensityEstimator
from harmonium.report import RunView, write_report
from harmonium.report import page as page_module
from harmonium.report.association import associations
from harmonium.report.images import image_side
from harmonium.report.units import _distinct

EVIL = "<script>alert(1)</script>"
WORSE = "</script><img src=x onerror=alert(2)>&lt;b&gt; %{x} \u2028 $x$"


def evil_rows(n=160):
    """A mixed table with holes, and names that are markup."""
    rows = mixed_rows(n).rename(columns={"size": EVIL, "color": WORSE, "name": "ignored"})
    rows[WORSE] = rows[WORSE].replace({"red": '"><script>alert(3)</script>', "blue": "@data"})
    holes = np.random.default_rng(1).random(rows.shape) < 0.15
    holes[:, -1] = False
    return rows.mask(holes)


@pytest.fixture(scope="module")
def quick():
    """A density that is its base alone, and its table."""
    table = as_table(evil_rows(), call="fit", kinds={"zip": "categorical"})
    estimator = DensityEstimator(6, effort="quick", base="mixture")
    return estimator.fit_table(table, container="pyarrow"), table


@pytest.fixture(scope="module")
def mixed():
    """A density, a detector and the table of both."""
    table = as_table(evil_rows(), call="fit", kinds={"zip": "categorical"})
    density = DensityEstimator(6, "identity", base="gaussian", n_updates=20)
    density.fit_table(table, container="pyarrow")
    density.density_ = with_residual(density.density_)
    detector = AnomalyDetector().fit(table)
    return density, detector, table


def view_of(density, detector, table, **changes):
    metrics = {
        "held_out": vars(density.held_out_),
        "kept_update": density.kept_update_,
        "diagnostics": density.diagnostics_ and vars(density.diagnostics_),
        "updates": int(density.history_[-1]["update"]) if density.history_ else 0,
        "repairs": [],
        "rows": 4321,
        "seconds": 12.0,
    }
    view = RunView(
        density=density.density_,
        detector=None if detector is None else detector.detector_,
        history=density.history_,
        metrics=metrics,
        settings={"n_hidden": 6, "detector": {"contamination": "auto"}},
        provenance={"jax": "1.2.3"},
        table=table,
        name="my <run>",
    )
    return replace(view, **changes)


def text_of(path, view):
    write_report(path, view)
    return path.read_text(encoding="utf-8")


def part_of(page, pattern):
    """The first group of a pattern that the page must hold."""
    found = re.search(pattern, page)
    assert found
    return found[1]


CHARTS = r'<script type="application/json" id="charts">(.*?)</script>'


def charts_of(page):
    return json.loads(part_of(page, CHARTS))


@pytest.fixture(scope="module")
def page(mixed, tmp_path_factory):
    return text_of(tmp_path_factory.mktemp("report") / "report.html", view_of(*mixed))


def own_part(page):
    """The page without the library that draws."""
    return re.sub(r"<script>/\*\*.*?</script>", "", page, flags=re.DOTALL)


def test_the_verdict_comes_first_and_in_words(page, mixed):
    body = page[page.index("<body>") :]
    assert body.index('id="verdict"') < body.index('id="anomalies"') < body.index('id="scores"')
    names = ("samples", "chosen", "training", "partition", "units")
    places = [body.index(f'id="{name}"') for name in names]
    assert places == sorted(places)
    assert "Trusted" in body and "may be quoted" in body
    held_out = mixed[0].held_out_
    assert f"{held_out.log_likelihood:.2f}".replace("-", "−") in body
    assert "4,321 × 5" in body
    assert "my &lt;run&gt;" in body and "<run>" not in body


def test_the_page_holds_everything_and_asks_for_nothing(page):
    assert len(page.encode()) < 5_000_000
    rest = own_part(page)
    assert "default-src 'none'" in rest and "connect-src" not in rest
    # Namespaces are no requests; there are none of these either in what is ours.
    assert not re.findall(r"https?://", rest)
    for attribute in ('src="', 'href="'):
        targets = re.findall(attribute + r'([^"]*)"', rest)
        assert all(target.startswith(("#", "data:")) for target in targets)
    assert "@import" not in rest and "url(" not in rest


def test_the_policy_knows_the_scripts_and_no_others(page):
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    assert len(scripts) == 2
    for script in scripts:
        assert f"'{page_module._hash(script)}'" in page
    assert "'unsafe-inline'" not in part_of(page, r"script-src([^;]*);")


def test_texts_of_the_data_stay_texts(page):
    rest = own_part(page)
    for text in ("alert(1)", "alert(2)", "alert(3)"):
        assert text in rest
    assert "<script>alert" not in rest and "<img src=x" not in rest
    assert not set(part_of(page, CHARTS)) & set("<>&\u2028")
    charts = charts_of(page)
    titles = json.dumps(charts, ensure_ascii=False)
    assert "&lt;script&gt;alert(1)" in titles and "<script" not in titles


def test_every_figure_is_described(page):
    assert '<html lang="en">' in page
    charts = charts_of(page)
    drawn = re.findall(
        r'<div class="chart" role="img" aria-label="([^"]+)" data-chart="(.*?)"', page
    )
    assert {name for _, name in drawn} == set(charts)
    assert all(len(label) > 20 for label, _ in drawn)
    rest = own_part(page)
    drawings = re.findall(r"<svg[^>]*>", rest)
    assert drawings and all("aria-label=" in tag for tag in drawings)
    assert all("scope=" in tag for tag in re.findall(r"<th[ >][^>]*", rest))


def test_missing_cells_dates_and_categories_are_shown(page):
    assert "missing" in page or "→" in page
    charts = charts_of(page)
    assert {"scores", "log-densities", "training", "log-partition", "dependence"} <= set(charts)
    # Four modeled columns: the identifier is left out.
    assert sum(name.startswith("column-") for name in charts) == 4
    kinds = [chart["layout"].get("xaxis", {}).get("type") for chart in charts.values()]
    assert "date" in kinds


def test_without_a_detector_rows_are_ranked_by_density(mixed, tmp_path):
    page = text_of(tmp_path / "report.html", view_of(mixed[0], None, mixed[2]))
    assert "no detector" in page and "scores" not in charts_of(page)
    assert "log-densities" in charts_of(page) and "p-value</th>" not in page


def test_without_a_table_the_page_says_so(mixed, tmp_path):
    view = view_of(mixed[0], mixed[1], None, history=(), metrics={})
    summary = write_report(tmp_path / "report.html", view)
    page = (tmp_path / "report.html").read_text()
    assert (summary.n_rows, summary.n_anomalous) == (0, None)
    assert "without rows of data" in page and "history of the training is not at hand" in page
    assert charts_of(page) == {}


def test_what_cannot_be_backed_is_not_quoted(mixed, tmp_path):
    density = mixed[0].density_
    value = f"{mixed[0].held_out_.log_likelihood:.2f}".replace("-", "−")
    judgment = replace(density.judgment, log_partition=False)
    doubtful = replace(density, judgment=judgment, training="log Z is NOT reliable")
    view = replace(view_of(*mixed[:2], None), density=doubtful)
    assert write_report(tmp_path / "report.html", view).status == "ranking"
    page = (tmp_path / "report.html").read_text()
    assert "Ranking only" in page and "do not" in page
    assert f'class="value">{value}' not in page and "gain over" not in page
    broken = replace(density, log_partition=replace(density.log_partition, value=float("nan")))
    summary = write_report(tmp_path / "report.html", replace(view, density=broken))
    assert summary.status == "untrusted" and summary.answer.startswith("No.")


def test_what_was_chosen_stands_there(page, mixed):
    section = part_of(page, r'(?s)<section id="chosen">(.*?)</section>')
    assert "Gaussian" in section and "kept: it beats the base" in section
    for stage in mixed[0].chosen_.stages:
        assert f"{stage.score:.2f}".replace("-", "−") in section
    assert "levels" in section and "&lt;script&gt;" in section


def test_a_base_alone_has_no_units_and_no_training(quick, tmp_path):
    density, table = quick
    view = view_of(density, None, table)
    assert write_report(tmp_path / "report.html", view).status == "trusted"
    page = (tmp_path / "report.html").read_text()
    section = part_of(page, r'(?s)<section id="chosen">(.*?)</section>')
    assert "mixture of" in section and "none was trained" in section
    assert section.count("<tr>") > 5
    assert "Nothing was trained" in page and 'id="units"' not in page
    assert "needed no repairs" not in page and "the base alone" in page
    assert not {"training", "log-partition"} & set(charts_of(page))


def test_a_density_that_a_simpler_one_beats_is_not_trusted(quick, tmp_path):
    density, _ = quick
    worse = replace(density.density_.judgment.comparisons[0], gain=-3.0, standard_error=0.1)
    judgment = replace(density.density_.judgment, comparisons=(worse,))
    view = replace(
        view_of(density, None, None), density=replace(density.density_, judgment=judgment)
    )
    assert write_report(tmp_path / "report.html", view).status == "untrusted"


def test_draws_that_differ_are_told(quick, tmp_path):
    density, _ = quick
    found = density.density_.judgment.draw_comparison
    odd = replace(found, marginals=replace(found.marginals, value=0.9, columns=("zip",)))
    judgment = replace(density.density_.judgment, draw_comparison=odd)
    view = replace(
        view_of(density, None, None), density=replace(density.density_, judgment=judgment)
    )
    page = text_of(tmp_path / "report.html", view)
    assert "Draws differ from the training rows: zip by 0.90" in page


def test_repairs_and_gaps_of_the_history_are_told(mixed, tmp_path):
    history = (
        {"update": 0.0, "seconds": 0.1, "event": "", "validation_log_likelihood": -3.0},
        {"update": 5.0, "seconds": 1.0, "event": "went <wrong>", "energy_gap": float("nan")},
    )
    view = view_of(mixed[0], None, None, history=history, metrics={"repairs": ["went <wrong>"]})
    page = text_of(tmp_path / "report.html", view)
    assert "went &lt;wrong&gt;" in page and "1 repair(s)" in page
    assert "no running log Z" in page


def pixel_table(names=None):
    pixels = np.random.default_rng(0).integers(0, 17, (60, 49)).astype(float)
    return Table(pixels, names or tuple(f"pixel_{i}" for i in range(49)))


def side_of(table):
    return image_side(Columns.fit(table), table.values)


def test_square_tables_of_pixels_are_images():
    assert side_of(pixel_table()) == 7
    plain = tuple(f"x{i}" for i in range(49))
    assert side_of(pixel_table(plain)) == 7
    table = pixel_table(plain)
    # Of columns in units of their own, no row is a picture.
    assert side_of(Table(table.values + np.arange(49), plain)) == 0
    assert side_of(Table(table.values * np.geomspace(1, 1000, 49), plain)) == 0
    assert side_of(Table(table.values[:, :36], plain[:36])) == 0
    holed = np.where(table.values > 15, np.nan, table.values)
    assert side_of(Table(holed, plain)) == 0


def test_images_are_shown_as_such(tmp_path):
    table = pixel_table()
    density = DensityEstimator(4, effort="quick", base="gaussian").fit_table(table)
    page = text_of(tmp_path / "report.html", view_of(density, None, table))
    assert page.count('src="data:image/png;base64,') >= 6
    assert "49 rows of the data" in page
    assert not any(name.startswith("column-") for name in charts_of(page))


def test_units_that_tell_the_same_are_told_once():
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 100))
    means = np.stack([first, second, 1 - first, np.full(100, 0.5), 0.9 * first], axis=1)
    kept, n_alike = _distinct(means, means.std(axis=0))
    assert sorted(kept.tolist()) in ([0, 1], [1, 2])
    assert sum(n_alike.values()) == 2 and n_alike[1] == 0


def test_association_knows_its_kinds():
    rng = np.random.default_rng(0)
    number = rng.normal(size=400)
    code = (number > 0).astype(float)
    other = rng.integers(0, 3, 400).astype(float)
    values = np.stack([number, -(number**3), code, other, np.full(400, 2.0)], axis=1)
    found = associations(values, np.array([False, False, True, True, False]))
    np.testing.assert_allclose(found, found.T)
    assert found[0, 1] == pytest.approx(-1)
    assert found[0, 2] == pytest.approx(0.866, abs=0.01)
    assert 0 <= found[2, 3] < 0.15 and found[2, 2] == 1
    assert np.isnan(found[0, 4])


def test_a_failure_leaves_the_old_report(mixed, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def fail(*_args, **_kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr("harmonium.files.os.replace", fail)
    with pytest.raises(OSError, match="no space"):
        write_report(path, view_of(mixed[0], None, None))
    assert path.read_text() == "old" and [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_large_tables_are_sampled_and_keep_their_row_numbers(mixed, tmp_path):
    table = mixed[2]
    view = view_of(
        *mixed, row_numbers=np.arange(table.n_rows) + 1001, n_table_rows=99_999, max_rows=50
    )
    summary = write_report(tmp_path / "report.html", view)
    page = (tmp_path / "report.html").read_text()
    assert summary.n_rows == 50
    assert "among 50 drawn at random of 99,999" in page
    numbers = re.findall(r'<th scope="row">(1,\d{3})', page)
    assert len(numbers) == 10 and all(1001 <= int(n.replace(",", "")) <= 1160 for n in numbers)


def luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_on_its_ground(theme):
    style = page_module._asset("report.css")
    blocks = re.findall(r":root \{(.*?)\}", style, flags=re.DOTALL)
    colors = dict(re.findall(r"--([\w-]+): (#\w{6})", blocks[theme == "dark"]))
    pairs = [(text, ground) for text in ("text", "soft", "data") for ground in ("card", "page")]
    pairs += [(tone, f"{tone}-back") for tone in ("good", "warn", "bad")]
    pairs += [("warn", "card"), ("samples", "card"), ("text", "grid")]
    for text, ground in pairs:
        light, dark = sorted((luminance(colors[text]), luminance(colors[ground])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report-run")
    rows = evil_rows()
    rows.to_csv(folder / "table.csv", index=False)
    code = call(
        "fit", folder / "table.csv", "-o", folder / "run", "--effort", "quick",
        "--kind", "zip=categorical", "--no-detector",
    )  # fmt: skip
    assert code == 0
    return folder


def test_the_command_makes_the_report_of_a_run(folder, tmp_path, capsys):
    run, table, output = folder / "run", folder / "table.csv", tmp_path / "page.html"
    assert call("report", run, table, "-o", output, "--rows", 100, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["n_rows"] == 100 and answer["status"] == "trusted"
    page = output.read_text()
    assert "among 100 drawn at random of 160" in page
    assert "table.csv" in page and str(folder) not in page
    assert call("report", run, table, "-o", output) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_the_report_belongs_to_the_run(folder, capsys):
    (folder / "run" / "report.html").unlink(missing_ok=True)
    assert call("report", folder / "run") == 0
    assert "Can it be trusted?" in capsys.readouterr().out
    assert "without rows of data" in (folder / "run" / "report.html").read_text()
    assert call("report", folder / "run", "--overwrite") == 0
    # A folder with a report in it is still one that may be replaced.
    code = call(
        "fit", folder / "table.csv", "-o", folder / "run", "--effort", "quick",
        "--kind", "zip=categorical", "--no-detector", "--overwrite",
    )  # fmt: skip
    assert code == 0


@pytest.mark.parametrize("arguments", [["-o", "page.txt"], ["-o", "."], ["absent.csv"]])
def test_wrong_uses_of_the_command(arguments, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    run = folder / "run"
    assert call("report", run, *arguments) == 2
    assert call("report", tmp_path / "run") == 2
    assert "Traceback" not in capsys.readouterr().err
