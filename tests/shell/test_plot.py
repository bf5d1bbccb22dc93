"""Kind of truth: shell. What is drawn is what the estimator says, read back from the axes."""

import sys

import numpy as np
import pytest
from matplotlib import pyplot as plt

import harmonium as hm
from harmonium.errors import InvalidInputError
from harmonium.estimators import DensityEstimator
from harmonium.likelihood.result import exact_result


@pytest.fixture(autouse=True, scope="module")
def no_screen():
    plt.switch_backend("agg")


@pytest.fixture(autouse=True)
def no_figures_are_left():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def base_alone():
    return DensityEstimator(effort="quick", base="gaussian").fit(
        np.random.default_rng(0).normal(size=(60, 2))
    )


def test_the_training_curve_is_the_history(fitted):
    axes = hm.plot.training_curve(fitted)
    curves = {line.get_label(): line.get_ydata() for line in axes.lines}
    expected = [record["validation_log_likelihood"] for record in fitted.history_]
    np.testing.assert_allclose(curves["validation rows"], expected)
    assert list(curves["kept"]) and axes.lines[2].get_xdata()[0] == fitted.kept_update_
    assert axes.get_xlabel() and "data units" in axes.get_ylabel()


def test_brackets_of_log_z_reach_from_end_to_end(fitted):
    doubted = hm.LogPartition(2.0, 1.0, 4.0, 0.5, 12.0, "ais", "no", trusted=False)
    axes = hm.plot.log_partition({"exact": exact_result(1.5, "quadrature"), "ais": doubted})
    points = [line for line in axes.lines if line.get_gid() == "estimate"]
    assert [float(line.get_xdata()[0]) for line in points] == [1.5, 2.0]
    assert [line.get_markerfacecolor() == "none" for line in points] == [False, True]
    ends = [tuple(line.get_xdata()) for line in axes.lines]
    assert (1.0, 4.0) in ends and (1.5, 1.5) in ends
    assert [text.get_text() for text in axes.get_yticklabels()] == ["exact", "ais"]
    assert len(hm.plot.log_partition(fitted.log_partition_).lines) == 4


def test_the_energy_along_a_line_is_the_free_energy(fitted, rows):
    axes = hm.plot.energy_along(fitted, rows[:1], rows[1:2])
    own, base = (line.get_ydata() for line in axes.lines)
    np.testing.assert_allclose(own[[0, -1]], fitted.free_energy(rows[:2]), rtol=1e-5)
    assert np.abs(own - base).max() > 0.01


def test_the_surface_is_the_log_density_given_a_row(fitted, rows):
    axes = hm.plot.surface(fitted, rows, columns=["x1", "x2"], held=3, n_points=7, depth=1e6)
    mesh = axes.collections[0]
    corners = mesh.get_coordinates()
    centers = (corners[:-1, :-1] + corners[1:, 1:]) / 2
    asked = np.repeat(rows[3:4], 49, axis=0)
    asked[:, :2] = centers.reshape(-1, 2)
    expected = fitted.density_.log_density(asked)
    np.testing.assert_allclose(np.ravel(mesh.get_array()), expected, atol=1e-4)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x1", "x2")


def test_units_are_drawn_by_rows(fitted, rows):
    axes = hm.plot.hidden_units(fitted, rows, most=5)
    drawn = np.sort(np.asarray(axes.images[0].get_array()), axis=0)
    units = [int(text.get_text()) - 1 for text in axes.get_xticklabels()]
    np.testing.assert_allclose(drawn, np.sort(fitted.transform(rows)[:, units], axis=0))


def test_marginals_and_pairs_have_a_place_for_every_column(fitted, rows):
    flat = hm.plot.marginals(fitted, rows, n_draws=64)
    assert [axes.get_xlabel() for axes in flat] == ["x1", "x2", "x3"]
    for axes in flat:
        assert len(axes.patches) >= 2
        assert all(np.isfinite(patch.get_path().vertices).all() for patch in axes.patches)
    grid = hm.plot.pairs(fitted, rows, columns=["x1", "x2"], n_draws=64)
    assert grid.shape == (2, 2)
    below, above = grid[1, 0].lines[0], grid[0, 1].lines[0]
    assert set(below.get_xdata()) <= set(rows[:, 0]) and len(above.get_xdata()) == 64
    assert below.get_color() != above.get_color()


def test_axes_of_ones_own_and_the_style_that_is_set(fitted, rows):
    with plt.style.context("dark_background"):
        figure, axes = plt.subplots(1, 2)
        assert hm.plot.training_curve(fitted, axes=axes[0]) is axes[0]
        assert hm.plot.energy_along(fitted, rows[:1], rows[1:2], axes=axes[1]) is axes[1]
        assert figure.get_facecolor() == (0, 0, 0, 1)
        figure.canvas.draw()
    own = plt.figure().subplots(1, 2)
    assert set(hm.plot.marginals(fitted, columns=["x1", "x2"], axes=own, n_draws=64)) == set(own)


def test_what_cannot_be_drawn_is_named(fitted, base_alone, rows):
    for draw, words in (
        (lambda: hm.plot.training_curve(base_alone), "thorough"),
        (lambda: hm.plot.hidden_units(base_alone, rows[:, :2]), "thorough"),
        (lambda: hm.plot.pairs(fitted, rows, columns=["y"]), "'y'"),
        (lambda: hm.plot.surface(fitted, rows, columns=["x1"]), "1 and row 0"),
        (lambda: hm.plot.energy_along(fitted, rows[:2], rows[:1]), r"\[2, 1\] rows"),
        (lambda: hm.plot.marginals(fitted, axes=plt.subplots()[1]), "got 1"),
        (lambda: hm.plot.log_partition({}), "got none"),
    ):
        with pytest.raises(InvalidInputError, match=words) as raised:
            draw()
        assert "\n" not in str(raised.value)


def test_without_matplotlib_there_is_a_word(fitted, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InvalidInputError, match=r"pip install 'harmonium\[report\]'"):
        hm.plot.training_curve(fitted)
