"""Modules that a command imports when it works: whoever asks for help does not wait for JAX."""

from importlib import import_module
from typing import Any


class Later:
    """A module by its name, imported when something of it is first used."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._name), name)
