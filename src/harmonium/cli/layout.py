"""Text that fits the terminal: wrapped between words, and lists in columns."""

import shutil
import textwrap
from collections.abc import Sequence

# Narrower columns of words are put on lines of their own.
LEAST_WIDTH = 24


def wrapped(text: str, *, indent: str = "") -> str:
    """The text in lines as wide as the terminal, broken between words alone; `indent` begins all
    lines but the first.
    """
    return textwrap.fill(
        text,
        max(shutil.get_terminal_size().columns, 2 * LEAST_WIDTH),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def listed(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells below their headings: the last column wrapped, the others as wide as needed."""
    lines = [list(headings), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)][:-1]
    heads = ["  ".join(map(str.ljust, line[:-1], widths)) for line in lines]
    n_indent = sum(widths) + 2 * len(widths)
    if shutil.get_terminal_size().columns - n_indent < LEAST_WIDTH:
        return "\n".join(
            f"{head}\n{wrapped('    ' + line[-1], indent='    ')}"
            for head, line in zip(heads, lines, strict=True)
        )
    return "\n".join(
        wrapped(f"{head}  {line[-1]}", indent=" " * n_indent).rstrip()
        for head, line in zip(heads, lines, strict=True)
    )


def summary(rows: Sequence[tuple[str, str]]) -> str:
    """Facts below each other: a word for each, and what it says, wrapped."""
    width = max(len(name) for name, _ in rows) + 4
    return "\n".join(
        wrapped(f"  {name}".ljust(width) + text, indent=" " * width) for name, text in rows
    )
