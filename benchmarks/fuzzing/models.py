"""Small models of every kind to damage, made without training: what a file holds matters, not what
it knows.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

import harmonium as hm
from harmonium.data import Columns, Marginals, Table, as_table
from harmonium.estimators import AnomalyDetector, DensityEstimator
from harmonium.inference import DensitySettings, Detector, DetectorSettings, fit_density
from harmonium.inference.completion import Completion
from harmonium.inference.provenance import describe_origin
from harmonium.inference.rules import Rules
from harmonium.inference.tails import Tail
from harmonium.inference.views import N_QUANTILES, Scale, Space, Surprise
from harmonium.likelihood.result import exact_result
from harmonium.model import split_trainable
from harmonium.model.feature_maps import MLP, FourierFeatures, Identity, ResidualMLP

N_HIDDEN = 4
WIDTH = 5
SPREAD = 0.3


def number_table(n_rows: int = 60) -> Table:
    """Two numbers, a count, a truth value, a constant, a duplicate, and a missing cell."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=n_rows)
    columns = [
        *(first, first**2 + rng.normal(size=n_rows), rng.poisson(3.0, n_rows)),
        *(rng.integers(0, 2, n_rows), np.full(n_rows, 4.0), first),
    ]
    return as_table(np.stack(columns, axis=1).astype(float), call="fuzzing")


def mixed_table(n_rows: int = 60) -> Table:
    """Numbers, words, dates and an identifier, with gaps."""
    import pyarrow as pa

    rng = np.random.default_rng(1)
    content = {
        "size": rng.normal(size=n_rows),
        "color": pa.array(rng.choice(["red", "green", "bleu é"], n_rows)),
        "day": pa.array(rng.integers(0, 400, n_rows).astype("M8[D]")),
        "code": pa.array(rng.choice(["1", "2", "007"], n_rows)),
        "note": pa.array([f"row {i}" for i in range(n_rows)]),
    }
    kinds = {"code": "categorical", "note": "identifier"}
    return as_table(pa.table(content), call="fuzzing", kinds=kinds)


def save_models(folder: Path) -> list[Path]:
    """One artifact per kind of model."""
    numbers, mixed = number_table(), mixed_table()
    makers: dict[str, Any] = {
        "identity": (numbers, Identity),
        "mlp": (numbers, lambda n: MLP(n, (WIDTH, WIDTH), key=jax.random.key(1))),
        "residual": (numbers, lambda n: ResidualMLP(n, WIDTH, 2, key=jax.random.key(2))),
        "fourier": (numbers, _fourier),
        "mixed": (mixed, lambda n: MLP(n, (WIDTH,), key=jax.random.key(3))),
    }
    paths = []
    for name, (table, make_map) in makers.items():
        paths.append(folder / f"{name}.safetensors")
        _density(table, make_map).save(paths[-1])
    paths.append(folder / "mixture.safetensors")
    _density(numbers, makers["mlp"][1], _mixture_base).save(paths[-1])
    paths.append(folder / "detector.safetensors")
    _detector(mixed).save(paths[-1])
    return paths


def _fourier(n: int) -> FourierFeatures:
    head = MLP(2 * WIDTH, (WIDTH,), key=jax.random.key(4))
    return FourierFeatures(n, WIDTH, head=head, key=jax.random.key(5))


def _mixture_base(n: int) -> hm.MixtureBase:
    rng = np.random.default_rng(8)
    roots = np.eye(n) + 0.2 * rng.normal(size=(2, n, n))
    covariances = roots @ np.swapaxes(roots, 1, 2)
    mixture = hm.Mixture.from_moments(np.array([0.3, 0.7]), rng.normal(size=(2, n)), covariances)
    return hm.MixtureBase(mixture)


def _density(table: Table, make_map: Any, make_base: Any = hm.GaussianBase) -> DensityEstimator:
    settings = DensitySettings(n_hidden=N_HIDDEN, width=WIDTH, effort="quick", base="gaussian")
    fitted = fit_density(table, settings)
    n = fitted.density.columns.n_modeled
    model = hm.Harmonium(
        n, N_HIDDEN, feature_map=make_map(n), base=make_base(n), key=jax.random.key(0)
    )
    log_partition = exact_result(1.5, "exact")
    density = replace(fitted.density, model=_shaken(model), log_partition=log_partition)
    return DensityEstimator().adopt(density, settings, "array", fitted.provenance)


def _detector(table: Table) -> AnomalyDetector:
    columns = Columns.fit(table)
    completion = Completion.fit(columns, table.values)
    n = columns.n_modeled
    mixture = _mixture_base(n).mixture
    spaces = tuple(
        Space(
            Scale(Marginals.fit(columns, table.values, body, atoms=False), completion.whitening),
            (mixture, mixture),
            np.zeros((5, n)),
        )
        for body in ("affine", "auto")
    )
    n_votes = sum(sum(space.groups) for space in spaces)
    detector = Detector(
        completion=completion,
        spaces=spaces,
        surprise=Surprise(
            np.tile(np.linspace(-1.0, 1.0, N_QUANTILES)[:, None], n_votes), np.ones(n_votes)
        ),
        rules=Rules(first=3.0, further=0.7),
        candidates=np.tile(np.linspace(-1.0, 1.0, 7)[:, None], n),
        calibration=np.linspace(-3.0, 0.0, 20),
        calibration_rows=table.values[np.arange(20) % table.n_rows],
        tail=Tail.fit(np.linspace(-3.0, 0.0, 20)),
        verdict="made up for fuzzing.",
        trusted=True,
    )
    origin = describe_origin(table, 0, {"offset": -2.0}, detector.verdict)
    return AnomalyDetector().adopt(detector, DetectorSettings(), -2.0, origin)


def _shaken(model: hm.Harmonium) -> hm.Harmonium:
    """Weights that are not zero, as training would leave them."""
    parameters, static = split_trainable(model)
    leaves, structure = jax.tree.flatten(parameters)
    keys = jax.random.split(jax.random.key(7), len(leaves))
    moved = [
        leaf + SPREAD * jax.random.normal(key, leaf.shape, leaf.dtype)
        for key, leaf in zip(keys, leaves, strict=True)
    ]
    return eqx.combine(jax.tree.unflatten(structure, moved), static)
