"""The other process of `harmonium fit`: it fits the detector that standard input asks for."""

import json
import os
import signal
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from threading import Thread
from typing import BinaryIO

import numpy as np

from harmonium.artifact import StoredDetector, save_artifact
from harmonium.cli.oddest import find_oddest
from harmonium.data import Table
from harmonium.data.fields import fields_from_config
from harmonium.errors import HarmoniumWarning, in_shell
from harmonium.inference import DetectorSettings


def respond() -> None:
    """Read a line of JSON and the cells of a table; write the detector's file, then a line of JSON
    with the oddest row and the warnings, in the words for Python and for the command line.
    """
    # Ctrl-C is for the first process to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "w", encoding="utf-8")
    # Whatever else is printed must not stand among the answers.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    job = json.loads(asked.readline())
    fields = fields_from_config(job["fields"], call="fit")
    cells = np.array(np.frombuffer(asked.read(8 * job["n_rows"] * len(fields))))
    table = Table(cells.reshape(-1, len(fields)), tuple(own.name for own in fields), fields)
    Thread(target=_end_with, args=(asked,), daemon=True).start()
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always", HarmoniumWarning)
        stored = StoredDetector.fit(table, DetectorSettings(**job["settings"]))
    told = [own.message for own in raised if isinstance(own.message, HarmoniumWarning)]
    oddest = find_oddest(stored.detector, table.values, job["budget"])
    save_artifact(Path(job["path"]), stored)
    words = [(str(warning), in_shell(warning)) for warning in told]
    answers.write(json.dumps({"oddest": asdict(oddest), "warnings": words}) + "\n")
    answers.flush()
    # Nothing is left to be done, and tearing down JAX takes its time.
    os._exit(0)


def _end_with(asked: BinaryIO) -> None:
    """End when the first process does, which closes what it writes to."""
    asked.read()
    os._exit(1)
