"""Writes docs/cli.md from the commands themselves: `python docs/make_cli.py`, or `make docs`."""

import inspect
import re
import types
import typing
from pathlib import Path
from typing import Any

from typer.models import ArgumentInfo, CommandInfo, OptionInfo

from harmonium.cli.app import app, options

PAGE = Path(__file__).with_name("cli.md")
VALUES = {"int": "N", "float": "X", "Path": "PATH", "str": "TEXT", "list": "TEXT"}
# What `default_is` makes: brackets are escaped for the terminal.
DEFAULT = re.compile(r"\\\[default: (.*)]$")
HEAD = """# The command line

`harmonium COMMAND [OPTIONS] …` fits densities to tables and uses them. This page is made from the
commands by `make docs`; `harmonium COMMAND --help` says the same in a terminal.

Exit codes: 0 success, 1 failed work, 2 wrong usage or input, 3 an alarm of `monitor` or rows that
`detect --fail-on-flagged` flags, 130 ended by Ctrl-C, 141 the reader of standard output has gone.
Errors are a line or two on the error channel that say what was wrong and what to do; `--debug`
shows the traceback, and `--quiet` leaves progress and advice out, both before or after the
command. A file is written whole or not at all, and nothing is replaced without `--overwrite`.
`harmonium --install-completion` sets up completion for your shell.
"""


class Parameter(typing.NamedTuple):
    """One argument or option of a command."""

    name: str
    kind: Any
    info: ArgumentInfo | OptionInfo
    default: Any

    @property
    def is_argument(self) -> bool:
        """Whether it goes by position."""
        return isinstance(self.info, ArgumentInfo)

    def spelled(self) -> str:
        """As it is typed."""
        if self.is_argument:
            return self.name.upper()
        names = self.stated_names()
        if self.kind is bool:
            dashed = self.name.replace("_", "-")
            return ", ".join(names) or f"--{dashed} / --no-{dashed}"
        names = names or [f"--{self.name.replace('_', '-')}"]
        return f"{', '.join(names)} {VALUES[self.kind.__name__]}"

    def stated_names(self) -> list[str]:
        """The names that the declaration gives; Typer takes the first of them for a default until
        it looks closer.
        """
        given = (self.info.default, *(self.info.param_decls or ()))
        return [name for name in given if isinstance(name, str) and name.startswith("-")]

    def described(self) -> str:
        """What it is for, and what holds without it."""
        text = DEFAULT.sub(r"Default: \1.", str(self.info.help or "").strip())
        if self.default is inspect.Parameter.empty:
            return text if self.is_argument else f"{text} Required."
        if "Default: " in text or self.default is None or self.default is False or self.is_argument:
            return text
        shown = {True: "on"}.get(self.default, self.default) if self.kind is bool else self.default
        return f"{text} Default: {shown}."


def render() -> str:
    """The whole page."""
    shared = [line(parameter) for parameter in parameters_of(options)]
    parts = [HEAD, "## Options before the command\n", "\n".join(shared) + "\n"]
    commands = sorted(app.registered_commands, key=name_of)
    links = [f"[{name_of(command)}](#{name_of(command)})" for command in commands]
    parts.insert(1, f"Commands: {', '.join(links)}.\n")
    return "\n".join([*parts, *map(section, commands)])


def section(command: CommandInfo) -> str:
    """What there is to say of one command."""
    assert command.callback is not None
    found = parameters_of(command.callback)
    arguments = [parameter for parameter in found if parameter.is_argument]
    chosen = [parameter for parameter in found if not parameter.is_argument]
    places = [
        p.spelled() if p.default is inspect.Parameter.empty else f"[{p.spelled()}]"
        for p in arguments
    ]
    usage = " ".join(["harmonium", name_of(command), *places, "[OPTIONS]"])
    paragraphs = inspect.cleandoc(command.callback.__doc__ or "").split("\n\n")
    text = [
        example(part) if part.startswith("Example: ") else " ".join(part.split())
        for part in paragraphs
    ]
    lists = ["\n".join(map(line, group)) for group in (arguments, chosen) if group]
    return "\n\n".join([f"## {name_of(command)}", f"    {usage}", *text, *lists]) + "\n"


def example(paragraph: str) -> str:
    """An example as a block that can be copied."""
    return f"Example:\n\n    {paragraph.removeprefix('Example: ')}"


def line(parameter: Parameter) -> str:
    """One item of a list of arguments or options."""
    return f"- `{parameter.spelled()}`: {parameter.described()}"


def name_of(command: CommandInfo) -> str:
    """What is typed for a command."""
    return command.name or getattr(command.callback, "__name__", "").replace("_", "-")


def parameters_of(function: Any) -> list[Parameter]:
    """The arguments and options that a function declares."""
    hints = typing.get_type_hints(function, include_extras=True)
    found = []
    for name, own in inspect.signature(function).parameters.items():
        kind, info = typing.get_args(hints[name])[:2]
        found.append(Parameter(name, plain(kind), info, own.default))
    return found


def plain(kind: Any) -> Any:
    """A type without None, and a list without its items."""
    if isinstance(kind, types.UnionType):
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    return typing.get_origin(kind) or kind


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
