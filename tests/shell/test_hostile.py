"""Files that were damaged, or made, to do harm: each ends in an `ArtifactError` that says what was
wrong."""

import json
import os
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest

import harmonium as hm
from benchmarks.fuzzing.artifacts import packed, unpacked
from benchmarks.fuzzing.models import save_models
from harmonium.artifact import container
from harmonium.errors import ArtifactError

MIXTURE = "model/.base.mixture"


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, bytes]:
    """Small whole artifacts by kind of model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        paths = save_models(tmp_path_factory.mktemp("models"))
    return {path.stem: path.read_bytes() for path in paths}


def refused(path: Path, content: bytes, words: str) -> None:
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=words) as caught:
        hm.load(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000


def outer(content: bytes, change) -> bytes:
    """The file with the library's own header changed, and the same tensors after it."""
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def set_at(header, *keys, value):
    for key in keys[:-1]:
        header = header[key]
    header[keys[-1]] = value


def test_every_model_loads_and_tells_where_it_comes_from(models, tmp_path):
    for name, content in models.items():
        path = tmp_path / "model.safetensors"
        path.write_bytes(content)
        origin = hm.load(path).provenance_
        assert len(origin["data"]["sha256"]) == 64, name
        assert origin["versions"]["harmonium"] == hm.__version__


@pytest.mark.parametrize("where", [0.0, 0.2, 0.5, 0.9, 0.999])
def test_a_flipped_bit_anywhere_is_found(where, models, tmp_path):
    content = bytearray(models["mlp"])
    content[int(where * len(content))] ^= 1
    refused(tmp_path / "m", bytes(content), "not a harmonium model|damaged|format version")


def test_a_digest_of_other_content_is_found(models, tmp_path):
    content = bytearray(models["mlp"])
    content[-3] ^= 1
    refused(tmp_path / "m", bytes(content), "damaged: its content does not match its digest")


@pytest.mark.parametrize("length", [2**24 + 1, 2**31, 2**63, 2**64 - 1])
def test_headers_of_declared_sizes_beyond_the_file(length, models, tmp_path):
    content = struct.pack("<Q", length) + models["mlp"][8:]
    refused(tmp_path / "m", content, "a header of .* bytes in a file of")


def test_a_file_beyond_the_limit_is_not_read(tmp_path):
    path = tmp_path / "m"
    with path.open("wb") as file:
        file.truncate(container.MAX_FILE_BYTES + 1)  # sparse: it takes no room
    with pytest.raises(ArtifactError, match="at most 2147483648 bytes"):
        hm.load(path)


@pytest.mark.parametrize("special", ["folder", "pipe"])
def test_what_is_no_file_is_not_opened(special, tmp_path):
    path = tmp_path / "m"
    path.mkdir() if special == "folder" else os.mkfifo(path)
    with pytest.raises(ArtifactError, match="no such file|a folder without a model"):
        hm.load(path)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("shape", [2**40, 2**40], "sizes from 0 to"),
        ("shape", [2**30, 2**30], "does not fit its shape"),
        ("shape", [-1], "sizes from 0 to"),
        ("shape", [1.0], "sizes from 0 to"),
        ("shape", [1] * 70, "a shape of at most"),
        ("dtype", "BF16", "a dtype among .* got 'BF16'"),
        ("dtype", [], "a dtype among"),
        ("data_offsets", [0, 2**50], "does not fit its shape"),
        ("data_offsets", None, "not a harmonium model"),
    ],
)
def test_tensors_that_are_not_there(key, value, words, models, tmp_path):
    content = outer(models["mlp"], lambda h: set_at(h, "model/.weights", key, value=value))
    refused(tmp_path / "m", content, words)


@pytest.mark.parametrize(
    ("kind", "keys", "value", "words"),
    [
        ("mlp", ["format_version"], 2, "expected format version 9; got 2"),
        ("mlp", ["format_version"], True, "expected format version 9; got True"),
        ("mlp", ["kind"], "pickle", "a density or a detector; got 'pickle'"),
        ("mlp", ["training"], "\x1b[2Jlog Z is exact", "printable text"),
        ("mlp", ["training"], "\ud800", "surrogates not allowed"),
        ("mlp", ["judgment"], [], "judgment: expected an object"),
        ("mlp", ["judgment", "log_partition"], "false", "expected true or false"),
        ("mlp", ["judgment", "n_rows"], -1, "n_rows: expected a whole number"),
        ("mlp", ["judgment", "comparisons"], [{}] * 9, "a list of at most 8"),
        ("mlp", ["judgment", "comparisons"], [{"gain": 1.0}], "comparison: expected the keys"),
        ("mlp", ["judgment", "draw_comparison", "ess"], "9", "ess: expected a finite number"),
        ("mlp", ["judgment", "draw_comparison", "marginals", "columns"], [1], "expected names"),
        ("mlp", ["chosen", "n_components"], 0, "n_components: expected a whole number"),
        ("mlp", ["chosen", "candidates"], [[]], "candidates: expected an object"),
        ("mlp", ["container"], "spark", "unknown container"),
        ("mlp", ["provenance"], [], "provenance: expected an object"),
        ("mlp", ["settings", "n_hidden"], -3, "damaged"),
        ("mlp", ["log_partition", "value"], "1.5", "expected a finite number"),
        ("mlp", ["log_partition", "value"], 9.0, "in its interval"),
        ("mlp", ["log_partition", "value"], float("nan"), "expected finite numbers; got NaN"),
        ("mlp", ["log_partition", "value"], 10**40, "at most 18 digits"),
        ("mlp", ["columns", "n_rows"], 10**17, "n_rows from 1 to"),
        ("mlp", ["whitening", "n_columns"], 10**9, "damaged"),
        ("mlp", ["model", "n_hidden"], 10**9, "n_hidden: expected a whole number from 1 to"),
        ("mlp", ["model", "n_visible"], 10**9, "n_visible: expected a whole number from 1 to"),
        ("mlp", ["model", "hidden_units"], "Gaussian", "unknown hidden units"),
        ("mlp", ["model", "feature_map", "name"], "os.system", "a feature map of your own"),
        ("mlp", ["model", "feature_map", "widths"], [1] * 10**5, "a list of at most 256"),
        ("mlp", ["model", "feature_map", "widths"], [10**9], "size: expected a whole number"),
        ("mlp", ["model", "feature_map", "activation"], "eval", "expected one of"),
        ("mlp", ["model", "feature_map", "input_scale"], 1e300, "input_scale: expected at most"),
        ("mlp", ["model", "base"], None, "base: expected an object"),
        ("mlp", ["model", "base", "name"], "os.system", "a base of your own, 'os.system'"),
        ("mlp", ["marginals", "kinds"], [{"own": "os.system", "fields": {}}], "your own class"),
        ("mlp", ["model", "base"], {"name": "MixtureBase", "n_components": 1}, "do not match"),
        ("mixture", ["model", "base"], {"name": "GaussianBase"}, "do not match"),
        ("mixture", ["model", "base"], {"name": "MixtureBase"}, "it has no n_components"),
        ("mixture", ["model", "base", "n_components"], 10**9, "n_components: expected a whole"),
        ("mixture", ["model", "base", "n_components"], 0, "n_components: expected a whole"),
        ("mixture", ["model", "base", "n_components"], 1, "expected shape"),
        ("residual", ["model", "feature_map", "depth"], 10**9, "depth: expected a whole number"),
        ("identity", ["model", "feature_map", "n_visible"], 3, "n_visible: expected a whole"),
        ("detector", ["spaces"], [], "spaces: expected one or more; got none"),
        ("detector", ["spaces"], [{}] * 9, "a list of at most 8"),
        ("detector", ["spaces"], [7], "no n_mixtures"),
        ("detector", ["spaces"], [{}], "no n_mixtures"),
        ("detector", ["spaces"], [{"n_mixtures": 10**9}], "n_mixtures: expected a whole number"),
        ("detector", ["offset"], True, "offset: expected a finite number"),
    ],
)
def test_entries_that_make_no_model(kind, keys, value, words, models, tmp_path):
    header, arrays = unpacked(models[kind])
    set_at(header, *keys, value=value)
    refused(tmp_path / "m", packed(header, arrays), words)


def test_deep_nesting_and_repeated_keys(models, tmp_path):
    header, arrays = unpacked(models["mlp"])
    text = json.dumps(header)
    nested = '"training": ' + "[" * 10**6 + "]" * 10**6 + ', "x":'
    for change, words in (
        (lambda _: text.replace('"training":', nested), "RecursionError"),
        (lambda _: text.replace('"kind":', '"kind": 0, "kind":'), "a key occurs twice"),
        (lambda _: "[]", "expected a JSON object"),
        (lambda _: text.replace("1.5", "1e999", 1), "expected finite numbers"),
    ):
        refused(tmp_path / "m", packed(header, arrays, change), words)


def test_heads_within_heads_are_counted(models, tmp_path):
    header, arrays = unpacked(models["fourier"])
    described = header["model"]["feature_map"]
    for _ in range(300):
        described = {
            "name": "FourierFeatures",
            "n_visible": 10,
            "n_frequencies": 5,
            "head": described,
        }
    header["model"]["feature_map"] = described | {"n_visible": header["model"]["n_visible"]}
    refused(tmp_path / "m", packed(header, arrays), "at most 256 layers")


@pytest.mark.parametrize(
    ("kind", "name", "change", "words"),
    [
        ("mlp", "model/.weights", lambda a: a * np.nan, "finite"),
        ("mlp", "model/.weights", lambda a: a + np.inf, "finite"),
        ("mlp", "model/.weights", lambda a: np.full(a.shape, 1e300), "finite"),
        ("mlp", "model/.weights", lambda a: a.astype(np.int64), "floating-point"),
        ("mlp", "model/.weights", lambda a: a.T, "expected shape"),
        ("mlp", "columns/n_levels", lambda a: a + 1, "damaged"),
        ("mlp", "columns/source", lambda a: a + 100, "damaged"),
        ("mixed", "columns/codes", lambda a: a + 100, "damaged"),
        ("mixed", "columns/counts", lambda a: a + 1e9, "counted cells"),
        ("mixed", "columns/counts", lambda a: a + 0.5, "whole numbers"),
        ("mixed", "whitening/spread", lambda a: -a, "positive spreads"),
        ("mixture", f"{MIXTURE}.log_weights", lambda a: a + 1e-3, "do not add up to 1"),
        ("mixture", f"{MIXTURE}.log_weights", lambda a: a - np.inf, "finite"),
        ("mixture", f"{MIXTURE}.means", lambda a: a * np.nan, "finite"),
        ("mixture", f"{MIXTURE}.means", lambda a: a.T, "expected shape"),
        ("mixture", f"{MIXTURE}.factors", lambda a: a + 1e-9, "not lower triangular"),
        ("mixture", f"{MIXTURE}.factors", lambda a: -a, "with positive diagonals"),
        ("mixture", f"{MIXTURE}.factors", lambda a: 0 * a, "with positive diagonals"),
        ("mixture", f"{MIXTURE}.factors", lambda a: 1.001 * a, "not those of its factors"),
        ("mixture", f"{MIXTURE}.factors", lambda a: np.tril(a + 1e30), "not those of its factors"),
        ("mixture", f"{MIXTURE}.inverses", lambda a: a + 1e-9, "not lower triangular"),
        ("mixture", f"{MIXTURE}.inverses", lambda a: 2 * a, "not those of its factors"),
        ("mixed", "whitening/eigenvectors", lambda a: 0 * a, "orthonormal"),
        ("detector", "detector/scale", lambda a: 0 * a, "positive"),
        ("detector", "detector/calibration", lambda a: a[::-1], "sorted"),
        ("detector", "detector/calibration", lambda a: a[:0], "one or more"),
        ("detector", "detector/candidates", lambda a: a[:, :2], "shape"),
        ("detector", "detector/quantiles", lambda a: a[:, :1], "shape"),
        ("detector", "detector/quantiles", lambda a: a[::-1], "sorted"),
        ("detector", "space0_kernels/rows", lambda a: a[:, :2], "shape"),
        ("detector", "space0_kernels/rows", lambda a: a[:0], "one or more"),
        ("detector", "space1_mixture1/means", lambda a: a[:, :2], "shape"),
        ("detector", "space1_mixture1/log_weights", lambda a: a + 1, "do not add up to 1"),
        ("detector", "space1_mixture1/inverses", lambda a: 2 * a, "not those of its factors"),
        ("detector", "space1_mixture1/factors", lambda a: a[:0], "shape"),
    ],
)
def test_arrays_that_make_no_model(kind, name, change, words, models, tmp_path):
    header, arrays = unpacked(models[kind])
    arrays[name] = change(arrays[name])
    refused(tmp_path / "m", packed(header, arrays), words)


def test_arrays_that_belong_to_nothing(models, tmp_path):
    header, arrays = unpacked(models["mlp"])
    refused(tmp_path / "m", packed(header, arrays | {"odd": np.ones(3)}), "do not match")


def test_what_could_not_be_loaded_is_not_saved(tmp_path):
    path = tmp_path / "m"
    with pytest.raises(ArtifactError, match="float64, float32 or int64; got bool"):
        container.write_container(path, {}, {"a": np.ones(3, bool)})
    with pytest.raises(ArtifactError, match="fewer categories"):
        container.write_container(path, {"x": "y" * container.MAX_HEADER_BYTES}, {})
    with pytest.raises(ArtifactError, match="finite figures"):
        container.write_container(path, {"offset": float("nan")}, {})
    assert not list(tmp_path.iterdir())
