"""What benchmarks say of a `DensityEstimator`: log Z, what was chosen, whether chains travel."""

from typing import Any

from harmonium import DensityEstimator


def log_z(estimator: DensityEstimator) -> str:
    """The interval of log Z, in nats."""
    found = estimator.log_partition_
    return f"[{found.low:.3f}, {found.high:.3f}]"


def log_z_facts(estimator: DensityEstimator) -> dict[str, Any]:
    """log Z with its interval as numbers, and whether the fit may be trusted."""
    found = estimator.log_partition_
    return {
        "log Z": float(found.value),
        "log Z low": float(found.low),
        "log Z high": float(found.high),
        "trusted": bool(found.trusted),
    }


def chosen(estimator: DensityEstimator) -> str:
    """The base that was chosen, its size, and whether the residual energy was kept."""
    found = estimator.chosen_
    return f"{found.base} {found.n_components}" + (" + residual" if found.residual else "")


def chains_travel(estimator: DensityEstimator) -> bool:
    """Whether the verdict leaves standing that chains agree and travel between modes."""
    return not any(words in estimator.verdict_ for words in ("do NOT travel", "do NOT agree"))
