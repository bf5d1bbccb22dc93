"""log Z beside ebmkit's annealed importance sampling: the same models, in one run, turn by turn.

Both sides get the same weights in float32; their free energies are compared first. ebmkit runs with
its defaults, and tuned: the base, the kernel and the schedule that serve it best per second, with
100, 300 and 1000 temperatures; always with torch's own number of threads or with one, whichever is
faster. We run with our defaults and with the same numbers of temperatures. Repetitions of theirs
and of ours alternate; the first call of each is shown but not counted. "ESS/s" is the median
effective sample size over the median of the seconds; "x best" divides by the best of ebmkit with as
many chains.

Beside other busy processes torch's threads wait for each other, which costs a factor of ten and
more: run this alone.

`python -m benchmarks.ais_peer [--repetitions 5] [--only affine deep]`
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.peer_models import check_same, export, with_random_parameters
from benchmarks.peer_process import PeerProcess, Request
from benchmarks.report import Row, publish
from harmonium import estimate_log_partition
from harmonium.model import Harmonium, exact_log_partition, feature_maps, sample_base, temper

METHODS = ("ais", "smc", "bar", "reverse_ais")
N_VISIBLE = 8
CHAINS = (64, 512)
TEMPERATURES = (100, 300, 1000)
SCREENED_TEMPERATURES = 300
BASES: tuple[dict[str, Any], ...] = (
    *({"base_scale": scale} for scale in (0.5, 0.71, 1.0, 1.5, 2.0, 3.0)),
    {"base": "model"},
)
VARIANTS = tuple(
    {"sampler": sampler, "schedule": schedule}
    for sampler in ("hmc", "mala")
    for schedule in ("linear", "geometric")
)
DEFAULTS = {
    "base_scale": 1.0,
    "n_temps": 1000,
    "sampler": "hmc",
    "schedule": "linear",
    "threads": None,
}
# Enough to tell which number of threads is faster, short enough where one of them stalls.
TRIAL_TEMPERATURES = 30
SCREENING_SEEDS = (1000, 1001, 1002)
N_COMPARED_ROWS = 100
REFERENCE_CHAINS = 8192
REFERENCE_TEMPERATURES = 3200
TARGETS = {"affine": 30, "deep": 5}

Estimate = dict[str, float]
# Estimates by estimator and settings.
Runs = dict[tuple[str, str], list[Estimate]]


def affine_model() -> Harmonium:
    """f = id with 10 hidden units: log Z of about 40 nats, 27 above that of its base."""
    return with_random_parameters(Harmonium(N_VISIBLE, 10, key=jax.random.key(0)), 1.1)


def deep_model() -> Harmonium:
    """f a network of two layers of 64 with 16 hidden units, far from Gaussian."""
    feature_map = feature_maps.MLP(N_VISIBLE, (64, 64), key=jax.random.key(1))
    model = Harmonium(N_VISIBLE, 16, feature_map=feature_map, key=jax.random.key(0))
    return with_random_parameters(model, 1.5)


CASES = {"affine": affine_model, "deep": deep_model}


def ours(model: Harmonium, request: Request) -> Estimate:
    """One timed estimate of ours, as a user calls it."""
    settings = {name: value for name, value in request.items() if name != "seed"}
    started = time.perf_counter()
    result = estimate_log_partition(model, key=jax.random.key(request["seed"]), **settings)
    seconds = time.perf_counter() - started
    return {
        "value": result.value,
        "ess": result.ess,
        "standard_error": result.standard_error,
        "seconds": seconds,
    }


def base_ess(model: Harmonium, n: int = 4096) -> float:
    """How far the model is from its Gaussian base: ESS of plain importance sampling with n
    draws.
    """
    rows = sample_base(jax.random.key(5), model, n)
    base = temper(model, 0.0)
    log_weights = np.asarray(
        jax.vmap(base.free_energy)(rows) - jax.vmap(model.free_energy)(rows), np.float64
    )
    total = np.logaddexp.reduce(log_weights)
    return float(np.exp(2 * total - np.logaddexp.reduce(2 * log_weights)))


def reference(model: Harmonium) -> tuple[float, str]:
    """log Z to compare with: exact if it can be had, else one long annealing of ours."""
    if model.is_affine:
        return exact_log_partition(model), "exact"
    result = estimate_log_partition(
        model,
        key=jax.random.key(99),
        method="ais",
        n_chains=REFERENCE_CHAINS,
        n_temperatures=REFERENCE_TEMPERATURES,
    )
    return result.value, f"long AIS, ± {result.standard_error:.4f}"


def speed(estimate: Estimate) -> float:
    """Effective samples per second."""
    return estimate["ess"] / estimate["seconds"]


def screen(peer: PeerProcess, n_chains: int) -> Request:
    """What serves ebmkit best at this number of chains: threads first, then base, kernel,
    schedule.
    """
    trial = DEFAULTS | {"n_chains": n_chains, "n_temps": TRIAL_TEMPERATURES, "seed": 0}
    peer.ask(trial)  # A first call pays for what is loaded late.
    threads = min((None, 1), key=lambda n: _screened(peer, trial | {"threads": n})["seconds"])
    screened = trial | {"threads": threads, "n_temps": SCREENED_TEMPERATURES}
    del screened["base_scale"]
    base = max(BASES, key=lambda base: speed(_screened(peer, screened | base)))
    variant = max(VARIANTS, key=lambda variant: speed(_screened(peer, screened | base | variant)))
    return screened | base | variant


def _screened(peer: PeerProcess, request: Request) -> Estimate:
    middle = median([peer.ask(request | {"seed": seed}) for seed in SCREENING_SEEDS])
    print(
        f"  screening {request['n_chains']} chains, {describe(request)}: "
        f"ESS {middle['ess']:.1f}, {middle['seconds']:.3f} s",
        flush=True,
    )
    return middle


def median(estimates: list[Estimate]) -> Estimate:
    """Medians of every number."""
    return {name: float(np.median([e[name] for e in estimates])) for name in estimates[0]}


def describe(request: Request) -> str:
    """The settings of a peer's run in words."""
    base = "N(b/2, I/2)" if "base" in request else f"sd {request['base_scale']}"
    threads = f"{request['threads'] or 'default'} threads"
    names = (request["sampler"], request["schedule"], threads)
    return ", ".join([f"{request['n_temps']} temps", base, *names])


def row(name: str, who: str, settings: str, n_chains: int, runs: list[Estimate], z: float) -> Row:
    """One line: the first call apart, medians of the others, errors over all of them."""
    middle = median(runs[1:])
    errors = [run["value"] - z for run in runs]
    return {
        "model": name,
        "estimator": who,
        "settings": settings,
        "chains": n_chains,
        "log Z": middle["value"],
        "s.e.": middle["standard_error"],
        "rms error": float(np.sqrt(np.mean(np.square(errors)))),
        "ESS": middle["ess"],
        "seconds": middle["seconds"],
        "first call": runs[0]["seconds"],
        "ESS/s": middle["ess"] / middle["seconds"],
        "upper": middle.get("upper", ""),
    }


def alternate(
    peer: PeerProcess, model: Harmonium, n_chains: int, options: argparse.Namespace
) -> tuple[Runs, Runs]:
    """Turn by turn, all of theirs and all of ours; the first round is the warm-up."""
    tuned = screen(peer, n_chains)
    defaults = DEFAULTS | {"n_chains": n_chains, "threads": tuned["threads"]}
    requests = {
        f"defaults: {describe(defaults)}": defaults,
        **{describe(request): request for request in _at_temperatures(tuned, "n_temps")},
    }
    settings = {
        (method, _temperatures_in_words(request)): request
        for method in options.methods
        for start in ({"method": method, "n_chains": n_chains},)
        for request in (start, *_our_variants(start))
    }
    theirs: Runs = {("ebmkit", name): [] for name in requests}
    mine: Runs = {(f"harmonium {method}", words): [] for method, words in settings}
    for seed in range(options.repetitions + 1):
        for name, request in requests.items():
            theirs["ebmkit", name].append(peer.ask(request | {"seed": seed, "reverse": True}))
        for (method, words), request in settings.items():
            mine[f"harmonium {method}", words].append(ours(model, request | {"seed": seed}))
    return theirs, mine


def _at_temperatures(request: Request, name: str) -> list[Request]:
    return [request | {name: n_temperatures} for n_temperatures in TEMPERATURES]


def _our_variants(start: Request) -> list[Request]:
    """Lengths are tried for plain annealing only: every length compiles anew."""
    return _at_temperatures(start, "n_temperatures") if start["method"] == "ais" else []


def _temperatures_in_words(request: Request) -> str:
    if "n_temperatures" in request:
        return f"{request['n_temperatures']} temps"
    return "defaults"


def measure(name: str, options: argparse.Namespace, folder: Path) -> list[Row]:
    """All rows of one model."""
    model = CASES[name]()
    z, source = reference(model)
    print(f"{name}: log Z {z:.4f} ({source}), base ESS {base_ess(model):.1f} of 4096", flush=True)
    rows: list[Row] = [
        {"model": name, "estimator": "reference", "settings": source, "log Z": z},
        {
            "model": name,
            "estimator": "importance sampling",
            "settings": "from the base N(b/2, I/2)",
            "chains": 4096,
            "ESS": base_ess(model),
        },
    ]
    path = folder / "model.npz"
    export(model, path)
    with PeerProcess("ebmkit_ais.py", path) as peer:
        check_same(peer, model, 2 * sample_base(jax.random.key(3), model, N_COMPARED_ROWS))
        for n_chains in CHAINS:
            rows += compare(name, z, n_chains, *alternate(peer, model, n_chains, options))
    return rows


def compare(name: str, z: float, n_chains: int, theirs: Runs, mine: Runs) -> list[Row]:
    """Their rows, then ours with the ratios of the speeds."""

    def lines(runs: Runs) -> list[Row]:
        return [row(name, *names, n_chains, estimates, z) for names, estimates in runs.items()]

    peers, own = lines(theirs), lines(mine)
    default, best = peers[0]["ESS/s"], max(peer["ESS/s"] for peer in peers)
    for line in own:
        if line["ESS"] > n_chains:
            continue  # It pools levels, so that it counts something else than chains.
        line["x ebmkit's defaults"] = line["ESS/s"] / default
        line["x best"] = line["ESS/s"] / best
        line["target"] = TARGETS[name]
    return peers + own


def main() -> None:
    """Measure all models and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=METHODS)
    arguments = parser.parse_args()
    rows: list[Row] = []
    for name in arguments.only:
        with tempfile.TemporaryDirectory() as folder:
            rows += measure(name, arguments, Path(folder))
    title = f"log Z beside ebmkit, n = {N_VISIBLE}; medians of {arguments.repetitions} repetitions"
    publish("ais_peer", title, rows)


if __name__ == "__main__":
    main()
