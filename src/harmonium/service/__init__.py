"""Layer 7: a fitted run behind HTTP, with what the extra `serve` installs.

Members are imported on their first use: the packages that serve are no part of every installation.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harmonium.service.app import create_app
    from harmonium.service.limits import Limits
    from harmonium.service.server import serve_run

_HOME_OF = {
    "Limits": "harmonium.service.limits",
    "create_app": "harmonium.service.app",
    "serve_run": "harmonium.service.server",
}

__all__ = ["Limits", "create_app", "serve_run"]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'harmonium.service' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
