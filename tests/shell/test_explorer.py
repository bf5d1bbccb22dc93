"""Kind of truth: shell. The explorer's page is written whole, or not at all and with a word."""

import json
import re
from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from shell.test_cli import call

from harmonium.data import as_table
from harmonium.errors import InvalidInputError
from harmonium.estimators import DensityEstimator
from harmonium.model import feature_maps
from harmonium.report import write_explorer
from harmonium.report.explorer_state import steps_of


class OwnMap(eqx.Module):
    """A map that only Python can run."""

    def __call__(self, x):
        return jnp.sin(x)


def stored(path):
    """What a page holds."""
    text = path.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="model">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_a_page_shows_rows_or_draws(fitted, rows, tmp_path):
    path = tmp_path / "page.html"
    assert write_explorer(path, fitted.density_, n_rows=20).are_draws
    table = as_table(rows, call="test", fields=fitted.density_.columns.fields)
    found = write_explorer(path, fitted.density_, table=table, n_rows=50, name="</script><b>")
    assert (found.n_rows, found.are_draws, found.latent) == (50, False, "hidden units")
    text = path.read_text(encoding="utf-8")
    assert found.n_bytes == path.stat().st_size < 5e6
    # The scripts of the page and its data end where they should, whatever names hold.
    assert text.count("</script>") == 2 and "<b>" not in text
    assert "http://" not in text and "https://" not in text
    assert [column["name"] for column in stored(path)["columns"]] == ["x1", "x2", "x3"]


def test_a_map_of_ones_own_has_no_page(fitted, tmp_path):
    density = fitted.density_
    model = eqx.tree_at(lambda m: m.feature_map, density.model, OwnMap())
    own = replace(density, model=model)
    with pytest.raises(InvalidInputError, match=r"got OwnMap, .* Try: .*harmonium\.plot"):
        write_explorer(tmp_path / "page.html", own)
    assert not list(tmp_path.iterdir())
    assert steps_of(feature_maps.Identity(2)) == []
    assert steps_of(OwnMap()) is None


def test_what_does_not_fit_is_not_written(fitted, tmp_path, monkeypatch):
    monkeypatch.setattr("harmonium.report.explorer.MOST_BYTES", 50_000)
    with pytest.raises(InvalidInputError, match=r"got one of 0\.1 MB") as raised:
        write_explorer(tmp_path / "page.html", fitted.density_)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_one_column_is_no_plane(tmp_path):
    one = DensityEstimator(effort="quick").fit(np.random.default_rng(0).normal(size=(80, 1)))
    with pytest.raises(InvalidInputError, match="two columns"):
        write_explorer(tmp_path / "page.html", one.density_)


@pytest.fixture
def run(fitted, rows, tmp_path):
    """A model and its table on disk."""
    fitted.save(tmp_path / "model.safetensors")
    np.savetxt(tmp_path / "rows.csv", rows, delimiter=",", header="x1,x2,x3,x4", comments="")
    return tmp_path


def test_the_command_writes_a_page(run, capsys):
    model, page = run / "model.safetensors", run / "explorer.html"
    assert call("explore", model, run / "rows.csv", "--rows", 30, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["n_rows"] == 30 and not told["are_draws"] and told["explorer"] == str(page)
    before = page.read_bytes()
    assert call("explore", model) == 2
    assert "--overwrite" in capsys.readouterr().err and page.read_bytes() == before
    assert call("explore", model, "--rows", 30, "--overwrite") == 0
    assert "30 draws of the model" in capsys.readouterr().out


def test_wrong_calls_have_one_line(run, capsys):
    model = run / "model.safetensors"
    for arguments, words in (
        (("explore", run / "nothing"), "no such file"),
        (("explore", model, "-o", run / "page.pdf"), ".html"),
        (("explore", model, "-o", run / "a" / "page.html"), "does not exist"),
    ):
        assert call(*arguments) == 2
        told = capsys.readouterr().err
        assert words in told and len(told.splitlines()) == 1
