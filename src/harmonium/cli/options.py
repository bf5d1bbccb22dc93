"""Options that several commands share, and how their values are read."""

import difflib
import os
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from harmonium.errors import InvalidInputError, describe

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}

# Exit code of what Ctrl-C has ended.
INTERRUPTED = 130
# Exit code of a monitor that has found a drift, and of a list that was not to have rows.
ALARM = 3
# Exit code of work that failed, be it for some of many files.
FAILED = 1
# Exit code where the reader of standard output has gone, as that of processes which SIGPIPE ends.
BROKEN_PIPE = 141

MODEL_FILE = "model.safetensors"
DETECTOR_FILE = "detector.safetensors"
CONFIG_FILE = "config.toml"
METRICS_FILE = "metrics.json"

# In the place of a path: standard input, or standard output.
STANDARD = Path("-")
FORMATS = ("csv", "parquet", "arrow")


def default_is(value: object) -> str:
    """The end of the help of an option whose default is not seen from its declaration."""
    # Escaped: brackets are markup in help texts.
    return f"\\[default: {value}]"


def existing(path: Path | None) -> Path | None:
    """The path that was given, if something is there; a wrong one is named before any import."""
    if path is None or path.exists():
        return path
    parent = path.parent
    names = os.listdir(parent) if parent.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=1)
    hint = f" Did you mean {parent / near[0]}?" if near else ""
    raise InvalidInputError(f"{path}: there is no such file or folder.{hint}")


def existing_or_standard(path: Path) -> Path:
    """The same of a path that may be standard input."""
    if path != STANDARD:
        existing(path)
    elif sys.stdin is None or sys.stdin.isatty():
        raise InvalidInputError(
            "-: expected a table on standard input; got a terminal. Try: harmonium … - < table.csv."
        )
    return path


def all_existing(paths: list[Path]) -> list[Path]:
    """The paths that were given, if something is at each of them."""
    for path in paths:
        existing(path)
    return paths


DataArgument = Annotated[
    Path,
    typer.Argument(
        help="A table: CSV, TSV, Parquet, Arrow, NPY, JSON, Excel, or a folder of Parquet files.",
        callback=existing,
    ),
]
ManyArgument = Annotated[
    Path,
    typer.Argument(
        help="A table, as for fit; - for one on standard input, CSV, Arrow or Parquet; or a folder "
        "of tables, also in folders called KEY=VALUE.",
        callback=existing_or_standard,
    ),
]
OUTPUT_HELP = (
    "Table to write, .csv, .parquet or .arrow; - for standard output; or, where DATA is a folder, "
    "a folder with a file of results for each table. A folder that a call has left unfinished is "
    "gone on with."
)
OutputOption = Annotated[Path | None, typer.Option("-o", "--output", help=OUTPUT_HELP)]
FormatOption = Annotated[
    str | None,
    typer.Option(
        help="Write csv, parquet or arrow. "
        f"{default_is('the ending of -o, csv on standard output, in folders that of each table')}",
    ),
]
ModelArgument = Annotated[
    Path,
    typer.Argument(help="A run folder, or the model.safetensors inside it.", callback=existing),
]
SeedOption = Annotated[int, typer.Option(help="Seed of everything random.", min=0)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON.")]
TimeBudgetOption = Annotated[
    str | None, typer.Option(help="Time to aim for, for example 60s, 5m or 1h.")
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace what exists at the output path.")
]


RayOption = Annotated[
    bool,
    typer.Option(
        "--ray",
        help="Work on the tables of a folder on Ray, on this machine or the cluster at "
        "RAY_ADDRESS.",
    ),
]


def check_fdr(fdr: float) -> None:
    """Raise before any work is done if there is no such rate."""
    if not 0 < fdr < 1:
        raise InvalidInputError(
            describe("--fdr", expected="a rate between 0 and 1, both excluded", got=f"{fdr:g}")
        )


def parse_duration(text: str | None) -> float | None:
    """Seconds of a duration such as "90", "60s", "5m" or "1h"; None stays None."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|)\s*", text)
    if match is None or float(match[1]) <= 0:
        raise InvalidInputError(
            describe("--time-budget", expected="a duration such as 60s, 5m or 1h", got=repr(text))
        )
    return float(match[1]) * _UNITS[match[2]]


def check_log_to(name: str | None) -> bool:
    """Whether curves go to TensorBoard."""
    if name not in (None, "tensorboard"):
        raise InvalidInputError(describe("--log-to", expected="tensorboard", got=repr(name)))
    return name is not None


def parse_kinds(texts: list[str], dropped: list[str]) -> dict[str, str]:
    """Kinds by column name, of texts such as "zip=categorical"; the name may hold further signs of
    equality. Columns that are dropped are identifiers, which are never modeled.
    """
    kinds = dict.fromkeys(dropped, "identifier")
    for text in texts:
        name, sign, kind = text.rpartition("=")
        if not sign or not name or not kind:
            raise InvalidInputError(
                describe("--kind", expected="COLUMN=KIND, such as zip=categorical", got=repr(text))
            )
        if name in dropped:
            got = f"--drop {name} too"
            raise InvalidInputError(describe(f"--kind {text}", expected="one of both", got=got))
        kinds[name] = kind
    return kinds


def find_model(path: Path) -> Path:
    """The model file of a run folder, or the file itself."""
    if not path.is_dir():
        return path
    model = path / MODEL_FILE
    if not model.is_file() and (path / CONFIG_FILE).is_file():
        raise InvalidInputError(
            f"{path} holds a run that is not finished. Try: harmonium fit DATA --resume {path}."
        )
    if not model.is_file():
        raise InvalidInputError(
            f"{path} is a folder without a model.safetensors. Try: a run folder written by "
            "`harmonium fit`; the order is MODEL, then DATA."
        )
    return model


def find_detector(path: Path) -> Path:
    """The detector of a run folder, beside its model, or a file that is one itself."""
    folder = path if path.is_dir() else path.parent
    beside = folder / DETECTOR_FILE
    if path.is_dir() or path.name == MODEL_FILE:
        if not beside.is_file():
            raise InvalidInputError(
                f"{folder} holds no {DETECTOR_FILE}, so there is nothing to detect with. Try: "
                "`harmonium fit` without --no-detector."
            )
        return beside
    return path
