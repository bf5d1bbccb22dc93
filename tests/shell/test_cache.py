"""Kind of truth: contract. Where compiled code is kept, when it is not, and that it is found."""

import os
import subprocess
import sys

import pytest

from harmonium import cache

FIT = """
import jax, harmonium as hm
counted = []
jax.monitoring.register_event_listener(lambda name, **_: counted.append(name))
print(hm.enable_cache())
import numpy as np
rows = np.random.default_rng(0).normal(size=(200, 3))
hm.DensityEstimator(effort="quick", random_state=0).fit(rows).score_samples(rows)
print(sum(name.endswith("cache_misses") for name in counted))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(cache.FOLDER_VARIABLE, raising=False)
    monkeypatch.delenv(cache.SHORTEST_VARIABLE, raising=False)
    return tmp_path / "harmonium" / cache.processor()


def test_code_is_kept_in_the_cache_of_the_user_and_nobody_else_may_write_there(folder):
    cache.keep_compiled_code()
    assert os.environ[cache.FOLDER_VARIABLE] == str(folder)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_the_user_says_goes_before(folder, monkeypatch):
    monkeypatch.setenv(cache.FOLDER_VARIABLE, "elsewhere")
    cache.keep_compiled_code()
    assert os.environ[cache.FOLDER_VARIABLE] == "elsewhere" and not folder.exists()


def test_a_large_folder_starts_anew(folder, monkeypatch):
    entry = folder / "entry"
    folder.mkdir(mode=0o700, parents=True)
    entry.write_bytes(bytes(100))
    for largest, kept in ((100, True), (99, False)):
        monkeypatch.delenv(cache.FOLDER_VARIABLE, raising=False)
        monkeypatch.setattr(cache, "LARGEST", largest)
        cache.keep_compiled_code()
        assert entry.exists() == kept


def test_what_others_may_have_written_is_not_run(folder):
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    (folder / "entry").write_bytes(b"theirs")
    cache.keep_compiled_code()
    assert not list(folder.iterdir()) and folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_of_another_user_is_left_alone(folder, monkeypatch):
    folder.mkdir(mode=0o700, parents=True)
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    cache.keep_compiled_code()
    assert cache.FOLDER_VARIABLE not in os.environ


def test_a_place_that_cannot_be_written_is_left_alone(folder, tmp_path):
    (tmp_path / "harmonium").write_text("a file")
    cache.keep_compiled_code()
    assert cache.FOLDER_VARIABLE not in os.environ


def test_asking_for_help_leaves_nothing_on_disk(folder):
    subprocess.run([sys.executable, "-m", "harmonium", "--help"], check=True, capture_output=True)
    assert not folder.exists()


@pytest.mark.slow
def test_a_second_process_compiles_nothing(folder):
    found = [
        subprocess.run([sys.executable, "-c", FIT], check=True, capture_output=True, text=True)
        for _ in range(2)
    ]
    places, misses = zip(*(run.stdout.split() for run in found), strict=True)
    assert places == (str(folder),) * 2
    assert int(misses[0]) > 0 and int(misses[1]) == 0
