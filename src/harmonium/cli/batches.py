"""What commands that work on one table or on many have in common."""

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harmonium.cli.folders import (
    Outcome,
    Reading,
    Work,
    answers_here,
    clear_leftovers,
    list_jobs,
    work_through,
)
from harmonium.cli.journal import Journal
from harmonium.cli.options import STANDARD
from harmonium.cli.places import Place
from harmonium.cli.shell import errors, say
from harmonium.cli.spread import answers_on_ray
from harmonium.data import Dialect, TableFile, spooled
from harmonium.errors import HarmoniumWarning, finding_of

# Tables whose faults are told one by one.
MOST_TOLD = 20


@dataclass(frozen=True)
class Batch:
    """A folder of tables, where its results go, whether these are begun anew, and whether Ray does
    the work.
    """

    data: Path
    place: Place
    anew: bool
    on_ray: bool

    def run(
        self,
        work: Work,
        make: Callable[..., Work],
        arguments: Mapping[str, Any],
        settings: Mapping[str, Any],
    ) -> Outcome:
        """What `work`, which is `make(**arguments)`, finds of every table that no earlier call with
        the same `settings` has done.
        """
        output = self.place.path
        assert output is not None
        jobs = list_jobs(self.data, self.place)
        output.mkdir(exist_ok=True)
        clear_leftovers(output)
        dialect = TableFile.of(self.data).dialect
        written = {"--format": self.place.format, **_stated(dialect)}
        journal = Journal(output, {**settings, **written}, anew=self.anew)
        with _each_warning_once():
            if self.on_ray:
                there = {"make": make, "arguments": arguments, "dialect": dialect}
                return work_through(jobs, journal, lambda own: answers_on_ray(Reading, there, own))
            here = Reading(lambda: work, {}, dialect)
            return work_through(jobs, journal, lambda own: answers_here(here, own))


@contextmanager
def table_of(data: Path) -> Iterator[TableFile]:
    """A block in which the table at a path, or on standard input, can be read more than once."""
    if data != STANDARD:
        yield TableFile.of(data)
        return
    with spooled(sys.stdin.buffer, "standard input", TableFile.of(data).dialect) as table:
        yield table


def say_result(place: Place, text: str) -> None:
    """Print a result beside the table, on standard output unless the table is there."""
    if place.is_standard:
        errors.print(text)
    else:
        print(text)


def tell_failed(outcome: Outcome) -> None:
    """Name the tables that failed."""
    told = list(outcome.failed.items())[:MOST_TOLD]
    for _, text in told:
        say(f"error: {text}")
    if n_more := len(outcome.failed) - len(told):
        say(f"error: {n_more} more tables failed. All: --json.")


def absolute(path: Path | None) -> Path | None:
    """The same path for a process that works elsewhere."""
    if isinstance(path, TableFile):
        return TableFile.of(path.resolve(), path.dialect, path.title or str(path))
    return None if path is None else path.resolve()


def _stated(dialect: Dialect) -> dict[str, Any]:
    """What was stated of how tables are written."""
    names = {"separator": "--sep", "decimal": "--decimal", "encoding": "--encoding"}
    stated = {option: getattr(dialect, name) for name, option in names.items()}
    # As it comes back from the journal.
    return {**stated, "--missing": list(dialect.missing)}


@contextmanager
def _each_warning_once() -> Iterator[None]:
    """A block in which tables of a folder that are alike bring one warning, of the first."""
    show, seen = warnings.showwarning, set[str]()

    def show_new(message: Any, kind: type[Warning], *where: Any, **more: Any) -> None:
        finding = finding_of(message) if isinstance(message, Warning) else str(message)
        if finding not in seen:
            seen.add(finding)
            show(message, kind, *where, **more)

    with warnings.catch_warnings():
        warnings.simplefilter("always", HarmoniumWarning)
        warnings.showwarning = show_new
        yield
