"""log Z: its bracket, how it moved over training, and what the chains say of themselves."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harmonium.learning.result import LOWEST_ACCEPTANCE
from harmonium.likelihood.result import MAX_WIDTH, MIN_ESS
from harmonium.report.charts import DATA, SAMPLES, Chart, draw
from harmonium.report.training import UPDATES, series
from harmonium.report.view import RunView
from harmonium.report.words import count, fixed, listed, method_name, number, short
from harmonium.sampling.diagnostics import ESS_AT_LEAST, R_HAT_BELOW

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Check:
    """A figure, what it should be, and whether it is; `passed` is None where there is no rule."""

    name: str
    value: str
    wanted: str
    passed: bool | None


@dataclass(frozen=True)
class Partition:
    """The section on log Z and its chains."""

    value: str
    low: str
    high: str
    width: str
    method: str
    exact: bool
    checks: list[Check]
    chart: Chart | None
    chain_checks: list[Check]
    chains: str


def partition(view: RunView) -> Partition:
    """All that is known of log Z and of the chains of the kept model."""
    found = view.density.log_partition
    width = found.high - found.low
    diagnostics = view.metrics.get("diagnostics") or {}
    return Partition(
        value=fixed(found.value),
        low=fixed(found.low),
        high=fixed(found.high),
        width=fixed(width),
        method=method_name(found.method),
        exact=found.standard_error == 0 and width == 0,
        checks=[
            Check(
                "width of the 95 % interval, nats",
                fixed(width),
                f"at most {MAX_WIDTH:g}",
                width <= MAX_WIDTH,
            ),
            Check("standard error, nats", fixed(found.standard_error, 3), "", None),
            Check(
                "effective sample size",
                count(found.ess) if math.isfinite(found.ess) else "exact",
                f"at least {MIN_ESS:g}",
                found.ess >= MIN_ESS,
            ),
        ],
        chart=_running_chart(view),
        chain_checks=_chain_checks(diagnostics) if diagnostics else [],
        chains=_chains(diagnostics) if diagnostics else "",
    )


def _running_chart(view: RunView) -> Chart | None:
    x, y = series(view.history, "running_log_partition")
    if not len(x):
        return None
    found = view.density.log_partition
    kept = number(view.metrics, "kept_update")
    place = kept if math.isfinite(kept) else float(x[-1])
    label = (
        f"Running estimate of log Z over the updates, {short(float(y[0]))} nats at the start and "
        f"{short(float(y[-1]))} at the end; "
        f"the final estimate for the kept state is {fixed(found.value)} nats, from "
        f"{fixed(found.low)} to {fixed(found.high)}."
    )

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        axes.plot(x, y, color=DATA, linewidth=1.8, label="running estimate")
        if math.isfinite(found.value):
            span = [[found.value - found.low], [found.high - found.value]]
            name = "final estimate, 95 % interval"
            axes.errorbar([place], [found.value], span, fmt="D", color=SAMPLES, ms=6, label=name)
        axes.set_xlim(left=0)
        axes.set_xlabel(UPDATES)
        axes.set_ylabel("log Z, nats")
        figure.legend(loc="outside upper left", ncols=2)

    return draw("log-partition", label, (430, 270), paint)


def _chain_checks(found: Mapping[str, Any]) -> list[Check]:
    r_hat, start_r_hat = number(found, "r_hat"), number(found, "start_r_hat")
    ess, acceptance = number(found, "bulk_ess"), number(found, "acceptance")
    time, below = number(found, "autocorrelation_time"), f"below {R_HAT_BELOW:g}"
    worst = str(found.get("worst") or "")
    checks = [
        Check(
            f"R-hat, worst of all quantities{f' ({worst})' if worst else ''}",
            fixed(r_hat, 3),
            below,
            r_hat < R_HAT_BELOW,
        ),
        Check("R-hat between the starts", fixed(start_r_hat, 3), below, start_r_hat < R_HAT_BELOW),
        Check(
            "effective sample size, bulk",
            count(ess),
            f"at least {ESS_AT_LEAST:g}",
            ess >= ESS_AT_LEAST,
        ),
        Check("effective sample size, tails", count(number(found, "tail_ess")), "", None),
        Check("autocorrelation time, steps", short(time), "", None),
        Check(
            "acceptance",
            fixed(acceptance),
            f"at least {LOWEST_ACCEPTANCE:g}",
            acceptance >= LOWEST_ACCEPTANCE,
        ),
    ]
    jumps = number(found, "jump_acceptance")
    if math.isfinite(jumps):
        checks.append(Check("acceptance of jumps between modes", fixed(jumps), "", None))
    gaps = found.get("start_gaps") or {}
    return checks + [
        Check(
            f"distance of the chains from {start}, standard deviations",
            fixed(number(gaps, start)),
            "",
            None,
        )
        for start in gaps
    ]


def _chains(found: Mapping[str, Any]) -> str:
    starts = listed([str(start) for start in found.get("starts") or ["one start"]])
    return (
        f"{count(number(found, 'n_chains'))} {found.get('kernel', '')} chains from {starts}, "
        f"{count(number(found, 'n_steps'))} "
        "steps each, with the parameters frozen."
    )
