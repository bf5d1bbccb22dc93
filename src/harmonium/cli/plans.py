"""What a `fit` is asked to do, new or going on: settings from a file, options, and the folder."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harmonium.cli.options import CONFIG_FILE
from harmonium.cli.runs import DATA_SECTION, check_resumable, check_run_output, read_config
from harmonium.cli.work import Run, make_detector_settings, make_settings
from harmonium.console import Console
from harmonium.data import LongTable, column_names, fingerprint, sample_rows
from harmonium.errors import InvalidInputError, describe, option
from harmonium.report.extra import require_packages

_log = logging.getLogger(__name__)

MAX_ROWS = 100_000
FEWEST_ROWS = 8


@dataclass(frozen=True)
class Plan:
    """Settings by name, as config.toml holds them, and where the run goes; `named` is the column
    that names rows, and `begun` describes the table that the run was begun with.
    """

    output: Path
    settings: dict[str, Any]
    detector: dict[str, Any] | None
    kinds: dict[str, str]
    max_rows: int
    report: bool
    named: str | None
    begun: dict[str, Any] | None = None

    def read(self, data: Path, console: Console, *, logs: bool) -> Run:
        """Read the rows to train on."""
        settings = make_settings(self.settings)
        detector = self.detector
        if detector is not None:
            detector = make_detector_settings(detector, settings.seed)
        self._check_named(data)
        _log.info("reading %s", data.name)
        table, n_rows, numbers = sample_rows(
            data, self.max_rows, kinds=self.kinds, seed=settings.seed, call=str(data)
        )
        _log.info("%s: %d rows x %d columns", data.name, n_rows, table.n_columns)
        source = LongTable(data, n_rows, numbers) if n_rows > table.n_rows else None
        if source is not None:
            console.print(
                f"{table.n_rows} of {n_rows} rows at a time, drawn at random, are held in memory"
            )
        if self.begun is not None and self.begun.get("fingerprint") != fingerprint(table):
            raise InvalidInputError(
                f"--resume {self.output}: {data} is not the table that this run was begun with: "
                "expected "
                f"{self.begun.get('rows')} rows x {self.begun.get('columns')} columns, got "
                f"{n_rows} x "
                f"{table.n_columns}, or other cells. Try: the same table, or a new run with -o."
            )
        return Run(
            settings=settings,
            kinds=self.kinds or None,
            table=table,
            output=self.output,
            hint=f"to go on: harmonium fit {data} --resume {self.output}",
            detector=detector,
            source=source,
            max_rows=self.max_rows,
            resume=self.begun is not None,
            logs=logs,
            report=self.report,
            named=self.named,
        )

    def _check_named(self, data: Path) -> None:
        """Raise unless the table has the column that names rows."""
        names = [] if self.named is None else column_names(data, call=str(data))
        if self.named is not None and self.named not in names:
            expected = f"a column of {data}, among {names}"
            raise InvalidInputError(describe("--id", expected=expected, got=repr(self.named)))


def run_name(data: Path) -> Path:
    """The run folder of a table without -o: in the working directory, named like the table."""
    return Path(f"{data.resolve().name.partition('.')[0] or 'table'}-run")


def begin(
    output: Path,
    config: Path | None,
    given: dict[str, Any],
    *,
    detector: bool,
    report: bool | None,
    overwrite: bool,
) -> Plan:
    """A new run; options go before the settings of the file."""
    check_run_output(output, overwrite=overwrite)
    settings = {} if config is None else read_config(config)
    # What the table of another run was like.
    settings.pop(DATA_SECTION, None)
    kinds = settings.pop("kinds", {}) | given.pop("kinds", {})
    of_detector = settings.pop("detector", {})
    if "contamination" in given:
        if not detector:
            raise InvalidInputError(
                "--contamination needs the detector, which --no-detector leaves out. Try: one of "
                "the two."
            )
        # A detector without a seed of its own has that of the density.
        of_detector |= {"contamination": given.pop("contamination")}
        of_detector.setdefault("seed", (settings | given).get("seed", 0))
    settings |= given
    report, named, max_rows = _report(settings, report), _named(settings), _max_rows(settings)
    if named is not None:
        kinds[named] = "identifier"
    return Plan(output, settings, of_detector if detector else None, kinds, max_rows, report, named)


def go_on(path: Path, refused: list[str], *, detector: bool, report: bool | None) -> Plan:
    """A run that was ended early, with its own settings and no others but whether there is a
    report.
    """
    if refused or not detector:
        named = [option(name) for name in refused or ["no_detector"]]
        raise InvalidInputError(
            f"--resume: a run continues with its own settings; got {', '.join(named)} too. Try: "
            "without them."
        )
    check_resumable(path)
    settings = read_config(path / CONFIG_FILE)
    begun, kinds = settings.pop(DATA_SECTION, {}), settings.pop("kinds", {})
    of_detector = settings.pop("detector", None)
    report, named, max_rows = _report(settings, report), _named(settings), _max_rows(settings)
    return Plan(path, settings, of_detector, kinds, max_rows, report, named, begun)


def _report(settings: dict[str, Any], given: bool | None) -> bool:
    """Whether to write a report: as given, or else as the settings have it, out of which it is
    taken.

    Where it is asked for, what draws has to be installed; by default it may be missing.
    """
    if given:
        require_packages("--report")
    found = settings.pop("report", True)
    if not isinstance(found, bool):
        raise InvalidInputError(f"--config, report: expected true or false; got {found!r}.")
    return found if given is None else given


def _named(settings: dict[str, Any]) -> str | None:
    """The column that names rows, taken out of the settings."""
    found = settings.pop("id", None)
    if found is not None and not isinstance(found, str):
        raise InvalidInputError(f"--config, id: expected the name of a column; got {found!r}.")
    return found


def _max_rows(settings: dict[str, Any]) -> int:
    """Taken out of the settings."""
    found = settings.pop("max_rows", MAX_ROWS)
    if not isinstance(found, int) or found < FEWEST_ROWS:
        raise InvalidInputError(
            f"--config, max_rows: expected a whole number of at least {FEWEST_ROWS}; got {found!r}."
        )
    return found
