"""Templates of pages, and pages written in one go."""

import base64
import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

from harmonium.files import write_atomically


def render(template: str, **shown: Any) -> str:
    """The text of a template of this package with what it shows; text is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("harmonium.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**shown)


def write_page(path: str | Path, text: str) -> None:
    """Write a page that appears under its name once it is complete."""
    write_atomically(
        path,
        lambda temporary: Path(temporary).write_text(text, encoding="utf-8", newline="\n"),
    )


def asset(name: str) -> str:
    """The text of a file that pages take in whole."""
    return resources.files("harmonium.report").joinpath("assets", name).read_text(encoding="utf-8")


def script_hash(script: str) -> str:
    """What a page's security policy knows a script by: no other one runs."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
