"""A few hundred of the damaged files of `python -m benchmarks.fuzzing`: results or words, and
nothing else."""

import warnings
from collections import Counter

import pytest

from benchmarks.fuzzing.artifacts import WAYS as OF_ARTIFACTS
from benchmarks.fuzzing.cases import artifact_case, table_case
from benchmarks.fuzzing.models import save_models
from benchmarks.fuzzing.tables import WAYS as OF_TABLES

N_ARTIFACTS = 300
N_TABLES = 80


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return save_models(tmp_path_factory.mktemp("models"))


def failures(counts: Counter) -> list:
    return [key for key in counts if key[1].startswith("FAILED")]


def test_damaged_artifacts_are_refused_or_score(paths, tmp_path):
    sources = [path.read_bytes() for path in paths]
    counts = Counter(artifact_case(7, i, sources, tmp_path) for i in range(N_ARTIFACTS))
    assert not failures(counts)
    assert {kind for kind, _ in counts} == set(OF_ARTIFACTS)
    refused = sum(count for (_, ended), count in counts.items() if ended == "refused")
    assert refused > N_ARTIFACTS / 2


@pytest.mark.filterwarnings("ignore")
def test_damaged_tables_are_refused_or_read(paths, tmp_path):
    model = next(path for path in paths if path.stem == "mixed")
    counts = Counter(table_case(7, i, model, tmp_path) for i in range(N_TABLES))
    assert not failures(counts)
    assert len({kind for kind, _ in counts}) > len(OF_TABLES) / 2
