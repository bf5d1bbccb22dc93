"""Messages of the library in the words of the command line.

The library advises what to type in Python. What a command can meet of that is turned here into
options, at the one place where errors and warnings are printed.
"""

import re
import shlex

_OPTIONS = {"n_updates": "updates", "n_hidden": "hidden", "kinds": "kind", "random_state": "seed"}


def as_option(name: str) -> str:
    """A setting of a fit as it is typed."""
    return f"--{_OPTIONS.get(name, name).replace('_', '-')}"


def _kind(match: re.Match[str]) -> str:
    return f"--kind {shlex.quote(f'{match[2]}={match[3]}')}"


_REWORDED = [
    (re.compile(r"(?:fit with )?kinds=\{(['\"])(.+?)\1: '(\w+)'\}"), _kind),
    (
        re.compile(r"expected kinds among \('auto', (.+?)\)"),
        r"expected --kind COLUMN=KIND with a kind among \1",
    ),
    (re.compile(r"\bkinds for\b"), "--kind or --drop for"),
    (re.compile(r"^Dialect\(.*?\): expected an encoding"), "--encoding: expected an encoding"),
    (re.compile(r"^Dialect\(.*?\): expected a decimal"), "--decimal: expected a decimal"),
    (re.compile(r"^Dialect\(.*?\): expected a separator"), "--sep: expected a separator"),
    (re.compile(r"\bDialect\(separator=\"(.)\"\)"), r"--sep '\1'"),
    (re.compile(r"\bDialect\(decimal=\"(.)\"\)"), r"--decimal '\1'"),
    (
        re.compile(r"\bDialect\(separator=\"(.)\", decimal=\"(.)\"\)"),
        r"--sep '\1' --decimal '\2'",
    ),
    (re.compile(r"\bDialect\(encoding=\"(.+?)\"\)"), r"--encoding \1"),
    (re.compile(r"^(?:load|save)\('(.*?)'\)"), r"\1"),
    (
        re.compile(r"a file written by save\(\) or by `harmonium fit`"),
        "a run folder written by `harmonium fit`",
    ),
    (re.compile(r"^fit\(X\)"), "fit"),
    (re.compile(r"\boverwrite=True\b"), "--overwrite"),
    (re.compile(r"\bformats=\[\"(\w+)\"\]"), r"--format \1"),
    (re.compile(r"^sample\(n, (given|balance)=\.\.\.\)"), r"--\1"),
    (re.compile(r"\beffort='(\w+)'"), r"--effort \1"),
    (re.compile(r"pass an array to go by position"), "write an NPY file, which goes by position"),
    (re.compile(r"(\d+) sample\(s\)\."), r"\1."),
    (
        re.compile(r"^(?:DensityEstimator|Monitor)\((\w+)=\.\.\.\)"),
        lambda match: as_option(match[1]),
    ),
    (
        re.compile(
            r"\d+ sample\(s\) \(shape=\((\d+), (\d+)\)\) while a minimum of \d+ is required"
        ),
        r"\1 and \2",
    ),
    (
        re.compile(r" \((?:This file contains pickled|Cannot load file containing pickled).*?\)\."),
        ".",
    ),
    (re.compile(r" \(X has \d+ features, but .*?\)"), ""),
    (re.compile(r"numpy\.savez\(path, X=X\)"), "an archive whose array is called X"),
    (
        re.compile(r"calibrate\(X\) with normal rows"),
        "detect --calibrate with a file of normal rows",
    ),
]


def reworded(message: str) -> str:
    """The message as the command line says it."""
    for pattern, words in _REWORDED:
        message = pattern.sub(words, message)
    return message
