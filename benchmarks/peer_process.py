"""A peer at work: a process that holds another library, is told what to do in lines of JSON, and is idle meanwhile.

The script of a peer runs under the peers' python and answers every line of its standard input, a request, by one
line of its standard output.
"""

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.peers import peer_python

Request = dict[str, Any]


class PeerProcess:
    """A script of this folder under the peers' python, with its arguments."""

    def __init__(self, script: str, *arguments: object):
        call = [peer_python(), Path(__file__).with_name(script), *map(str, arguments)]
        self._process = subprocess.Popen(
            call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> "PeerProcess":
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
            raise RuntimeError(f"the peer ended while it worked on {request}; see its error above")
        return json.loads(line)
