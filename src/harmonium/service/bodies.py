"""Bodies in: read within their limits, then decoded from JSON or Arrow."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request

from harmonium.service.cells import first_bad_cell
from harmonium.service.limits import Limits
from harmonium.service.problems import ProblemError, busy

JSON = "application/json"
ARROW = "application/vnd.apache.arrow.stream"
# A client that sends too much reads the answer only when it has sent it all: so many times the
# limit is read and dropped before the connection is closed.
DROPPED = 4

Message = TypeVar("Message")


class BodyReader:
    """Reads bodies, of which all together hold a bounded number of bytes."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._held = 0

    async def read(self, request: Request, use: Callable[[bytes], Awaitable[Message]]) -> Message:
        """use(body); raises `ProblemError` for a body that is too large, or too slow."""
        own = bytearray()
        try:
            await self._arrive(request, own)
            return await use(bytes(own))
        finally:
            self._held -= len(own)

    async def _arrive(self, request: Request, own: bytearray) -> None:
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                await self._fill(request, own)
        except TimeoutError:
            seconds = f"{self._limits.body_seconds:g} s"
            raise ProblemError(
                408, f"the body did not arrive within {seconds}.", closes=True
            ) from None

    async def _fill(self, request: Request, own: bytearray) -> None:
        most, n_bytes = self._limits.bytes, 0
        stated = request.headers.get("content-length", "")
        if stated.isdecimal() and int(stated) > DROPPED * most:
            raise self._too_large(closes=True)
        async for chunk in request.stream():
            n_bytes += len(chunk)
            if n_bytes > DROPPED * most:
                raise self._too_large(closes=True)
            if n_bytes <= most:
                if self._held + len(chunk) > self._limits.bytes_at_once:
                    refused = busy("too many bodies are on their way")
                    refused.closes = True
                    raise refused
                own += chunk
                self._held += len(chunk)
        if n_bytes > most:
            raise self._too_large(closes=False)

    def _too_large(self, *, closes: bool) -> ProblemError:
        most = self._limits.bytes
        detail = f"expected a body of at most {most} bytes; got more. Try: fewer rows per request."
        return ProblemError(413, detail, closes=closes)


def content_type(request: Request) -> str:
    """The type of the body, JSON if none is stated; raises `ProblemError` for another one."""
    stated = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if stated not in (JSON, ARROW):
        raise ProblemError(
            415,
            f"expected a body of type {JSON} or {ARROW}; got {stated!r:.80}. Try: the header "
            f"content-type: {JSON}.",
        )
    return stated


def wants_arrow(request: Request) -> bool:
    """Whether the answer is to be an Arrow stream: as asked for, or as the body is."""
    accepted = request.headers.get("accept", "*/*")
    if ARROW in accepted:
        return True
    return JSON not in accepted and content_type(request) == ARROW


def decode_json(body: bytes, kind: type[Message]) -> Message:
    """The message in a body; raises `ProblemError`, naming column and row if it is a cell."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        problem = _bad_cell(body) if ".rows" in str(error) else None
        raise problem or ProblemError(422, f"the body does not fit: {error}.") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise _malformed(error) from None


def decode_query(request: Request, kind: type[Message]) -> Message:
    """What is said in the query of a request whose body is Arrow."""
    stated = dict(request.query_params)
    try:
        return msgspec.convert(stated, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ProblemError(422, f"query: {error}.") from None


def _bad_cell(body: bytes) -> ProblemError | None:
    try:
        whole: Any = msgspec.json.decode(body)
    except msgspec.ValidationError:  # a number of too many digits
        return None
    except (msgspec.DecodeError, RecursionError) as error:
        return _malformed(error)
    # The complaint may be of another field, with such a name.
    rows = whole.get("rows", []) if isinstance(whole, dict) else []
    return first_bad_cell(rows)


def _malformed(error: Exception) -> ProblemError:
    return ProblemError(400, f"expected JSON; got another body ({error}).")
