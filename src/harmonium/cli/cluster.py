"""Ray: on this machine, or on the cluster that RAY_ADDRESS names."""

import importlib
import importlib.util
import logging
import os

from harmonium.errors import InvalidInputError


def require_ray() -> None:
    """Raise before any work is done if Ray is not there."""
    try:
        is_there = importlib.util.find_spec("ray.data") is not None
    except ImportError:
        is_there = False
    if not is_there:
        raise InvalidInputError(
            "--ray: the package ray is not installed. Try: pip install 'harmonium[ray]'."
        )


def start_ray() -> None:
    """Start Ray unless it runs, until this process ends; it forks, which JAX bears only before it
    is imported.

    Ray is silent: its own lines would mix with those of the command.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = importlib.import_module("ray")
    if not ray.is_initialized():
        ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
