"""The report of a run: what stands in it, what must not, and that it needs nothing beside
itself."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import with_residual
from test_mixed_cli import call, mixed_rows

from harmonium.cli import budget
from harmonium.cli.report import _is_affordable, _n_scored, report_run
from harmonium.data import Columns, LongTable, Table, as_table
from harmonium.estimators import AnomalyDetector, DensityEstimator
from harmonium.report import RunView, write_report
from harmonium.report.anomalies import oddest_rows
from harmonium.report.association import associations
from harmonium.report.evidence import Evidence, collect
from harmonium.report.headline import make_headline
from harmonium.report.images import image_side
from harmonium.report.marginals import marginals
from harmonium.report.overview import overview
from harmonium.report.pair_charts import _diverse
from harmonium.report.rendering import asset, script_hash
from harmonium.report.units import _distinct
from harmonium.report.verdicts import Seen
from harmonium.report.words import short

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


def fit_mixed():
    """A density with hidden units, a detector and the table of both."""
    table = as_table(evil_rows(), call="fit", kinds={"zip": "categorical"})
    density = DensityEstimator(6, "identity", base="gaussian", n_updates=20)
    density.fit_table(table, container="pyarrow")
    density.density_ = with_residual(density.density_)
    detector = AnomalyDetector().fit(table)
    return density, detector, table


@pytest.fixture(scope="module")
def mixed():
    return fit_mixed()


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


def section_of(page, name):
    """A section, or a collapsed one, by its name."""
    return part_of(
        page, rf'(?s)<(?:section|details) id="{name}"(.*?)(?:<section|<details id|<footer)'
    )


def drawings_of(page):
    """The sentences of all drawings."""
    return re.findall(r'<svg[^>]* aria-label="([^"]+)"', page)


@pytest.fixture(scope="module")
def page(mixed, tmp_path_factory):
    return text_of(tmp_path_factory.mktemp("report") / "report.html", view_of(*mixed))


def test_the_verdict_comes_first_and_in_words(page, mixed):
    body = page[page.index("<body>") :]
    names = ("verdict", "rows", "table", "relations", "samples", "chosen", "training", "partition")
    places = [body.index(f'id="{name}"') for name in (*names, "units", "settings")]
    assert places == sorted(places)
    assert "may be quoted" in section_of(page, "verdict")
    held_out = mixed[0].held_out_
    assert f"{held_out.log_likelihood:.2f}".replace("-", "−") in body
    assert "4,321 × 5" in body
    assert "my &lt;run&gt;" in body and "<run>" not in body


def test_the_page_holds_everything_and_asks_for_nothing(page):
    assert len(page.encode()) < 600_000
    assert "default-src 'none'" in page and "connect-src" not in page
    # Namespaces are no requests; there are none of these either.
    assert not re.findall(r"https?://", page)
    for attribute in ('src="', 'href="'):
        targets = re.findall(attribute + r'([^"]*)"', page)
        assert all(target.startswith(("#", "data:")) for target in targets)
    assert "@import" not in page
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page))


def test_equal_runs_have_equal_pages(page, mixed, tmp_path):
    assert text_of(tmp_path / "report.html", view_of(*mixed)) == page


def test_the_policy_knows_the_script_and_no_other(page):
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    assert part_of(page, r"script-src([^;]*);").strip() == f"'{script_hash(script)}'"


def test_texts_of_the_data_stay_texts(page):
    for text in ("alert(1)", "alert(2)", "alert(3)"):
        assert text in page
    assert "<script>alert" not in page and "<img src=x" not in page
    # A dollar begins no formula, and figures show names letter by letter.
    assert "&lt;script&gt;alert(1)" in section_of(page, "relations") and "$x$" in page


def test_every_figure_is_described_and_takes_the_colors_of_the_page(page):
    assert '<html lang="en">' in page
    drawings = re.findall(r"(?s)<svg.*?</svg>", page)
    labels = drawings_of(page)
    assert len(drawings) == len(labels) > 15 and all(len(label) > 20 for label in labels)
    assert not re.findall(r"#[0-9a-f]{6}", "".join(drawings))
    assert all("scope=" in tag for tag in re.findall(r"<th[ >][^>]*", page))
    assert len(re.findall("<h1", page)) == 1


def test_the_table_is_described_column_by_column(mixed, page):
    evidence = collect(view_of(*mixed))
    found = overview(evidence, marginals(evidence))
    kinds = {column.name: column.kind for column in found.columns}
    assert kinds["ignored"] == "identifier" and kinds["zip"] == "category"
    assert {"category", "date", "number"} <= set(kinds.values())
    missing = np.isnan(mixed[2].values)
    assert found.n_complete == np.sum(~missing.any(axis=1))
    section = section_of(page, "table")
    assert all(column.picture is not None for column in found.columns if column.gap)
    # Four modeled columns have a picture, and all with holes a place in the map of these.
    assert section.count('class="spark"') == 4
    assert section.count('class="holes"') == np.sum(missing.any(axis=0))


def test_columns_that_deserve_a_look_are_named():
    rng = np.random.default_rng(0)
    n = 200
    values = np.stack(
        [
            rng.normal(size=n),
            np.where(rng.random(n) < 0.6, np.nan, rng.normal(size=n)),
            rng.permutation(n) + 10.0,
            np.where(rng.random(n) < 0.4, 0.0, rng.normal(size=n)),
            np.full(n, 4.0),
            np.where(np.arange(n) < 4, 2.0, 1.0),
        ],
        axis=1,
    )
    names = ("plain", "holed", "unique", "spiky", "constant", "steady")
    with pytest.warns(UserWarning, match="constant"):
        columns = Columns.fit(Table(values, names))
    view = Evidence(
        columns, values, np.arange(n), n, np.arange(n), *[np.zeros(n)] * 2, values, *[None] * 3
    )
    found = {column.name: column for column in overview(view, marginals(view)).columns}
    alerts = {name: " ".join(column.alerts) for name, column in found.items()}
    assert alerts["plain"] == ""
    words = {"holed": "missing", "unique": "identifier", "spiky": "spike", "steady": "nearly"}
    for name, word in (words | {"constant": "constant"}).items():
        assert word in alerts[name], (name, alerts)
    assert found["holed"].missing == f"{np.isnan(values[:, 1]).mean():.0%}".replace("%", "\u00a0%")


def test_pairs_show_every_combination_of_kinds():
    is_coded = np.array([False, False, False, True, True])
    pairs = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3), (2, 4), (3, 4)]
    chosen = _diverse(pairs, is_coded)
    assert {(0, 1), (0, 3), (3, 4)} <= set(chosen) and len(chosen) == 6
    assert chosen == sorted(chosen, key=pairs.index)


def test_years_have_no_separator():
    assert [short(value) for value in (2005.0, 12_345.0, 0.5)] == ["2005", "12,345", "0.5"]


def test_without_a_detector_rows_are_ranked_by_density(mixed, tmp_path):
    page = text_of(tmp_path / "report.html", view_of(mixed[0], None, mixed[2]))
    assert "no detector" in page and "Anomaly scores" not in page
    assert "Log-densities of" in page and "p-value</button>" not in page


def planted(mixed):
    """The table with one row of which one cell cannot be, last of all."""
    table = mixed[2]
    values = table.values.copy()
    number = table.names.index(EVIL)
    values[-1] = values[~np.isnan(values).any(axis=1)][0]
    values[-1, number] = 1e4
    return Table(values, table.names, table.fields)


def test_odd_rows_are_looked_for_among_all_and_shown_whole(mixed, tmp_path):
    table = planted(mixed)
    view = view_of(*mixed[:2], table, max_rows=8, identifiers={"id": range(1000, 1160)})
    evidence = collect(view)
    assert evidence.n_rows == 8 and evidence.detection.n_scored == table.n_rows
    odd = oddest_rows(view, evidence, 0)
    first = odd.rows[0]
    assert first.number == str(table.n_rows) and first.cells[0].text == "1159"
    assert first.reasons[0].column == EVIL and len(first.cells) == len(odd.columns) == 5
    blamed = [name for name, cell in zip(odd.columns, first.cells, strict=True) if cell.reason]
    assert EVIL in blamed
    # One scale for all bars: the largest rise of all rows is the whole.
    reasons = [reason for row in odd.rows for reason in row.reasons]
    rises = np.array([float(reason.rise.replace(",", "")) for reason in reasons])
    assert len(reasons) > 2 and rises.argmax() == 0
    shares = [reason.share for reason in reasons]
    np.testing.assert_allclose(shares, 100 * rises / rises.max(), atol=0.6)
    page = text_of(tmp_path / "report.html", view)
    assert f"of all {table.n_rows} rows" in page and "<mark>10000</mark>" in page


def test_few_rows_are_scored_where_time_is_short(mixed):
    view = view_of(*mixed, max_rows=10, n_scored=60)
    detection = collect(view).detection
    holed = np.isnan(mixed[2].values[:, mixed[0].density_.columns.modeled_index]).any(axis=1)
    assert detection.n_scored == int(60 / (1 + 9 * holed.mean())) >= 10


def test_without_a_table_the_page_says_so(mixed, tmp_path):
    view = view_of(mixed[0], mixed[1], None, history=(), metrics={})
    summary = write_report(tmp_path / "report.html", view)
    page = (tmp_path / "report.html").read_text()
    assert (summary.n_rows, summary.n_anomalous) == (0, None)
    assert "without rows of data" in page and "history of the training is not at hand" in page
    assert drawings_of(page) == []


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
    assert summary.status == "untrusted" and "log Z is not finite" in summary.answer


def test_what_was_chosen_stands_there(page, mixed):
    section = section_of(page, "chosen")
    assert "Gaussian" in section and "kept: it beats the base" in section
    for stage in mixed[0].chosen_.stages:
        assert f"{stage.score:.2f}".replace("-", "−") in section
    assert "levels" in section and "&lt;script&gt;" in section


def test_a_base_alone_has_no_units_and_no_training(quick, tmp_path):
    density, table = quick
    view = view_of(density, None, table)
    # The table is small, which is a reason for caution.
    assert write_report(tmp_path / "report.html", view).status == "caution"
    page = (tmp_path / "report.html").read_text()
    section = section_of(page, "chosen")
    assert "mixture of" in section and "none was trained" in section
    assert section.count("<tr>") > 5
    assert "Nothing was trained" in page and 'id="units"' not in page
    assert not [label for label in drawings_of(page) if "updates" in label]


def test_a_density_that_a_simpler_one_beats_is_not_trusted(quick, tmp_path):
    density, _ = quick
    worse = replace(density.density_.judgment.comparisons[0], gain=-3.0, standard_error=0.1)
    judgment = replace(density.density_.judgment, comparisons=(worse,))
    view = replace(
        view_of(density, None, None), density=replace(density.density_, judgment=judgment)
    )
    assert write_report(tmp_path / "report.html", view).status == "untrusted"


def judged(density, **changes):
    """The view of a density that held-out rows and draws speak well of, but for `changes`."""
    found = density.density_.judgment
    sound = replace(found, n_rows=900, n_held_out=100, **changes)
    return replace(view_of(density, None, None), density=replace(density.density_, judgment=sound))


def test_the_headline_is_the_worst_of_three_verdicts(quick):
    density, _ = quick
    comparison = replace(density.density_.judgment.comparisons[0], gain=1.0, standard_error=0.1)
    drawn = density.density_.judgment.draw_comparison
    odd = replace(drawn, marginals=replace(drawn.marginals, value=0.9))
    cases = [
        ({}, "trusted", "good"),
        ({"draw_comparison": odd}, "caution", "caution"),
        ({"comparisons": (replace(comparison, gain=0.0),)}, "caution", "caution"),
        ({"comparisons": (replace(comparison, gain=-1.0),)}, "untrusted", "bad"),
        ({"log_partition": False}, "ranking", "caution"),
    ]
    for changes, status, state in cases:
        view = judged(density, **{"comparisons": (comparison,)} | changes)
        found = make_headline(Seen(view, None, {}, None), None, None)
        assert (found.status, found.state) == (status, state), changes
        assert len(found.verdicts) == 3
        facts = [fact.passed for verdict in found.verdicts for fact in verdict.facts]
        assert (found.state == "good") == all(facts)


def test_draws_that_differ_are_named(quick, tmp_path):
    density, _ = quick
    found = density.density_.judgment.draw_comparison
    odd = replace(found, marginals=replace(found.marginals, value=0.9, columns=("zip",)))
    judgment = replace(density.density_.judgment, draw_comparison=odd)
    view = replace(
        view_of(density, None, None), density=replace(density.density_, judgment=judgment)
    )
    page = text_of(tmp_path / "report.html", view)
    assert "Draws differ from the training rows: the distribution of zip is off by 0.90" in page


def test_repairs_and_gaps_of_the_history_are_told(mixed, tmp_path):
    history = (
        {"update": 0.0, "seconds": 0.1, "event": "", "validation_log_likelihood": -3.0},
        {"update": 5.0, "seconds": 1.0, "event": "went <wrong>", "energy_gap": float("nan")},
    )
    view = view_of(mixed[0], None, None, history=history, metrics={"repairs": ["went <wrong>"]})
    page = text_of(tmp_path / "report.html", view)
    assert "went &lt;wrong&gt;" in page
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
    density = DensityEstimator(4, effort="quick", base="gaussian", marginals="affine").fit_table(
        table
    )
    page = text_of(tmp_path / "report.html", view_of(density, None, table))
    assert page.count('src="data:image/png;base64,') >= 6
    assert "49 rows of the data" in page
    assert 'id="table"' not in page


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
    assert f"{table.n_rows} rows, drawn at random of 99,999" in page
    numbers = re.findall(r'<th scope="row" data-order="(\d+)"', page)
    assert len(numbers) == 10 and all(1001 <= int(number) <= 1160 for number in numbers)


def test_samples_are_set_beside_two_halves_of_the_rows(mixed, tmp_path):
    view = view_of(*mixed, classifiers={"boosted trees": (0.25, 1.0)})
    labels = drawings_of(text_of(tmp_path / "report.html", view))
    (label,) = [label for label in labels if label.startswith("How alike")]
    figures = dict(re.findall(r"(columns|pairs|boosted trees) (\d\.\d\d)", label))
    assert figures["boosted trees"] == "0.25"
    assert 0.7 < float(figures["columns"]) <= 1 and 0.5 < float(figures["pairs"]) <= 1


def test_rows_drawn_from_a_longer_file_keep_their_numbers(mixed, tmp_path):
    density, detector, table = mixed
    fit = SimpleNamespace(density=density.density_, history=())
    longer = LongTable(tmp_path / "table.csv", 5000, 30 * np.arange(table.n_rows) + 1)
    metrics = {"seconds": 1.0, "rows": 5000}
    report_run(tmp_path, fit, detector.detector_, table, metrics, {"seed": 0}, longer)
    page = (tmp_path / "report.html").read_text()
    numbers = [int(n) for n in re.findall(r'<th scope="row" data-order="(\d+)"', page)]
    assert len(numbers) == 10 and all(n % 30 == 1 for n in numbers) and max(numbers) > 160
    assert "drawn at random of 5,000" in page and "boosted trees" not in page


def test_what_takes_long_is_in_proportion_to_the_fit(monkeypatch):
    monkeypatch.setattr(budget, "clock", SimpleNamespace(seconds=55.0))
    assert not _is_affordable({"seconds": 5.0}, {})
    assert _is_affordable({"seconds": 50.0}, {})
    assert not _is_affordable({"seconds": 50.0}, {"time_budget": 60.0})
    assert _is_affordable({"seconds": 50.0}, {"time_budget": 90.0})
    assert _n_scored({"time_budget": 10.0}) == 0
    assert 0 < _n_scored({"time_budget": 60.0}) < _n_scored({"time_budget": 1e4}) == _n_scored({})


def luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_on_its_ground(theme):
    style = asset("report.css")
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
    assert answer["n_rows"] == 100 and answer["status"] in ("trusted", "caution")
    page = output.read_text()
    assert "beside 100 rows" in page and "160 rows, 5 columns" in page
    assert "boosted trees" in page
    assert "table.csv" in page and str(folder) not in page
    assert call("report", run, table, "-o", output) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_the_report_belongs_to_the_run(folder, capsys):
    (folder / "run" / "report.html").unlink(missing_ok=True)
    assert call("report", folder / "run") == 0
    assert "may be quoted" in capsys.readouterr().out
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
