"""Where the results of a command go: nowhere, a file, standard output, or a folder of files."""

from dataclasses import dataclass
from pathlib import Path

from harmonium.cli.options import FORMATS, STANDARD
from harmonium.cli.runs import MIXED_SUFFIXES, check_parent, check_table_output
from harmonium.errors import InvalidInputError, describe

# In a folder of results: what was done with which settings. Readers of folders pass over it.
JOURNAL = "_harmonium.jsonl"


@dataclass(frozen=True)
class Place:
    """A path, None for nowhere, and what was stated of the format of files there."""

    path: Path | None
    format: str | None
    is_folder: bool = False

    @property
    def is_standard(self) -> bool:
        """Whether results go to standard output, so that nothing else may."""
        return self.path == STANDARD

    def named(self) -> str:
        """The end of a line that says what was written."""
        return "" if self.path is None or self.is_standard else f" -> {self.path}"


def find_place(
    data: Path,
    output: Path | None,
    stated: str | None,
    *,
    overwrite: bool,
    as_json: bool,
    on_ray: bool,
) -> Place:
    """Where results go that `-o output` and `--format stated` ask for.

    Raises `InvalidInputError` before any work is done if they cannot or must not be written there.
    """
    if stated is not None and stated not in FORMATS:
        expected = f"one of {', '.join(FORMATS)}"
        raise InvalidInputError(describe("--format", expected=expected, got=repr(stated)))
    is_folder = data.is_dir() and output not in (None, STANDARD)
    if is_folder and output is not None and output.suffix.lower() not in MIXED_SUFFIXES:
        check_folder(data, output)
        return Place(output, stated, is_folder=True)
    if on_ray:
        got = f"{data}" if output is not None else "no -o"
        raise InvalidInputError(
            f"--ray: expected a folder of tables and -o FOLDER for the results; got {got}."
        )
    if output is None:
        if stated is not None:
            got = f"--format {stated} alone"
            raise InvalidInputError(describe("--format", expected="-o too", got=got))
        return Place(None, None)
    if output == STANDARD:
        if as_json:
            raise InvalidInputError(
                describe("--json", expected="-o FILE, or none", got="-o -, which is for the table")
            )
        return Place(output, stated or "csv")
    check_table_output(output, overwrite=overwrite, suffixes=MIXED_SUFFIXES)
    own = output.suffix.lower().removeprefix(".")
    if stated not in (None, own):
        got = f"--format {stated}"
        raise InvalidInputError(describe(f"-o {output}", expected=f"--format {own}", got=got))
    return Place(output, own)


def check_folder(data: Path, path: Path) -> None:
    """Raise if results of the tables in `data` cannot or must not be written into a folder."""
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise InvalidInputError(f"{path} is not a folder; it is not replaced. Try: another path.")
    whole, rows = path.resolve(), data.resolve()
    if whole == rows or whole in rows.parents or rows in whole.parents:
        raise InvalidInputError(
            f"-o {path}: expected a folder apart from that of the rows, {data}; got one that is, "
            "holds or is in it. Try: another folder."
        )
    names = sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []
    if names and JOURNAL not in names:
        raise InvalidInputError(
            f"{path} holds other files, such as {names[0]}. Try: an empty folder, or a new one."
        )
    check_parent(path)
