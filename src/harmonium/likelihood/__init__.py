"""Layer 3: how big Z is."""

from harmonium.likelihood.estimate import LogPartition, estimate_log_partition

__all__ = ["LogPartition", "estimate_log_partition"]
