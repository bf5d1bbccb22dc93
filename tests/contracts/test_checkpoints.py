"""A fit that was ended goes on bit by bit as if it had not been. Kind of truth: the uninterrupted
fit.

Seeds: keys and NumPy as written.
"""

import resource
import shutil

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from exact import brute

from harmonium.errors import CheckpointError, HarmoniumWarning, InvalidInputError
from harmonium.learning import (
    DataStartedChains,
    DenoisingScoreMatching,
    FitSettings,
    MaximumLikelihood,
    NoiseContrastive,
    PersistentChains,
    WeightedPopulation,
    fit,
)
from harmonium.learning.checkpoints import Checkpoints
from harmonium.learning.fit_progress import FitProgress
from harmonium.learning.rows import CompleteRows, IncompleteRows
from harmonium.model import Harmonium

# Two groups, which a model of few hidden units learns in a few updates; log Z is enumerated.
SIGNS = np.random.default_rng(0).choice([-1.0, 1.0], size=(60, 1))
ROWS = jnp.asarray(0.65 * SIGNS + 0.25 * np.random.default_rng(1).normal(size=(60, 2)))
MODEL = eqx.tree_at(
    lambda m: m.weights,
    Harmonium(2, 3, key=jax.random.key(0)),
    0.6 * jax.random.normal(jax.random.key(1), (3, 2)),
)
SETTINGS = FitSettings(batch_size=16, n_evaluations=6)
SGD = optax.sgd(0.2, momentum=0.9)
OBJECTIVES = {
    "likelihood": MaximumLikelihood(WeightedPopulation(n_chains=16)),
    "persistent": MaximumLikelihood(PersistentChains(n_chains=16)),
    "contrastive-divergence": MaximumLikelihood(DataStartedChains()),
    "score-matching": DenoisingScoreMatching.between(0.2, 0.7),
    "noise-contrastive": NoiseContrastive(),
}


def train(objective="likelihood", model=MODEL, **changes):
    given = {
        "data": ROWS,
        "key": jax.random.key(0),
        "objective": OBJECTIVES[objective],
        "optimizer": SGD,
        "n_updates": 36,
        # So many held-out rows that they can tell a trained state from the base.
        "validation": 0.3,
        "settings": SETTINGS,
    }
    return fit(model, **(given | changes))


def ending_after(n_records):
    """A callback that ends training with this record."""
    return lambda state: len(state.course.history) == n_records


def assert_same(a, b):
    for x, y in zip(jax.tree.leaves(a.model), jax.tree.leaves(b.model), strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))
    timeless = [
        [{k: v for k, v in r.items() if k != "seconds"} for r in fitted.history]
        for fitted in (a, b)
    ]
    np.testing.assert_equal(*timeless)
    assert a.log_partition == b.log_partition and a.kept_update == b.kept_update


@pytest.mark.parametrize(
    "objective",
    [
        "likelihood",
        *(pytest.param(o, marks=pytest.mark.slow) for o in OBJECTIVES if o != "likelihood"),
    ],
)
@pytest.mark.filterwarnings("ignore::harmonium.errors.HarmoniumWarning")
def test_an_ended_fit_goes_on_as_if_nothing_had_been(objective, tmp_path):
    whole = train(objective)
    if objective == "likelihood":
        assert whole.kept_update > 18
    ended = train(objective, callback=ending_after(4), checkpoints=tmp_path)
    assert "stopped on request, after 18 of 36 updates" in ended.verdict
    assert len(ended.history) == 4 and len(whole.history) == 7
    assert_same(whole, train(objective, resume=tmp_path))
    # A fit that has come to its end has nothing left to do.
    assert_same(whole, train(objective, resume=tmp_path))


def test_rows_with_missing_cells_are_saved_as_they_were_filled(tmp_path):
    missing = jnp.zeros(ROWS.shape, bool).at[::3, 0].set(True)
    rows = IncompleteRows(ROWS, missing, jnp.eye(2), jax.random.key(1))
    given = {"data": rows, "validation": ROWS[:20]}
    whole = train(**given)
    train(**given, callback=ending_after(3), checkpoints=tmp_path)
    assert_same(whole, train(**given, resume=tmp_path))


def flipped(path):
    """One bit of the last number of a file is wrong: only a digest can tell."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [flipped, half, lambda path: path.write_bytes(b"damaged")])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(damage, tmp_path):
    whole = train()
    train(callback=ending_after(4), checkpoints=tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"checkpoint-{number:08d}.safetensors" for number in (2, 4)]
    damage(tmp_path / names[1])
    assert_same(whole, train(resume=tmp_path))


def test_only_damaged_checkpoints_are_an_error(tmp_path):
    train(callback=ending_after(3), checkpoints=tmp_path)
    for path in tmp_path.iterdir():
        half(path)
    with pytest.raises(CheckpointError, match="none of . checkpoints can be read"):
        train(resume=tmp_path)


def test_the_last_two_are_kept_and_nothing_of_a_killed_process(tmp_path):
    train(callback=ending_after(2), checkpoints=tmp_path)
    (tmp_path / ".checkpoint-00000003.safetensors.abc").touch()
    train(callback=ending_after(3), resume=tmp_path)
    train(resume=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_full_disk_is_an_error_and_leaves_the_last_good_state(tmp_path):
    whole = train()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_the_disk(state):
        if state.update == 12:
            resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))

    try:
        with pytest.raises(CheckpointError, match=r"could not be written.*Try: free space"):
            train(callback=fill_the_disk, checkpoints=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert_same(whole, train(resume=tmp_path))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"data": ROWS + 1}, "data"),
        ({"key": jax.random.key(1)}, "random key"),
        ({"n_updates": 42}, "number of updates"),
        ({"settings": FitSettings(batch_size=8, n_evaluations=6)}, "settings"),
        ({"objective": "persistent"}, "objective"),
    ],
)
def test_checkpoints_of_another_fit_are_refused(changes, named, tmp_path):
    train(callback=ending_after(2), checkpoints=tmp_path)
    with pytest.raises(CheckpointError, match=f"another fit; other .*{named}"):
        train(**changes, resume=tmp_path)


def test_a_model_from_elsewhere_is_refused(tmp_path):
    train(callback=ending_after(2), checkpoints=tmp_path)
    other = eqx.tree_at(lambda m: m.hidden_bias, MODEL, MODEL.hidden_bias + 1)
    with pytest.raises(CheckpointError, match="other model"):
        train(model=other, resume=tmp_path)


def test_a_model_on_another_base_is_refused(tmp_path):
    # No base is trained, but every fit depends on it.
    train(model=brute.on_mixture(MODEL), callback=ending_after(2), checkpoints=tmp_path)
    for other in (MODEL, brute.on_mixture(MODEL, seed=1)):
        with pytest.raises(CheckpointError, match="other model"):
            train(model=other, resume=tmp_path)


def test_where_checkpoints_may_be(tmp_path):
    with pytest.warns(HarmoniumWarning, match="no checkpoint yet"):
        train(callback=ending_after(2), resume=tmp_path / "new")
    with pytest.raises(CheckpointError, match="resume="):
        train(checkpoints=tmp_path / "new")
    with pytest.raises(InvalidInputError, match="one of the two"):
        train(checkpoints=tmp_path / "new", resume=tmp_path / "new")
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="file"):
        train(checkpoints=tmp_path / "file")


def test_all_that_the_loop_remembers_is_saved(tmp_path):
    kept = []
    train(callback=ending_after(3), checkpoints=tmp_path)

    restore = Checkpoints.restore

    def spy(self, start):
        kept.append((start, restore(self, start)))
        return kept[-1][1]

    # A course after faults: less caution, and a best state that is not the latest.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "restore", spy)
        train(resume=tmp_path, callback=ending_after(1))
    start, course = kept[0]
    record = {**course.history[-1], "event": "a fault", "energy_gap": float("nan")}
    odd = FitProgress(course.state, start, float("-inf"), 7, 0.125, (*course.history, record))
    shutil.rmtree(tmp_path)
    store = Checkpoints(tmp_path, {"data": "a"})
    store.make_folder()
    store.save(odd)
    found = store.restore(start)
    np.testing.assert_equal(
        (
            found.best_value,
            found.since_best,
            found.trust_region_scale,
            found.history,
            found.n_faults,
        ),
        (odd.best_value, odd.since_best, odd.trust_region_scale, odd.history, 1),
    )
    for name in ("state", "best"):
        pairs = zip(
            jax.tree.leaves(getattr(found, name)), jax.tree.leaves(getattr(odd, name)), strict=True
        )
        for a, b in pairs:
            if eqx.is_array(a):
                assert a.dtype == b.dtype and bool(jnp.all(a == b))


@pytest.mark.parametrize("kind", ["complete", "incomplete"])
def test_further_rows_take_their_turns_and_are_the_same_after_a_stop(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("harmonium.learning.row_schedule.INCOMPLETE_VISITS", 2)
    asked = []

    def rows(number):
        values = jnp.asarray(np.random.default_rng(number).normal(size=(54, 2)))
        if kind == "complete":
            return CompleteRows(values)
        missing = jnp.zeros(values.shape, bool).at[::3, 0].set(True)
        key = jax.random.key(number)
        return IncompleteRows(values, missing, jnp.eye(2), key)

    def pools(number):
        asked.append(number)
        return rows(number)

    # A row is visited 1.2 times between two evaluations.
    given = {"data": rows(0), "validation": ROWS[:20], "pools": pools, "n_updates": 24}
    whole = train(**given)
    assert asked == ([1, 2, 3, 4, 5] if kind == "complete" else [1, 2])
    plain = train(**given | {"pools": None})
    last, usual = (fitted.history[-1]["validation_log_likelihood"] for fitted in (whole, plain))
    assert last != usual
    assert whole.history[1] | {"seconds": 0} == plain.history[1] | {"seconds": 0}
    ended = train(**given, callback=ending_after(4), checkpoints=tmp_path)
    assert len(ended.history) == 4
    assert_same(whole, train(**given, resume=tmp_path))
