"""Kind of truth: shell. What notebooks show: facts, verdict, no script, nothing unescaped."""

from html.parser import HTMLParser

import jax
import numpy as np
import pandas as pd
import pytest
import sklearn

import harmonium as hm
from harmonium.cards import card


class Reader(HTMLParser):
    """Tags that are open at the end, all that were met, and the text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.met, self.texts = [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.met.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def text_of(shown) -> str:
    """The text of a card, once it is seen to be well formed and without what runs or loads."""
    reader = Reader(shown)
    assert reader.open == []
    assert reader.met <= {"div", "strong", "span", "table", "tbody", "tr", "th", "td"}
    assert len(shown) < 6000 and "url(" not in shown
    return " ".join(" ".join(reader.texts).split())


def test_texts_are_escaped():
    shown = card("<b>", {"<i>": "<script>alert(1)</script>", "none": None}, verdict="a & b")
    assert text_of(shown) == "<b> <i> <script>alert(1)</script> a & b"
    assert "<script" not in shown


def test_a_fitted_density_says_what_it_is(fitted):
    found = text_of(fitted._repr_html_())
    for words in ("n_hidden=8", "rows, 3 of 4 columns modeled", "log Z", fitted.verdict_):
        assert words in found
    assert "effort" not in found
    mark = "✓ trusted" if fitted.density_.trusted else "✗ not"
    assert mark in found
    for own in (fitted.log_partition_, fitted.density_.judgment, fitted.held_out_):
        assert type(own).__name__ in text_of(own._repr_html_())
    if fitted.diagnostics_ is not None:
        assert fitted.diagnostics_.describe() in text_of(fitted.diagnostics_._repr_html_())


def test_estimators_before_they_are_fitted():
    for estimator in (hm.DensityEstimator(), hm.AnomalyDetector(), hm.Imputer()):
        found = text_of(estimator._repr_html_())
        assert "not fitted" in found and "all at their defaults" in found
    odd = hm.DensityEstimator(kinds={"<img src=x onerror=alert(1)>": "integer"})
    assert "<img" not in odd._repr_html_()


def test_detector_imputer_and_monitor_have_cards(rows):
    table = pd.DataFrame(rows[:, :2], columns=["<a>", "b"])
    detector = hm.AnomalyDetector(random_state=1).fit(table[:120])
    found = text_of(detector._repr_html_())
    assert "random_state=1" in found and detector.verdict_ in found
    monitor = hm.Monitor(detector)
    monitor.update(table[120:])
    assert "rows so far 80" in text_of(monitor._repr_html_())
    imputer = hm.Imputer(n_trees=0).fit(table[:120])
    assert imputer.estimator_.verdict_ in text_of(imputer._repr_html_())


def test_scikit_learn_decides_whether_cards_are_shown():
    estimator = hm.DensityEstimator()
    assert set(estimator._repr_mimebundle_()) == {"text/plain", "text/html"}
    with sklearn.config_context(display="text"):
        assert estimator._repr_html_() is None
        assert set(estimator._repr_mimebundle_()) == {"text/plain"}


def test_results_of_the_core_have_cards():
    model = hm.Harmonium(2, 2, key=jax.random.key(0))
    drawn = hm.sample(model, 16, key=jax.random.key(1))
    assert "16 draws of 2 units" in text_of(drawn._repr_html_())
    assert drawn.diagnostics.verdict in text_of(drawn.diagnostics._repr_html_())


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.5, 12345])
def test_numbers_are_readable(value):
    found = text_of(card("t", {"n": value if isinstance(value, int) else float(value)}))
    expected = {np.inf: "∞", -1.5: "−1.5", 12345: "12,345"}
    assert found == f"t n {expected.get(value, 'unknown')}"
