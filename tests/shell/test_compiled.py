"""Kind of truth: contract. Where the command line keeps compiled code, and when it does not."""

import os

import pytest

from harmonium.cli import compiled


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(compiled.FOLDER_VARIABLE, raising=False)
    monkeypatch.delenv(compiled.SHORTEST_VARIABLE, raising=False)
    return tmp_path / "harmonium"


def test_code_is_kept_in_the_cache_of_the_user(cache):
    compiled.keep_compiled_code()
    assert os.environ[compiled.FOLDER_VARIABLE] == str(cache / compiled.processor())
    # Whoever only asks for help finds nothing new on disk.
    assert not cache.exists()
    assert float(os.environ[compiled.SHORTEST_VARIABLE]) < 1


def test_what_the_user_says_goes_before(cache, monkeypatch):
    monkeypatch.setenv(compiled.FOLDER_VARIABLE, "elsewhere")
    compiled.keep_compiled_code()
    assert os.environ[compiled.FOLDER_VARIABLE] == "elsewhere" and not cache.exists()


def test_a_large_folder_starts_anew(cache, monkeypatch):
    entry = cache / compiled.processor() / "entry"
    entry.parent.mkdir(parents=True)
    entry.write_bytes(bytes(100))
    for largest, kept in ((100, True), (99, False)):
        monkeypatch.delenv(compiled.FOLDER_VARIABLE, raising=False)
        monkeypatch.setattr(compiled, "LARGEST", largest)
        compiled.keep_compiled_code()
        assert entry.exists() == kept


def test_a_place_that_cannot_be_written_is_left_alone(tmp_path, monkeypatch):
    (tmp_path / "harmonium").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(compiled.FOLDER_VARIABLE, raising=False)
    compiled.keep_compiled_code()
    assert compiled.FOLDER_VARIABLE not in os.environ
