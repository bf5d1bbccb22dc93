"""A peer at work: a process that holds another library, is told what to do in lines of JSON, and is
idle meanwhile.

The script of a peer runs under the peers' python and answers every line of its standard input, a
request, by one line of its standard output.
"""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.peers import peer_python

Request = dict[str, Any]


class ServedProcess:
    """A process that answers requests, with the environment that it starts in."""

    def __init__(self, call: Sequence[object], environment: dict[str, str] | None = None):
        self._process = subprocess.Popen(
            list(map(str, call)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def ask(self, request: Request) -> Any:
        """The answer to one request."""
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"the process ended while it worked on {request}; see its error above"
            )
        return json.loads(line)


class PeerProcess(ServedProcess):
    """A script of this folder under the peers' python, with its arguments."""

    def __init__(self, script: str, *arguments: object):
        super().__init__([peer_python(), Path(__file__).with_name(script), *arguments])
