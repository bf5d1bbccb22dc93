"""Kind of truth: closed forms (a known distribution of levels), exact inverses, and words.

Seeds: rows 0, fits 1, places 2.
"""

import numpy as np
import pytest
from PIL import Image
from scipy.stats import norm

from harmonium.data.images import as_images, read_images
from harmonium.data.pixels import Pixels, bits_per_dimension, check_levels
from harmonium.errors import ArtifactError, InvalidInputError
from harmonium.report.pngs import encode_png, sheet

SHAPE = (2, 3, 1)
SHARES = np.array([[0.5, 0.25, 0.125, 0.125], [0.7, 0.1, 0.1, 0.1]] * 3)


def drawn(n, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([rng.choice(4, n, p=shares) for shares in SHARES], axis=1)


def test_independent_pixels_have_the_entropy_of_their_levels():
    """With p(u) = φ(u) the measure alone is log P, at whatever places: bits per dimension are those
    of a known distribution.
    """
    pixels, rows = Pixels(SHARES), drawn(50)
    places = np.random.default_rng(2).random(rows.shape)
    units = pixels.dequantize(rows, places)
    found = norm.logpdf(units).sum(axis=1) + pixels.log_measure(rows, units)
    exact = np.log(SHARES[np.arange(6), rows]).sum(axis=1)
    np.testing.assert_allclose(found, exact, rtol=1e-10)
    np.testing.assert_allclose(pixels.log_independent(rows), exact, rtol=1e-12)
    whole = np.array(np.meshgrid(*[range(4)] * 6)).reshape(6, -1).T
    probabilities = np.exp(pixels.log_independent(whole))
    assert probabilities.sum() == pytest.approx(1)
    entropy = -np.sum(SHARES * np.log2(SHARES)) / 6
    bits = bits_per_dimension(pixels.log_independent(whole), 6)
    assert probabilities @ bits == pytest.approx(entropy)


def test_levels_come_back_from_every_place_and_units_are_normal():
    pixels, rows = Pixels(SHARES), drawn(5000)
    units = pixels.dequantize(rows, np.random.default_rng(2).random(rows.shape))
    np.testing.assert_array_equal(pixels.levels(units), rows)
    assert np.all(np.abs(units.mean(axis=0)) < 5 / 5000**0.5)
    assert np.all(np.abs(units.var(axis=0) - 1) < 5 * (2 / 5000) ** 0.5)
    ends = pixels.dequantize(rows, np.full(rows.shape, 1e-12))
    assert np.isfinite(ends).all()


def test_shares_are_those_of_the_rows():
    rows = drawn(20_000)
    found = Pixels.fit(rows, SHAPE, 4, np.random.default_rng(1)).shares
    error = np.sqrt(SHARES * (1 - SHARES) / len(rows))
    # The weight of the pixels nearby counts as so many rows, 128 at most.
    assert np.all(np.abs(found - SHARES) < 5 * error + 128 / len(rows))
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_few_rows_leave_no_level_without_a_share():
    found = Pixels.fit(np.zeros((20, 6), int), SHAPE, 4, np.random.default_rng(1))
    assert np.all(found.shares > 0)
    assert np.isfinite(found.log_independent(np.full((1, 6), 3))).all()


def test_states_come_back_and_others_are_refused():
    state = Pixels(SHARES).to_state()
    np.testing.assert_array_equal(Pixels.from_state(state, 6, 4).shares, SHARES)
    with pytest.raises(ArtifactError):
        Pixels.from_state({"shares": SHARES + 0.1}, 6, 4)


def test_unknown_levels_are_named():
    with pytest.raises(InvalidInputError, match="0 to 3") as caught:
        check_levels(np.array([[7]]), 4, "score")
    assert "7" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (np.zeros((4, 9)), "reshape"),
        (np.full((2, 3, 3), 0.5), "np.round"),
        (np.full((2, 3, 3), -1), "from -1"),
        (np.full((2, 3, 3), np.nan), "whole levels"),
        (np.full((2, 3, 3), "a"), "whole levels"),
        (np.zeros((0, 3, 3)), "shape (0, 3, 3)"),
    ],
)
def test_what_is_no_image_is_refused(given, word):
    with pytest.raises(InvalidInputError) as caught:
        as_images(given, call="fit(X)")
    assert word in str(caught.value) and "\n" not in str(caught.value)


def test_images_of_another_shape_are_refused():
    with pytest.raises(InvalidInputError, match="shape"):
        as_images(np.zeros((2, 3, 3)), call="score", shape=(3, 4, 1))


@pytest.mark.parametrize("channels", [1, 3])
def test_folders_of_png_files_are_read_as_they_were_written(tmp_path, channels):
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 5, channels)).astype(np.uint8)
    for number, image in enumerate(images):
        (tmp_path / f"{number}.png").write_bytes(encode_png(image))
    found = read_images(tmp_path)
    assert found.shape == (4, 5, channels)
    np.testing.assert_array_equal(found.rows, images.reshape(3, -1))
    np.save(tmp_path / "images.npy", images)
    np.testing.assert_array_equal(read_images(tmp_path / "images.npy").rows, found.rows)


def test_folders_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(InvalidInputError, match="PNG files"):
        read_images(tmp_path)
    Image.new("L", (3, 4)).save(tmp_path / "a.png")
    Image.new("L", (4, 4)).save(tmp_path / "b.png")
    with pytest.raises(InvalidInputError, match=r"b\.png"):
        read_images(tmp_path)
    Image.new("RGBA", (3, 4)).save(tmp_path / "b.png")
    with pytest.raises(InvalidInputError, match="transparency"):
        read_images(tmp_path)
    (tmp_path / "b.png").write_bytes(b"\x89PNG nothing")
    with pytest.raises(InvalidInputError, match=r"b\.png"):
        read_images(tmp_path)


def test_sheets_have_the_images_in_their_places():
    images = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    whole = sheet(images, 2)
    assert whole.shape == (5, 5, 1)
    assert whole[0, 0, 0] == 0 and whole[0, 3, 0] == 1 and whole[3, 0, 0] == 2
