"""The packages that draw: they are no part of every installation."""

from importlib.util import find_spec

from harmonium.errors import InvalidInputError, describe

# They come with the extra `report`.
PACKAGES = ("jinja2", "matplotlib")
HOW_TO_INSTALL = "pip install 'harmonium[report]'"


def missing_packages() -> list[str]:
    """The names of those that are not installed; nothing is imported."""
    return [name for name in PACKAGES if find_spec(name) is None]


def require_packages(call: str) -> None:
    """Raise `InvalidInputError` unless all are installed; `call` is what was asked for."""
    if missing := missing_packages():
        expected, got = "the packages that draw", f"an installation without {' and '.join(missing)}"
        raise InvalidInputError(describe(call, expected=expected, got=got, hint=HOW_TO_INSTALL))
