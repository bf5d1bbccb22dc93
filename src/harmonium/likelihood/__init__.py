"""Layer 3: how big Z is."""

from harmonium.likelihood.estimate import estimate_log_partition
from harmonium.likelihood.result import LogPartition

__all__ = ["LogPartition", "estimate_log_partition"]
