"""uvicorn's protocol with two more limits: heads of requests come soon and are short, and no
message goes on for ever.
"""

import asyncio
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from harmonium.service.bodies import DROPPED
from harmonium.service.limits import Limits

# Bytes of the line and the headers of a request.
MOST_HEAD = 64 * 2**10
TOO_LONG = "The head of the request is too long."


class LimitedConfig(uvicorn.Config):
    """The settings of a server, with the limits of its connections."""

    def __init__(self, app: Any, limits: Limits, **settings: Any):
        super().__init__(app, http=LimitedProtocol, **settings)
        self.limits = limits


class LimitedProtocol(HttpToolsProtocol):
    """Closes connections on which a head is late or too long, and endless messages."""

    _deadline: asyncio.TimerHandle | None = None
    _n_bytes = 0
    _in_head = True

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a head."""
        assert isinstance(self.config, LimitedConfig)
        self._limits = self.config.limits
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._cancel_deadline()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A head has begun: it is to end soon."""
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._in_head = False
        self._cancel_deadline()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Wait for the next head."""
        super().on_message_complete()
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Take bytes, unless there are too many."""
        self._n_bytes += len(data)
        super().data_received(data)
        longest = (DROPPED + 1) * self._limits.bytes + MOST_HEAD
        most = MOST_HEAD if self._in_head else longest
        if self._n_bytes > most and not self.transport.is_closing():
            if self._in_head:
                self.send_400_response(TOO_LONG)
            else:
                self.transport.abort()

    def _expect_head(self) -> None:
        self._cancel_deadline()
        self._in_head, self._n_bytes = True, 0
        self._deadline = self.loop.call_later(self._limits.body_seconds, self._is_late)

    def _is_late(self) -> None:
        # The next head may be waited for while an answer is on its way.
        if self.cycle is not None and not self.cycle.response_complete:
            self._deadline = self.loop.call_later(self._limits.body_seconds, self._is_late)
        else:
            self.timeout_keep_alive_handler()

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
