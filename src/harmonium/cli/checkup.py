"""The checks of `harmonium doctor`: a small model against its own enumeration, written out in
NumPy.
"""

import importlib.metadata
import platform
import re
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import harmonium as hm
from harmonium.sampling.chains import init_chains, run_chains
from harmonium.typing import Positions

PACKAGES = (
    *("harmonium", "jax", "jaxlib", "equinox", "optax", "numpy", "scipy", "pyarrow"),
    *("scikit-learn", "safetensors", "typer"),
)
FRAMES = ("pandas", "polars")
N_VISIBLE, N_HIDDEN = 3, 5
N_ROWS, N_DRAWS, N_STEPS = 40, 2000, 50
# More than a compiler may take for one block.
MANY_ROWS = 32_769
# What single precision leaves of a few hundred additions.
TOLERANCE = 1e-4
# GPUs round the factors of products to ten bits, unless told not to.
SUM_TOLERANCE = 0.1
# Standard errors beyond which a mean is wrong: one healthy machine in a million.
STANDARD_ERRORS = 5.0


@dataclass(frozen=True)
class Check:
    """What was checked, whether all is well, and the figures."""

    name: str
    passed: bool
    detail: str


class _Truth(NamedTuple):
    """By enumeration: log Z, all hidden states (states, hidden), their probabilities, and means of
    x given each.
    """

    log_partition: float
    states: np.ndarray
    probabilities: np.ndarray
    means: np.ndarray


def describe_machine() -> dict[str, Any]:
    """Versions, devices, width of numbers, and extras."""
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "versions": {name: _version(name) for name in PACKAGES},
        "devices": [f"{device.platform}: {device.device_kind}" for device in jax.devices()],
        "float_bits": int(jnp.finfo(jnp.zeros(()).dtype).bits),
        "extras": _extras() | {name: _version(name) is not None for name in FRAMES},
    }


def run_checks() -> list[Check]:
    """All checks, each of which ends in a verdict whatever happens."""
    model = _small_model()
    truth = _enumerate(model)
    return [
        _guarded("temporary folder", _check_folder),
        _guarded("log Z by enumeration", lambda: _check_log_partition(model, truth)),
        _guarded("compiled sums", _check_sums),
        _guarded("gradient", lambda: _check_gradient(model)),
        _guarded("sampling", lambda: _check_samples(model, truth)),
    ]


def to_plain(checks: list[Check]) -> list[dict[str, Any]]:
    """The checks as JSON knows them."""
    return [asdict(check) for check in checks]


def _guarded(name: str, check: Callable[[], tuple[bool, str]]) -> Check:
    try:
        passed, detail = check()
    # A broken installation raises anything; this is the command to say so.
    except Exception as error:
        return Check(name, False, f"{type(error).__name__}: {error}")
    return Check(name, bool(passed), detail)


def _small_model() -> hm.Harmonium:
    """A restricted Boltzmann machine with weights that matter, the same every time."""
    rng = np.random.default_rng(0)
    weights = jnp.asarray(rng.normal(size=(N_HIDDEN, N_VISIBLE)), float)
    visible_bias = jnp.asarray(rng.normal(size=N_VISIBLE), float)
    model = hm.Harmonium(N_VISIBLE, N_HIDDEN, key=jax.random.key(0))
    return eqx.tree_at(lambda m: (m.weights, m.visible_bias), model, (weights, visible_bias))


def _enumerate(model: hm.Harmonium) -> _Truth:
    """Given h, x is Gaussian with mean (b - W'h)/2 and variance 1/2; summing over h is all there is
    (theory, section 3).
    """
    weights, b, c = (
        np.asarray(part, np.float64)
        for part in (model.weights, model.visible_bias, model.hidden_bias)
    )
    states = (np.arange(2**N_HIDDEN)[:, None] >> np.arange(N_HIDDEN)) & 1
    pull = b - states @ weights
    log_weights = (pull**2).sum(axis=1) / 4 + states @ c + N_VISIBLE / 2 * np.log(np.pi)
    log_partition = float(np.logaddexp.reduce(log_weights))
    return _Truth(log_partition, states, np.exp(log_weights - log_partition), pull / 2)


def _check_folder() -> tuple[bool, str]:
    with tempfile.TemporaryFile() as file:
        file.write(b"harmonium")
    return True, f"{tempfile.gettempdir()} can be written to"


def _check_log_partition(model: hm.Harmonium, truth: _Truth) -> tuple[bool, str]:
    found = hm.exact_log_partition(model)
    error = abs(found - truth.log_partition)
    return error < TOLERANCE, f"{found:.6f}, off by {error:.1e}"


def _check_sums() -> tuple[bool, str]:
    """F of a new model, whose weights the compiler sees to be 0, and sums of squares of many rows.

    jaxlib 0.10.2 has both wrong on CPUs (github.com/jax-ml/jax/issues/39103), in these numbers.
    """
    rng = np.random.default_rng(2)
    rows, many = rng.normal(size=(1000, 64)), rng.normal(size=(MANY_ROWS, 3))
    model = hm.Harmonium(64, 128, key=jax.random.key(0))
    bias = np.asarray(model.hidden_bias, np.float64)
    of_zeros = jax.jit(jax.vmap(model.free_energy))(jnp.asarray(rows, float))
    squares = jax.jit(jax.vmap(lambda x, m: jnp.sum((m @ x) ** 2), (0, None)))
    of_many = squares(jnp.asarray(many, float), jnp.eye(3))
    pairs = (
        (of_zeros, (rows**2).sum(axis=1) - np.logaddexp(0, bias).sum()),
        (of_many, (many**2).sum(axis=1)),
    )
    error = max(float(np.abs(np.asarray(found, np.float64) - true).max()) for found, true in pairs)
    return error < SUM_TOLERANCE, f"{MANY_ROWS} rows, largest error {error:.1e}"


def _check_gradient(model: hm.Harmonium) -> tuple[bool, str]:
    """The contrast of two sets of rows, of which P(h|x) gives every term."""
    rng = np.random.default_rng(1)
    data, negatives = rng.normal(size=(2, N_ROWS, N_VISIBLE))
    gradient = eqx.filter_jit(hm.log_likelihood_gradient)
    found = gradient(model, jnp.asarray(data, float), jnp.asarray(negatives, float))
    weights = np.asarray(model.weights, np.float64)
    bias = np.asarray(model.hidden_bias, np.float64)

    def statistics(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        mean = 1 / (1 + np.exp(-(bias - rows @ weights.T)))
        return -mean.T @ rows / len(rows), rows.mean(axis=0), mean.mean(axis=0)

    pairs = zip(statistics(data), statistics(negatives), strict=True)
    expected = [of_data - of_negatives for of_data, of_negatives in pairs]
    parts = (found.weights, found.visible_bias, found.hidden_bias)
    error = max(
        float(np.abs(np.asarray(part) - true).max())
        for part, true in zip(parts, expected, strict=True)
    )
    return error < TOLERANCE, f"largest error {error:.1e} of {sum(p.size for p in parts)} entries"


def _check_samples(model: hm.Harmonium, truth: _Truth) -> tuple[bool, str]:
    """Means and mean products of drawn rows, in standard errors from those of the enumeration."""
    rows = np.asarray(_draw(model), np.float64)
    mean = truth.probabilities @ truth.means
    products = np.einsum("s,si,sj->ij", truth.probabilities, truth.means, truth.means)
    products += np.eye(N_VISIBLE) / 2
    found = np.concatenate([rows, (rows[:, :, None] * rows[:, None, :]).reshape(N_DRAWS, -1)], 1)
    expected = np.concatenate([mean, products.ravel()])
    errors = np.abs(found.mean(axis=0) - expected) / (found.std(axis=0) / N_DRAWS**0.5)
    worst = float(errors.max())
    return worst < STANDARD_ERRORS, f"{N_DRAWS} rows, moments within {worst:.1f} standard errors"


def _draw(model: hm.Harmonium) -> Positions:
    """Independent chains of block Gibbs, from the origin."""
    arrays, static = eqx.partition(model, eqx.is_array)

    # Compiling takes longer than anything else here, and optimizing most of that.
    @partial(jax.jit, compiler_options={"xla_backend_optimization_level": 1})
    def draw(arrays: hm.Harmonium) -> Positions:
        model = eqx.combine(arrays, static)
        key_start, key_move = jax.random.split(jax.random.key(2))
        kernel = hm.BlockGibbs()
        states = init_chains(key_start, model, kernel, jnp.zeros((N_DRAWS, N_VISIBLE)))
        return run_chains(key_move, model, kernel, states, n_steps=N_STEPS).states.position

    return draw(arrays)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _extras() -> dict[str, bool]:
    """Whether all that an extra of harmonium asks for is installed."""
    names = importlib.metadata.metadata("harmonium").get_all("Provides-Extra") or []
    return {name: _is_installed("harmonium", name) for name in names}


def _is_installed(package: str, extra: str) -> bool:
    """Whether the packages that an extra of a package adds are there, and the extras that they
    add.
    """
    for requirement in importlib.metadata.requires(package) or []:
        wanted, _, marker = requirement.partition(";")
        if not re.search(rf"""extra == ['"]{re.escape(extra)}['"]""", marker):
            continue
        match = re.match(r"\s*([\w.-]+)\s*(?:\[([\w,\s-]+)\])?", wanted)
        if match is None or _version(match[1]) is None:
            return False
        inner = [name.strip() for name in (match[2] or "").split(",") if name.strip()]
        if not all(_is_installed(match[1], name) for name in inner):
            return False
    return True
