"""The other end of `peer_process`: answers to requests, in nothing but the standard library, for
the peers' python and for ours.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

Answer = dict[str, Any]


def serve(answer: Callable[[Answer], Answer]) -> None:
    """Answer requests, a JSON object per line of standard input, until there are no more."""
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
