"""Kind of truth: closed forms through the whole path, and the commands as users type them.

One fit without an energy and one with a made-up energy on 120 striped images of 4 x 4 pixels.
Seeds: images 0, fits 0, draws 1.
"""

import json
from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

import harmonium as hm
from harmonium.cli.app import run as run_command
from harmonium.data.images import read_images
from harmonium.errors import ArtifactError, InvalidInputError
from harmonium.inference.fit_images import augmented
from harmonium.inference.image_density import N_PROPOSALS
from harmonium.learning.noise_contrastive import log_weights_of
from harmonium.report.pngs import as_bytes, write_png

LEVELS = 5


def make_images(n=120):
    """Lower halves repeat upper halves, with a step of noise now and then."""
    rng = np.random.default_rng(0)
    upper = rng.integers(0, LEVELS, (n, 2, 4))
    lower = np.clip(
        upper + rng.integers(-1, 2, upper.shape) * (rng.random(upper.shape) < 0.3), 0, 4
    )
    return np.concatenate([upper, lower], axis=1).astype(np.uint8)


IMAGES = make_images()


@pytest.fixture(scope="module")
def fitted():
    return hm.ImageDensity(effort="quick", n_hidden=4, channels=(2, 3)).fit(IMAGES)


@pytest.fixture(scope="module")
def run(fitted, tmp_path_factory):
    """A file of the density, the images, and a mask of the lower half."""
    folder = tmp_path_factory.mktemp("images")
    fitted.save(folder / "model.safetensors")
    np.save(folder / "images.npy", IMAGES)
    mask = np.zeros((4, 4))
    mask[2:] = 1
    np.save(folder / "mask.npy", mask)
    return folder


def test_probabilities_of_all_levels_of_a_pixel_add_up_to_one_at_most(fitted):
    """From below by Jensen's inequality, and by not much."""
    images = np.repeat(IMAGES[:1], LEVELS, axis=0)
    images[:, 1, 1] = np.arange(LEVELS)
    log_p = fitted.score_samples(images)
    others = fitted.density_.pixels
    # Given all other pixels: P(level | others) by the ratio to their sum is a distribution, whose
    # likeliest level is near that of the pixel that it repeats.
    share = np.exp(log_p - np.logaddexp.reduce(log_p))
    assert abs(share @ np.arange(LEVELS) - IMAGES[0, 3, 1]) < 1.5
    assert others.n_levels == LEVELS


def test_bits_are_the_log_probability_per_number(fitted):
    bits = fitted.bits_per_dimension(IMAGES[:5])
    np.testing.assert_allclose(bits, -fitted.score_samples(IMAGES[:5]) / (16 * np.log(2)))
    held = fitted.held_out_
    assert held.model == pytest.approx(held.base, abs=1e-6)
    assert held.model < held.independent


def test_a_score_depends_on_no_other_image(fitted):
    alone = np.concatenate([fitted.score_samples(IMAGES[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(fitted.score_samples(IMAGES[:3]), alone, rtol=1e-6)


def test_what_is_hidden_follows_what_is_known(fitted):
    """Draws of a lower half are near the upper one, and the upper one stays."""
    mask = np.zeros((4, 4), bool)
    mask[2:] = True
    drawn = fitted.inpaint(IMAGES[:30], mask, n_draws=20, random_state=1)[..., 0]
    assert np.array_equal(drawn[:, :, :2], np.repeat(IMAGES[None, :30, :2], 20, axis=0))
    error = np.abs(drawn.mean(axis=0)[:, 2:] - IMAGES[:30, 2:]).mean()
    blind = np.abs(IMAGES[:, 2:].mean(axis=0) - IMAGES[:30, 2:]).mean()
    assert error < 0.6 * blind


def test_weights_choose_among_the_draws_of_what_is_hidden(fitted):
    """With an energy that a unit of known effect makes, draws move to where it is low."""
    density = fitted.density_
    model = density.model
    # Units of either sign: what they add grows with the size of the mean feature.
    signs = jnp.asarray([[1.0], [-1.0]] * 2)
    weights = 200 * signs * jnp.ones_like(model.weights) / model.n_features
    changed = eqx.tree_at(lambda m: m.weights, model, weights)
    moved = replace(density, model=changed)
    mask = np.ones(16, bool)
    mask[:2] = False
    rows = IMAGES[:1].reshape(1, 16).astype(np.int64)
    plain = density.inpaint(rows, mask, 64, seed=1)
    tilted = moved.inpaint(rows, mask, 64, seed=1)
    assert plain.ess[0] == pytest.approx(N_PROPOSALS) and tilted.ess[0] < 0.8 * N_PROPOSALS
    means = [
        float(density_mean(changed, density.pixels, own.draws[:, 0])) for own in (plain, tilted)
    ]
    assert means[1] > means[0]


def density_mean(model, pixels, rows):
    """The mean of what hidden units add, over rows of levels."""
    units = pixels.dequantize(rows.astype(np.int64), np.full(rows.shape, 0.5))
    return log_weights_of(model, jnp.asarray(units, jnp.float32)).mean()


def test_odd_pixels_are_the_reasons(fitted):
    image = IMAGES[:1].copy()
    image[0, 0, 0], image[0, 2, 0] = 0, 4
    reasons = fitted.explain(image)[0, :, :, 0]
    assert {divmod(int(i), 4) for i in np.argsort(-reasons.ravel())[:2]} == {(0, 0), (2, 0)}
    assert fitted.p_values(image)[0] < fitted.p_values(IMAGES[:1])[0]


def test_files_bring_everything_back(fitted, run):
    again = hm.load(run / "model.safetensors")
    np.testing.assert_array_equal(again.score_samples(IMAGES), fitted.score_samples(IMAGES))
    np.testing.assert_array_equal(again.explain(IMAGES[:2]), fitted.explain(IMAGES[:2]))
    assert again.get_params() == fitted.get_params()
    damaged = bytearray((run / "model.safetensors").read_bytes())
    damaged[-1] ^= 1
    (run / "damaged.safetensors").write_bytes(damaged)
    with pytest.raises(ArtifactError):
        hm.load(run / "damaged.safetensors")


def test_draws_are_levels_and_repeat(fitted):
    first, again = fitted.sample(20, random_state=1), fitted.sample(20, random_state=1)
    np.testing.assert_array_equal(first, again)
    assert first.shape == (20, 4, 4, 1) and first.min() >= 0 and first.max() < LEVELS


def test_an_energy_may_see_locally_whitened_images(tmp_path):
    settings = {"channels": (2, 3), "n_hidden": 4, "n_components": 1}
    fitted = hm.ImageDensity(effort="quick", whitening="local", **settings).fit(IMAGES)
    feature_map = fitted.model_.feature_map
    assert isinstance(feature_map.head, hm.feature_maps.LocalWhitening)
    fitted.save(tmp_path / "model.safetensors")
    again = hm.load(tmp_path / "model.safetensors")
    kernels = (own.model_.feature_map.head.kernel for own in (fitted, again))
    np.testing.assert_array_equal(*kernels)
    np.testing.assert_array_equal(fitted.score_samples(IMAGES), again.score_samples(IMAGES))


def test_augmented_images_are_mirrored_or_moved():
    rows = IMAGES.reshape(len(IMAGES), -1).astype(np.int64)
    flipped = augmented(rows, (4, 4, 1), "flip", np.random.default_rng(0)).reshape(-1, 4, 4)
    same = (flipped == IMAGES).all(axis=(1, 2))
    assert 0.2 < same.mean() < 0.8
    assert np.array_equal(flipped[~same], IMAGES[~same][:, :, ::-1])
    moved = augmented(rows, (4, 4, 1), "shift", np.random.default_rng(0))
    assert moved.shape == rows.shape and set(np.unique(moved)) <= set(np.unique(rows))


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda est: est.score_samples(IMAGES[:, :3]), "shape"),
        (lambda est: est.score_samples(IMAGES + 3), "levels from 0 to 4"),
        (lambda est: est.inpaint(IMAGES[:1], np.zeros((4, 4), bool)), "hidden pixels"),
        (lambda est: est.inpaint(IMAGES[:1], np.zeros((2, 4), bool)), "truth values"),
        (lambda est: hm.ImageDensity().fit(IMAGES[:5]), "at least 20 images"),
        (lambda est: hm.ImageDensity(augment="twist").fit(IMAGES), "augment"),
        (lambda est: hm.ImageDensity(whitening="full").fit(IMAGES), "whitening"),
    ],
)
def test_misuse_is_worded(fitted, call, word):
    with pytest.raises(InvalidInputError, match=word):
        call(fitted)


def command(*words):
    """The exit code of a command."""
    with pytest.raises(SystemExit) as stop:
        run_command([str(word) for word in words])
    return int(stop.value.code or 0)


def test_commands_write_what_the_estimator_says(fitted, run, capsys):
    images = run / "images.npy"
    assert command("score", run, images, "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["bits_per_dimension"] == pytest.approx(fitted.bits_per_dimension(IMAGES).mean())
    assert command("sample", run, "-n", 5, "-o", run / "new.npy") == 0
    assert np.load(run / "new.npy").shape == (5, 4, 4, 1)
    mask, filled = run / "mask.npy", run / "filled.npy"
    assert command("impute", run, images, "--mask", mask, "--draws", 2, "-o", filled) == 0
    assert np.load(filled).shape == (2, 120, 4, 4, 1)
    capsys.readouterr()
    assert command("detect", run, images, "-o", run / "heat.png", "--json") == 0
    assert json.loads(capsys.readouterr().out)["images"] == 120
    assert (run / "heat.png").read_bytes()[:4] == b"\x89PNG"


def test_wrong_calls_are_one_line(run, capsys):
    for words, said in (
        (("sample", run, "-n", 2), "-o sheet.png"),
        (("impute", run, run / "images.npy", "-o", run / "x.png"), "--mask"),
        (("score", run, run / "mask.npy"), "images"),
        (("evaluate", run, run / "images.npy"), "a density of images"),
    ):
        assert command(*words) == 2
        caught = capsys.readouterr().err
        assert said in caught and caught.count("error:") == 1


def test_fit_of_a_folder_of_png_files_is_a_run(run, capsys):
    folder = run / "pngs"
    folder.mkdir()
    for number, image in enumerate(IMAGES[:40]):
        write_png(folder / f"{number:02}.png", as_bytes(image[..., None], 256))
    assert command("fit", folder, "--image", "--effort", "quick", "-o", run / "run", "--json") == 0
    names = {path.name for path in (run / "run").iterdir()}
    assert {"model.safetensors", "metrics.json", "samples.png", "config.toml"} <= names
    assert json.loads(capsys.readouterr().out)["shape"] == [4, 4, 1]
    assert read_images(folder).rows.shape == (40, 16)
    assert command("fit", folder, "--image", "--base", "mixture", "-o", run / "other") == 2
    assert not (run / "other").exists()
