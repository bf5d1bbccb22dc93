"""Layer 3: how big Z is."""

from harmonium.likelihood.estimate import estimate_log_partition
from harmonium.likelihood.result import LogPartition
from harmonium.likelihood.trajectory import follow_log_partition

__all__ = ["LogPartition", "estimate_log_partition", "follow_log_partition"]
