"""What every request passes: it is counted, and does not take for ever."""

import asyncio
import time

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from harmonium.service.counters import ENDPOINTS, GONE, Counters


class Gate:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp, counters: Counters, seconds: float):
        self._app, self._counters, self._seconds = app, counters, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; one that takes too long, in sending or in reading, is cut off."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), GONE

        async def observed(message: Message) -> None:
            nonlocal status
            await send(message)
            if message["type"] == "http.response.start":
                status = message["status"]

        try:
            async with asyncio.timeout(self._seconds):
                await self._app(scope, receive, observed)
        except ClientDisconnect:
            status = GONE
        except TimeoutError:
            # uvicorn closes a connection whose answer does not come to its end.
            status = GONE
        finally:
            name = scope["path"].strip("/")
            endpoint = name if name in ENDPOINTS else "other"
            self._counters.count(endpoint, status, time.perf_counter() - started)
