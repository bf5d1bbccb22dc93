"""Parameter updates per second beside ebmkit and torchebm at equal work, and how near ours come to
the machine's limit.

The model is the same on both sides: F(x) = x·x - b·x - sum softplus(c - W f(x)) with f a silu
network of two layers and as many hidden units as the layers are wide; both sides start from the
same weights, and their free energies are compared first. An update is the same work: 512 chains
make 20 Langevin steps each (an input gradient per step and chain), the gradient of the contrast
with a batch of 512 rows, one step of Adam; float32.

    equal     the same algorithm: persistent contrastive divergence with unadjusted Langevin chains,
              without trust region, penalty or re-initialization. Ours also averages the parameters
              and records its metrics, as always.
    shipped   what each gives by default: ours two weighted populations of 256 chains under MALA,
              the trust region and AdamW; theirs Langevin chains from their replay buffer of 10 000,
              torchebm's with its penalty of the energy. "mala" is ebmkit's own Metropolis-adjusted
              kernel at the same steps, for comparison.

Ours runs with a thread per core and with one (`harmonium --threads 1`). Peers run eagerly, as
shipped, and with the energy under torch.compile, each with torch's number of threads or one,
whichever is faster. Turns of all contenders alternate; compilation is over before. A ratio is our
rate over that of the faster peer of the same kind, eager or compiled.

"of limit" is the rate at which the matrix products of an update are done (counted from the shapes
of the layers; elementwise work and noise are not counted) over the best product rate measured in
the same process: of the shapes of the update, and of a large square product.

Run this alone: beside other busy processes torch's threads wait for each other, which costs a
factor of ten and more.

`python -m benchmarks.updates [--repetitions 5] [--only small medium large] [--no-compile]`
"""

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from benchmarks import our_updates
from benchmarks.machine import (
    LARGE_SQUARE,
    Shape,
    forward_flops,
    input_gradient_flops,
    parameter_gradient_flops,
    product_rate,
)
from benchmarks.our_updates import LEARNING_RATE, TURN_SECONDS, Turn, Work
from benchmarks.peer_models import check_same, export, with_random_parameters
from benchmarks.peer_process import PeerProcess, ServedProcess
from benchmarks.peers import peer_versions
from benchmarks.plots import bars
from benchmarks.report import Row, publish
from benchmarks.served import serve
from harmonium.cli.threads import limit_threads
from harmonium.model import Harmonium, feature_maps, sample_base

N_ROWS = 4096
N_COMPARED_ROWS = 100
LIBRARIES = ("ebmkit", "torchebm")


@dataclass(frozen=True)
class Case:
    """A size: columns, width of both layers and of h, and updates in one compiled run of ours."""

    n_visible: int
    width: int
    n_updates: int

    @property
    def shape(self) -> Shape:
        """Columns, width, hidden units."""
        return self.n_visible, self.width, self.width

    def model(self) -> Harmonium:
        """Random weights, so that chains feel them."""
        feature_map = feature_maps.MLP(
            self.n_visible, (self.width, self.width), key=jax.random.key(1)
        )
        model = Harmonium(
            self.n_visible, self.width, feature_map=feature_map, key=jax.random.key(0)
        )
        return with_random_parameters(model, self.width**-0.5)

    @property
    def work(self) -> Work:
        """What an update consists of, and a compiled run."""
        return Work(n_updates=self.n_updates)

    def flops(self, variant: str) -> float:
        """Of the products of one update, as the algorithm of ours needs them."""
        work, shape = self.work, self.shape
        moves = work.chains * input_gradient_flops(*shape)
        learn = parameter_gradient_flops(*shape)
        if variant == "equal":
            return work.steps * moves + (work.batch + work.chains) * learn
        # Another evaluation reweights the chains, a derivative along the update limits it; half of
        # the chains learn.
        limit = work.chains * 2 * forward_flops(*shape)
        return (work.steps + 1) * moves + limit + (work.batch + work.chains // 2) * learn

    def products(self) -> list[Shape]:
        """The shapes of the products, and a large square one."""
        n, width, work = self.n_visible, self.width, self.work
        sizes = (work.chains, work.chains + work.batch)
        shapes = [(size, inner, width) for size in sizes for inner in (n, width)]
        return [*shapes, LARGE_SQUARE]


CASES = {
    "small": Case(2, 64, 50),
    "medium": Case(64, 256, 5),
    "large": Case(784, 512, 1),
}


@dataclass(frozen=True)
class Contender:
    """One line of the table: who, which algorithm, how it is run, and its next turn."""

    who: str
    variant: str
    mode: str
    turn: Turn


def own_turns(case: Case) -> dict[str, Turn]:
    """Ours in this process, both ways."""
    model, rows = case.model(), jax.numpy.asarray(data(case.n_visible))
    made = {"equal": our_updates.equal(case.work), "shipped": our_updates.shipped(case.work)}
    return {name: our_updates.start(model, rows, case.work, *parts) for name, parts in made.items()}


def own(case: Case, single: ServedProcess) -> list[Contender]:
    """Ours with a thread per core, and with one."""
    turns = own_turns(case)
    many = [Contender("harmonium", name, "jit", turn) for name, turn in turns.items()]
    one = [Contender("harmonium", name, "jit, 1 thread", _turn(single, name)) for name in turns]
    one[0].turn()  # Its start is over, and disturbs nobody.
    return many + one


def single_threaded(name: str) -> ServedProcess:
    """A process of one thread that makes our turns of one size."""
    environment = dict(os.environ)
    limit_threads(1, environment)
    call = [sys.executable, "-m", "benchmarks.updates", "--serve", name]
    return ServedProcess(call, environment)


def theirs(library: str, peer: PeerProcess, case: Case, *, compile_too: bool) -> list[Contender]:
    """All runs of a peer that start; why others do not is printed."""
    wanted = [("equal", False), ("shipped", False)]
    wanted += [("mala", False)] if library == "ebmkit" else []
    wanted += [("equal", True)] if compile_too else []
    contenders = []
    for variant, compiled in wanted:
        name = f"{variant}{' compiled' if compiled else ''}"
        request = {"start": name, "variant": variant, "compiled": compiled, **_shared(case.work)}
        answer = peer.ask(request)
        if "error" in answer:
            print(f"{library}, {name}: {answer['error']}", flush=True)
            continue
        mode = f"{'torch.compile' if compiled else 'eager'}, {answer['threads']} thread(s)"
        contenders.append(Contender(library, variant, mode, _turn(peer, name)))
    return contenders


def _shared(work: Work) -> dict[str, float]:
    return {
        "steps": work.steps,
        "chains": work.chains,
        "step_size": work.step_size,
        "learning_rate": LEARNING_RATE,
    }


def _turn(peer: ServedProcess, name: str) -> Turn:
    return lambda: peer.ask({"continue": name, "seconds": TURN_SECONDS})["rate"]


def data(n_visible: int) -> np.ndarray:
    """Rows of two clusters."""
    rng = np.random.default_rng(0)
    centers = rng.choice([-0.5, 0.5], size=(N_ROWS, 1))
    return (centers + 0.5 * rng.normal(size=(N_ROWS, n_visible))).astype(np.float32)


def measure(name: str, options: argparse.Namespace, folder: Path) -> list[Row]:
    """All lines of one size."""
    case = CASES[name]
    model, rows = case.model(), data(case.n_visible)
    export(model, folder / "model.npz")
    np.save(folder / "data.npy", rows)
    arguments = (folder / "model.npz", folder / "data.npy")
    with (
        PeerProcess("torch_updates.py", "ebmkit", *arguments) as ebmkit,
        PeerProcess("torch_updates.py", "torchebm", *arguments) as torchebm,
        single_threaded(name) as single,
    ):
        peers = dict(zip(LIBRARIES, (ebmkit, torchebm), strict=True))
        contenders = own(case, single)
        for library, peer in peers.items():
            check_same(peer, model, 2 * sample_base(jax.random.key(3), model, N_COMPARED_ROWS))
            contenders += theirs(library, peer, case, compile_too=options.compile)
        rates = limits(case, ebmkit)
        turns = [[c.turn() for c in contenders] for _ in range(options.repetitions)]
    return table(name, case, contenders, np.median(turns, axis=0).tolist(), rates)


def limits(case: Case, peer: PeerProcess) -> dict[str, float]:
    """The best rate of products, FLOP/s: of JAX in this process, and of torch."""
    return {
        "jax": max(product_rate(shape) for shape in case.products()),
        "torch": peer.ask({"matmul": case.products()})["rate"],
    }


def table(
    name: str,
    case: Case,
    contenders: list[Contender],
    updates: list[float],
    rates: dict[str, float],
) -> list[Row]:
    """Lines with ratios to the faster peer and with fractions of the limit."""
    peers = [
        (contender, rate)
        for contender, rate in zip(contenders, updates, strict=True)
        if contender.who in LIBRARIES
    ]
    lines: list[Row] = []
    for contender, rate in zip(contenders, updates, strict=True):
        mine = contender.who == "harmonium"
        limit = rates["jax" if mine else "torch"]
        variant = contender.variant if contender.variant == "shipped" else "equal"
        line: Row = {
            "size": f"{name}: {case.n_visible}-D, {case.width} wide",
            "who": contender.who,
            "algorithm": contender.variant,
            "mode": contender.mode,
            "updates/s": rate,
            "of limit": rate * case.flops(variant if mine else "equal") / limit,
            "limit GFLOP/s": limit / 1e9,
        }
        for mode in ("eager", "torch.compile"):
            rivals = [
                other
                for peer, other in peers
                if peer.variant == contender.variant and peer.mode.startswith(mode)
            ]
            if mine and rivals:
                line[f"x {mode}"] = rate / max(rivals)
        lines.append(line)
    return lines


def draw(rows: list[Row]) -> None:
    """Bars of the rates, one panel per size."""
    panels: dict[str, dict[str, float]] = {}
    for row in rows:
        mode = row["mode"] if row["who"] == "harmonium" else row["mode"].split(",")[0]
        label = f"{row['who']}, {row['algorithm']}, {mode}"
        panels.setdefault(row["size"], {})[label] = row["updates/s"]
    bars("updates", "updates per second", panels)


def main() -> None:
    """Measure, publish, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    parser.add_argument("--serve", choices=list(CASES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        turns = own_turns(CASES[options.serve])
        serve(lambda request: {"rate": turns[request["continue"]]()})
        return
    facts = peer_versions() | {"load at start": os.getloadavg()[0]}
    rows: list[Row] = []
    for name in options.only:
        with tempfile.TemporaryDirectory() as folder:
            rows += measure(name, options, Path(folder))
    title = f"Parameter updates per second; medians of {options.repetitions} alternating turns"
    publish("updates", title, rows, facts)
    draw(rows)


if __name__ == "__main__":
    main()
