"""Kind of truth: round trip. What is written as TOML is what Python reads."""

import math
import tomllib

import numpy as np
import pytest

from harmonium.cli.toml_text import to_toml

TEXTS = [
    "",
    "plain",
    "with \"quotes\", 'apostrophes' and a \\ backslash",
    '"""',
    "several\nlines\r\nand a\ttab",
    "".join(map(chr, range(32))) + "\x7f\x80\x9f\u2028\ufeff",
    "größer, 表, 🐍, e\u0301",
    "# no comment = [no table]",
    "\\u0041 stays as it is",
]
SETTINGS = {
    "whole": 3,
    "negative": -(10**18),
    "yes": True,
    "no": False,
    "single": np.float64(0.1),
    "small": 1e-300,
    "large": 1.7976931348623157e308,
    "round": 1e16,
    "minus_zero": -0.0,
    "infinities": [math.inf, -math.inf],
    "texts": TEXTS,
    "empty": [],
    "nested": [[1, 2], [], ["a", 0.5]],
    "kinds": dict.fromkeys(TEXTS, "categorical") | {"bare-key_1": "integer", "a.b": "x"},
    "detector": {"seed": 1, "of its own": {"deep": {}, "value": 2.5}},
}


def test_what_is_written_is_what_is_read():
    found = tomllib.loads(to_toml(SETTINGS))
    assert found == SETTINGS
    assert math.copysign(1, found["minus_zero"]) == -1
    assert [type(value) for value in (found["whole"], found["yes"], found["round"])] == [
        int,
        bool,
        float,
    ]
    assert math.isnan(tomllib.loads(to_toml({"nan": math.nan}))["nan"])
    assert tomllib.loads(to_toml({"pair": (1, 2.0)})) == {"pair": [1, 2.0]}


def test_random_texts_come_back():
    rng = np.random.default_rng(0)
    for _ in range(300):
        codes = rng.integers(0, rng.choice([128, 0x3000, 0x110000]), size=rng.integers(1, 20))
        # Halves of surrogate pairs are no text.
        text = "".join(chr(code) for code in codes if not 0xD800 <= code < 0xE000)
        assert tomllib.loads(to_toml({"a": text, text: {text: [text]}})) == {
            "a": text,
            text: {text: [text]},
        }


@pytest.mark.parametrize("value", [None, {1, 2}, b"bytes", [None]])
def test_what_toml_has_no_word_for_is_refused(value):
    with pytest.raises(TypeError, match="is no value of TOML"):
        to_toml({"value": value})
