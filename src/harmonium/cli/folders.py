"""A folder of tables, worked on one table at a time: a file of results for each, in a folder of the
same shape.

A table is a unit of work: what is found of it depends on no other, so that a call goes on where
another has ended, and a table that cannot be read costs none of the others.
"""

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harmonium.cli import streaming
from harmonium.cli.journal import Answer, Journal
from harmonium.cli.places import Place
from harmonium.data import Dialect, TableFile, ending_of
from harmonium.errors import HarmoniumError, InvalidInputError, NoRowsError, in_shell

# What works on a table and writes its results to a path.
Work = Callable[[Path, Path], Answer]
# Formats that results of tables have too, unless another is stated; of others, they are CSV.
FORMAT_OF = {".parquet": "parquet"} | dict.fromkeys(
    (".arrow", ".arrows", ".feather", ".ipc"), "arrow"
)
USUAL_FORMAT = "csv"
# Of an answer: what is shown once and not kept.
PASSING = "lowest"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """A table of a folder: its name there, its path, and the path of its results."""

    name: str
    source: Path
    result: Path


# A job with what was found, or with what was wrong.
Answers = Iterable[tuple[Job, Answer | str]]


@dataclass
class Outcome:
    """What was found of the tables of a folder, by name: of those done now, of those that an
    earlier call has done, and what was wrong with the others.
    """

    done: dict[str, Answer] = field(default_factory=dict)
    kept: dict[str, Answer] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def total(self, figure: str) -> int:
        """The sum of a figure over all tables, those that were done before among them."""
        answers = (*self.done.values(), *self.kept.values())
        return sum(answer.get(figure, 0) for answer in answers)

    def figures(self) -> dict[str, Any]:
        """What `--json` says of the files."""
        results = [{"file": name, **answer} for name, answer in (self.kept | self.done).items()]
        return {
            "files": len(results) + len(self.failed),
            "kept": len(self.kept),
            "failed": [{"file": name, "error": text} for name, text in self.failed.items()],
            "rows": self.total("rows"),
            "results": sorted(results, key=lambda own: own["file"]),
        }

    def in_words(self) -> str:
        """How many tables and rows there were."""
        n_done = len(self.done) + len(self.kept)
        counts = [f"{n_done} of {n_done + len(self.failed)} tables"]
        counts += [f"{len(self.kept)} of them kept from before"] if self.kept else []
        return f"{', '.join(counts)}, {self.total('rows')} rows"


def list_jobs(data: Path, place: Place) -> list[Job]:
    """The tables of a folder and of those within it, by name; what begins with a point or an
    underscore is passed over, as it is elsewhere, and so are files that are no tables.

    Raises `InvalidInputError` if there is none, or if two would have one file of results.
    """
    assert place.path is not None
    jobs: dict[Path, Job] = {}
    for folder, inner, files in os.walk(data):
        inner[:] = [name for name in inner if name[0] not in "._"]
        for name in files:
            ending = ending_of(name)
            if ending is None or name[0] in "._":
                continue
            source = Path(folder, name)
            own = source.relative_to(data)
            format = place.format or FORMAT_OF.get(ending, USUAL_FORMAT)
            result = place.path / own.with_name(f"{name[: -len(ending)]}.{format}")
            if result in jobs:
                raise InvalidInputError(
                    f"{data}: {jobs[result].name} and {own} would both have their results in "
                    f"{result}. Try: rename one."
                )
            jobs[result] = Job(own.as_posix(), source, result)
    if not jobs:
        raise InvalidInputError(f"{data}: expected a folder with tables in it; got none.")
    return sorted(jobs.values(), key=lambda job: job.name)


def work_through(
    jobs: list[Job], journal: Journal, answers: Callable[[list[Job]], Answers]
) -> Outcome:
    """Let `answers` work on all tables that are not done yet, and note each once it is."""
    outcome, waiting = Outcome(), []
    for job in jobs:
        if (found := journal.kept(job.name, job.source, job.result)) is not None:
            outcome.kept[job.name] = found
            continue
        job.result.unlink(missing_ok=True)
        job.result.parent.mkdir(parents=True, exist_ok=True)
        waiting.append(job)
    _log.info("working on %d tables", len(waiting))
    for number, (job, answer) in enumerate(answers(waiting), start=1):
        if isinstance(answer, str):
            outcome.failed[job.name] = answer
        else:
            lasting = {name: value for name, value in answer.items() if name != PASSING}
            journal.add(job.name, job.source, lasting)
            outcome.done[job.name] = answer
        _log.debug("%d of %d tables done", number, len(waiting))
    return outcome


def answers_here(work: Work, jobs: Iterable[Job]) -> Answers:
    """What the work finds of each table, in this process; of its phases nothing is said."""
    phases = logging.getLogger(streaming.__name__)
    level = phases.level
    phases.setLevel(logging.WARNING)
    try:
        for job in jobs:
            yield job, attempt(work, job.source, job.result)
    finally:
        phases.setLevel(level)


def attempt(work: Work, source: Path, result: Path) -> Answer | str:
    """What the work finds of a table, or what is wrong with it; of one without rows, just that."""
    try:
        return work(source, result)
    except NoRowsError:
        return {"rows": 0}
    except HarmoniumError as error:
        return in_shell(error)
    except Exception as error:  # Whatever a table holds, the others are to be done.
        return f"{source}: {type(error).__name__}: {error}"


class Reading:
    """`make(**arguments)`, which works on tables whose text is written in this dialect."""

    def __init__(self, make: Callable[..., Work], arguments: Mapping[str, Any], dialect: Dialect):
        self._work, self._dialect = make(**arguments), dialect

    def __call__(self, source: Path, result: Path) -> Answer:
        """What is found of a table."""
        return self._work(TableFile.of(source, self._dialect), result)


def clear_leftovers(output: Path) -> None:
    """Remove what killed processes have left half-written in a folder of results."""
    for leftover in output.rglob(".*.partial"):
        leftover.unlink(missing_ok=True)
