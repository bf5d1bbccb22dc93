"""A fit on several devices or by several processes: reading the options, joining, and ending
together.
"""

import os
import re
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harmonium.cli.later import Later
from harmonium.cli.shell import report_error
from harmonium.errors import HarmoniumWarning, InvalidInputError, describe

if TYPE_CHECKING:
    from harmonium.learning import devices as computing
else:
    computing = Later("harmonium.learning.devices")


@dataclass(frozen=True)
class Machines:
    """Where a fit runs: on devices of this process, or on all of several processes.

    `coordinator`, `processes` and `process` are None where the cluster knows them.
    """

    devices: int | None = None
    distributed: bool = False
    coordinator: str | None = None
    processes: int | None = None
    process: int | None = None

    def __post_init__(self):
        given = (self.coordinator, self.processes, self.process)
        if any(value is not None for value in given):
            self._check_coordinator()
        if self.joins and self.devices is not None:
            raise InvalidInputError(
                describe(
                    "--devices with several processes",
                    expected="one of the two: processes bring all their devices",
                    got=f"--devices {self.devices}",
                    hint="without --devices; CUDA_VISIBLE_DEVICES hides devices from a process",
                )
            )

    @property
    def joins(self) -> bool:
        """Whether this is one of several processes."""
        return self.distributed or self.coordinator is not None

    def _check_coordinator(self) -> None:
        if self.coordinator is None or self.processes is None or self.process is None:
            raise InvalidInputError(
                describe(
                    "--coordinator, --processes, --process",
                    expected="all three, or none where a cluster knows them",
                    got=f"{self.coordinator}, {self.processes}, {self.process}",
                    hint=(
                        "--coordinator HOST:PORT --processes 2 --process 0, and --process 1 for "
                        "the other"
                    ),
                )
            )
        if not re.fullmatch(r".+:\d{1,5}", self.coordinator):
            raise InvalidInputError(
                describe("--coordinator", expected="HOST:PORT", got=repr(self.coordinator))
            )
        if not 0 <= self.process < self.processes:
            raise InvalidInputError(
                describe(
                    "--process",
                    expected=(
                        f"from 0 to {self.processes - 1}, one number for each of --processes "
                        f"{self.processes}"
                    ),
                    got=str(self.process),
                )
            )

    @contextmanager
    def used(self) -> Iterator[bool]:
        """A block that runs on them; gives whether this process is the one that writes and
        speaks.
        """
        if not self.joins:
            with computing.use_devices(self.devices or 1):
                yield True
            return
        with (
            _ending_at_once(),
            computing.joined(self.coordinator, self.processes, self.process) as is_first,
        ):
            if not is_first:
                # The first speaks for all, and tells them when Ctrl-C has ended training.
                warnings.simplefilter("ignore", HarmoniumWarning)
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            with computing.use_devices():
                yield is_first


@contextmanager
def _ending_at_once() -> Iterator[None]:
    """An orderly exit of Python would wait for processes that may be gone."""
    try:
        yield
    except Exception as error:
        code = report_error(error)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
