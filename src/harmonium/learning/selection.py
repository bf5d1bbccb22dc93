"""Which state of a fit is returned: judged by fresh estimates of log Z, not by the running one."""

import math
from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, stdtrit

from harmonium.compiling import compiled_briefly
from harmonium.learning.rows import AbstractRows
from harmonium.learning.trainer import State, Trainer
from harmonium.likelihood import LogPartition, estimate_log_partition
from harmonium.likelihood.result import exact_result
from harmonium.model import Harmonium, base_log_partition
from harmonium.typing import RandomKey

MAX_DISAGREEMENT = 1.0
# Standard errors of the paired differences by which a model has to beat a simpler one.
MARGIN = 2.0
MAX_STARTS = 1024
# Of gains, the share that counts as it is.
CAPPED_AT = 0.99
# Shares of a trained energy that are tried, as long as held-out rows gain.
SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.35, 0.25, 0.18, 0.12, 0.08, 0.05)
# Of the draws by which progress is judged, where log Z of the final model rests on such draws too.
FEWEST_EFFECTIVE = 200.0


class Candidates(NamedTuple):
    """States that may be the best: the start, the best by the running log Z, and the last."""

    start: State
    best: State
    last: State


class Chosen(NamedTuple):
    """A state with its log Z and the log-likelihoods of the validation rows, (rows,), nats: of
    each row the mean over its copies, which are no rows of their own.

    `is_base` says that the model without interaction was put in, `energy_share` how much of the
    trained energy is left.
    """

    state: State
    log_partition: LogPartition
    log_likelihoods: Float[np.ndarray, "rows"]
    is_base: bool = False
    energy_share: float = 1.0

    @property
    def log_likelihood(self) -> float:
        """The mean over the validation rows."""
        return float(self.log_likelihoods.mean())


def choose(
    key: RandomKey, trainer: Trainer, candidates: Candidates, *, late: bool = False
) -> Chosen:
    """The state with the best validation log-likelihood under a fresh estimate of its log Z.

    The running log Z guides training, but its error grows with every resampling; a choice made by
    it alone would favor lucky errors. A failed estimate is too low, and so looks too good:
    trusted estimates come first, and the last state is tried where that of the best one fails. A
    trained state has to beat the model without interaction by two standard errors of the paired
    differences: otherwise the simpler model is kept.
    """
    best, last = candidates.best, candidates.last
    share, is_last = 1.0, int(best.update) == int(last.update)
    if trainer.rests_on_weights:
        share, best = shrunken(trainer, *((best,) if is_last else (best, last)))
    base = _rate_base(trainer, candidates.start)
    key_best, key_last = jax.random.split(key)
    # No fresh estimate is needed where the running one, which leans low, sees no gain.
    hoped = _rate_by_running(trainer, best)
    if hoped is not None and not beats(hoped, base.log_likelihoods):
        return base
    rated = [_rate(key_best, trainer, best)._replace(energy_share=share)]
    is_done = rated[0].log_partition.trusted or is_last
    # A later state is no nearer to the base from which its log Z would have to be estimated.
    is_done |= trainer.rests_on_weights
    # Out of time: one estimate, for the state that the running log Z prefers.
    if not (is_done or late):
        rated.append(_rate(key_last, trainer, last))
    trained = max(rated, key=lambda own: (own.log_partition.trusted, own.log_likelihood))
    # What is unknown of log Z may be all that there is to gain.
    unknown = MARGIN * trained.log_partition.standard_error
    is_better = beats(trained.log_likelihoods - unknown, base.log_likelihoods)
    return trained if trained.log_partition.trusted and is_better else base


def shrunken(trainer: Trainer, *states: State) -> tuple[float, State]:
    """Of trained states and shares of their energies what held-out rows prefer: the share, and the
    state with it; the first state, whole, where no share has enough effective draws.

    With W and b multiplied by a share the model lies between its base and what was trained, so that
    more draws of the base are effective. Training follows the noise of its rows, which a smaller
    energy follows less: a shrinkage that costs a few evaluations. Where rows have many columns,
    training leaves the base behind before it has learned much: a small share of the last state
    is then worth more than an early one.
    """
    found, best = (1.0, states[0]), -math.inf
    for state in states:
        before = -math.inf
        for share in SHARES:
            scaled = _scaled(state, share)
            measured = trainer.evaluate(scaled)
            # Without enough of the draws the value means nothing; less energy has more of them.
            if float(measured["running_ess"]) < FEWEST_EFFECTIVE:
                continue
            value = float(measured["validation_log_likelihood"])
            if not value > before:
                break
            before = value
            if value > best:
                found, best = (share, scaled), value
    return found


def _scaled(state: State, share: float) -> State:
    """The state with W and b of its averaged model multiplied by a share."""
    return eqx.tree_at(
        lambda own: (own.averaged.weights, own.averaged.visible_bias),
        state,
        (share * state.averaged.weights, share * state.averaged.visible_bias),
    )


def beats(scores: Float[np.ndarray, "rows"], simpler: Float[np.ndarray, "rows"]) -> bool:
    """Whether scores of held-out rows exceed those of a simpler model, on the same rows, beyond
    chance.

    Beyond chance means by two standard errors of the paired differences, and by more where few rows
    tell these: the quantile of Student's t that two standard errors are of a normal. Where a few
    odd rows gain hundreds of nats, their spread hides what all others gain; so the differences may
    be capped, which makes their mean smaller and its standard error, too.
    """
    gain = scores - simpler
    if len(gain) < 2:
        return False
    capped = np.minimum(gain, np.quantile(gain, CAPPED_AT))
    return _is_positive(gain) or _is_positive(capped)


def _is_positive(gain: Float[np.ndarray, "rows"]) -> bool:
    """Whether the mean is above 0 beyond chance."""
    margin = stdtrit(len(gain) - 1, ndtr(MARGIN))
    return bool(gain.mean() > margin * gain.std(ddof=1) / len(gain) ** 0.5)


def _rate(key: RandomKey, trainer: Trainer, state: State) -> Chosen:
    log_partition = estimate_log_partition(
        trainer.combine(state.averaged),
        key=key,
        method="quick" if trainer.rests_on_weights else "auto",
        starts=trainer.held_out.completed[:MAX_STARTS],
    )
    return _chosen(trainer, state, log_partition)


def _rate_by_running(trainer: Trainer, state: State) -> Float[np.ndarray, "rows"] | None:
    """Log-likelihoods of the validation rows by the running log Z, (rows,); None if there is
    none.
    """
    running = float(trainer.evaluate(state)["running_log_partition"])
    return -_free_energies(trainer, state) - running if math.isfinite(running) else None


def _rate_base(trainer: Trainer, state: State) -> Chosen:
    """The model without interaction: its log Z is known, and no returned model may be worse.

    W = 0, and b is twice the mean: the Gaussian fit. A base that has modes is taken as it is, with
    b = 0.
    """
    plain = _without_interaction(state.averaged, trainer.training)
    state = eqx.tree_at(lambda s: s.averaged, state, plain)
    value = float(base_log_partition(trainer.combine(state.averaged)))
    return _chosen(trainer, state, exact_result(value, "exact"))._replace(is_base=True)


@compiled_briefly
def _without_interaction(parameters: Harmonium, rows: AbstractRows) -> Harmonium:
    mean = rows.mean(rows.completed)
    bias = jnp.zeros_like(mean) if parameters.base.has_modes else 2 * mean
    return eqx.tree_at(
        lambda model: (model.weights, model.visible_bias),
        parameters,
        (jnp.zeros_like(parameters.weights), bias),
    )


def _chosen(trainer: Trainer, state: State, log_partition: LogPartition) -> Chosen:
    running = float(trainer.evaluate(state)["running_log_partition"])
    log_partition = reconcile(log_partition, running)
    return Chosen(state, log_partition, -_free_energies(trainer, state) - log_partition.value)


def _free_energies(trainer: Trainer, state: State) -> Float[np.ndarray, "rows"]:
    held_out = trainer.held_out
    found = compiled_briefly(held_out.free_energies)(trainer.combine(state.averaged))
    found = np.asarray(found, np.float64)[: int(held_out.n_rows)]
    return mean_of_copies(found, int(held_out.n_rows) // int(held_out.n_copies))


def mean_of_copies(values: Float[np.ndarray, "copies"], n_rows: int) -> Float[np.ndarray, "rows"]:
    """The mean over the copies of every row, which come all once, then again, then in part."""
    row = np.arange(len(values)) % n_rows
    return np.bincount(row, values) / np.bincount(row)


def reconcile(log_partition: LogPartition, running: float) -> LogPartition:
    """The final estimate in the light of the running one, which is NaN if there is none.

    An unbiased estimate of Z exceeds log Z + a with probability at most exp(-a) (Markov's
    inequality), while it may be far too low when it misses a mode. The running estimate is nearly
    unbiased (what is chosen by it leans low), and bridge sampling too is low where it misses a
    mode. Where they disagree, the larger one is the better guess, and neither is trusted.
    """
    difference = running - log_partition.value
    allowed = MAX_DISAGREEMENT + 3 * log_partition.standard_error
    exact = log_partition.method in ("exact", "quadrature")
    if exact or not math.isfinite(running) or abs(difference) <= allowed:
        return log_partition
    larger = max(running, log_partition.value)
    return replace(
        log_partition,
        value=larger,
        low=min(log_partition.low, running),
        high=max(log_partition.high, larger),
        trusted=False,
        verdict=(
            f"log Z is NOT reliable: its estimate is {log_partition.value:.2f}, that of the chains "
            "of "
            f"the training {running:.2f} nats, so one of them may miss a mode; the larger is used. "
            "Use scores as a ranking, do not quote log-densities."
        ),
    )
