"""What a request may ask for, and how much of it a service takes at once."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The limits of a service; every worker has its own.

    A request has at most `rows` rows in `bytes` bytes of body, which arrives within `body_seconds`;
    as many rows are drawn at most, and `explained_rows` get reasons. It is answered within
    `seconds`, or refused. A worker holds at most `connections` connections, `bytes_at_once` bytes
    of bodies, and `waiting` requests per lane; what comes beyond is refused with status 503.
    """

    rows: int = 4096
    bytes: int = 8 * 2**20
    seconds: float = 10.0
    body_seconds: float = 10.0
    explained_rows: int = 64
    waiting: int = 256
    connections: int = 1000
    bytes_at_once: int = 64 * 2**20

    @property
    def whole_seconds(self) -> float:
        """From the first byte of a request to the last byte of its answer."""
        return 2 * self.body_seconds + self.seconds
