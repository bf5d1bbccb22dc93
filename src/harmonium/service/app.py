"""The application: endpoints, errors, start and stop."""

import asyncio
import logging
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from harmonium.data import as_table
from harmonium.errors import HarmoniumWarning, InvalidInputError
from harmonium.service.arrow import read_stream, too_many_rows, write_stream
from harmonium.service.bodies import (
    ARROW,
    JSON,
    BodyReader,
    content_type,
    decode_json,
    decode_query,
    wants_arrow,
)
from harmonium.service.cells import RowReader, as_problem, ignored_notes, plain, unseen_notes
from harmonium.service.counters import CONTENT_TYPE, Counters, shared_cells
from harmonium.service.gate import Gate
from harmonium.service.limits import Limits
from harmonium.service.messages import (
    Cell,
    DetectOptions,
    DetectRequest,
    Health,
    ImputeOptions,
    ImputeRequest,
    Options,
    Problem,
    SampleRequest,
    ScoreRequest,
)
from harmonium.service.openapi import describe_api
from harmonium.service.problems import RETRY_AFTER, TITLES, ProblemError, busy
from harmonium.service.questions import Answer, Asked, Questions
from harmonium.service.run import ServedRun
from harmonium.service.warming import count_compilations, warm_up

_log = logging.getLogger(__name__)

# Bodies beyond this many bytes are decoded off the event loop.
SMALL = 32 * 2**10
# After so many seconds a thread lets another one go on.
SWITCH_SECONDS = 0.001
# Signals that ask a service to end.
STOPPING = (signal.SIGTERM, signal.SIGINT)
PAGES = {
    "/": ("index.html", "text/html"),
    "/docs": ("docs.html", "text/html"),
    "/assets/service.css": ("service.css", "text/css"),
    "/assets/index.js": ("index.js", "text/javascript"),
    "/assets/docs.js": ("docs.js", "text/javascript"),
}
# Pages load what this service has, and nothing else.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:"
)

Found = TypeVar("Found")
_encode = msgspec.json.Encoder().encode


class Service:
    """The endpoints of a run. Requests change nothing but counts."""

    def __init__(self, run: ServedRun, limits: Limits, counters: Counters):
        self.run, self._limits, self._counters = run, limits, counters
        self.questions = Questions(run, limits)
        self._bodies = BodyReader(limits)
        self._readers = {
            name: RowReader(run.columns.fields, f"POST /{name}")
            for name in ("score", "detect", "impute")
        }
        self._model = _encode(run.describe(limits))
        self._api = _encode(describe_api(run.columns, limits))

    def routes(self) -> list[Route]:
        """All endpoints."""
        assets = files("harmonium.service") / "assets"
        pages = [
            Route(path, partial(_page, (assets / name).read_bytes(), kind))
            for path, (name, kind) in PAGES.items()
        ]
        # Routes are tried in their order: those of most requests come first.
        return [
            Route("/score", self.score, methods=["POST"]),
            Route("/detect", self.detect, methods=["POST"]),
            Route("/impute", self.impute, methods=["POST"]),
            Route("/sample", self.sample, methods=["POST"]),
            Route("/health", partial(_constant, _encode(Health()), JSON)),
            Route("/metrics", self.metrics),
            Route("/model", partial(_constant, self._model, JSON)),
            Route("/openapi.json", partial(_constant, self._api, JSON)),
            *pages,
        ]

    async def metrics(self, request: Request) -> Response:
        """Counts of all workers."""
        return Response(self._counters.text(), media_type=CONTENT_TYPE)

    async def score(self, request: Request) -> Response:
        """Log-densities of rows."""
        _ = self.run.density
        asked, _ = await self._asked(request, "score", ScoreRequest, Options)
        return await self._answer(request, self.questions.score(asked))

    async def detect(self, request: Request) -> Response:
        """Scores, p-values, flags and reasons of rows."""
        _ = self.run.detector
        asked, options = await self._asked(request, "detect", DetectRequest, DetectOptions)
        return await self._answer(request, self.questions.detect(asked, options))

    async def impute(self, request: Request) -> Response:
        """Rows with missing cells filled."""
        _ = self.run.density
        asked, options = await self._asked(request, "impute", ImputeRequest, ImputeOptions)
        return await self._answer(request, self.questions.impute(asked, options))

    async def sample(self, request: Request) -> Response:
        """Drawn rows."""
        _ = self.run.density
        if content_type(request) != JSON:
            raise ProblemError(415, f"expected a body of type {JSON}; got {ARROW}.")
        wanted = await self._bodies.read(
            request, partial(_decoded, partial(decode_json, kind=SampleRequest))
        )
        self._counters.count_rows("sample", wanted.n)
        return await self._answer(request, self.questions.sample(wanted))

    async def _asked(
        self, request: Request, name: str, message: Any, options: Any
    ) -> tuple[Asked, Any]:
        """The rows of a request, and what else it says."""
        if content_type(request) == ARROW:
            stated = decode_query(request, options)
            # Off the event loop, whatever a damaged stream makes of Arrow.
            use = partial(asyncio.to_thread, partial(self._from_arrow, name))
            asked = await self._bodies.read(request, use)
        else:
            use = partial(self._from_json, name, message)
            asked, stated = await self._bodies.read(request, partial(_decoded, use))
        self._counters.count_rows(name, asked.table.n_rows)
        return asked, stated

    def _from_json(self, name: str, message: Any, body: bytes) -> tuple[Asked, Any]:
        stated = decode_json(body, message)
        if len(stated.rows) > self._limits.rows:
            raise too_many_rows(self._limits.rows)
        table, notes = self._readers[name].read(stated.rows)
        return Asked(table, stated.rows, notes, lambda row, name: stated.rows[row][name]), stated

    def _from_arrow(self, name: str, body: bytes) -> Asked:
        frame = read_stream(body, self._limits.rows)
        fields = self.run.columns.fields
        table = as_table(frame, call=f"POST /{name}", fields=fields)
        extra = sorted(set(frame.column_names) - set(table.names))

        def cell(row: int, name: str) -> Cell:
            return plain(frame[name][row].as_py())

        return Asked(table, None, ignored_notes(extra) + unseen_notes(table, cell), cell)

    async def _answer(self, request: Request, asking: Awaitable[Answer]) -> Response:
        """The answer, as JSON or Arrow, if it comes in time."""
        try:
            async with asyncio.timeout(self._limits.seconds):
                answer = await asking
        except TimeoutError:
            seconds = self._limits.seconds
            raise busy(f"the answer was not ready within {seconds:g} s; ask for less") from None
        if not wants_arrow(request):
            return Response(_encode(answer.body), media_type=JSON)
        rest = {
            name: value
            for name, value in msgspec.structs.asdict(answer.body).items()
            if name not in (*answer.columns, "rows")
        }
        return Response(
            write_stream(answer.columns, {"harmonium": _encode(rest)}), media_type=ARROW
        )


def create_app(
    run: ServedRun | Callable[[], ServedRun], limits: Limits, cells: Any = None
) -> Starlette:
    """The ASGI application of a run, which compiles its programs as it starts.

    `cells` is the memory that workers share for their counts (`shared_cells`).
    """
    # What users are to know of rows stands in the notes of answers.
    warnings.simplefilter("ignore", HarmoniumWarning)
    counters = Counters(shared_cells() if cells is None else cells)
    service = Service(run if isinstance(run, ServedRun) else run(), limits, counters)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        _end_with_parent()
        # Lanes compute in Python too: the event loop is not to wait for them for long.
        sys.setswitchinterval(SWITCH_SECONDS)
        with _ending_at_once():
            await warm_up(service.run, service.questions, limits)
        count_compilations(counters)
        yield
        service.questions.close()

    return Starlette(
        routes=service.routes(),
        lifespan=lifespan,
        middleware=[Middleware(Gate, counters=counters, seconds=limits.whole_seconds)],
        exception_handlers={
            ProblemError: _show_problem,
            InvalidInputError: _show_problem,
            HTTPException: _show_http,
            Exception: _show_failure,
        },
    )


def load_app(
    name: str,
    paths: tuple[Path, ...],
    card: dict[str, Any] | None,
    limits: Limits,
    cells: Any,
) -> Starlette:
    """The application of a run that is loaded here: what a worker begins with."""
    with _ending_at_once():
        return create_app(ServedRun.load(name, paths, card), limits, cells)


async def _decoded(use: Callable[[bytes], Found], body: bytes) -> Found:
    """use(body), off the event loop if that takes long."""
    if len(body) <= SMALL:
        return use(body)
    return await asyncio.to_thread(use, body)


async def _page(content: bytes, kind: str, request: Request) -> Response:
    headers = {"content-security-policy": POLICY, "x-content-type-options": "nosniff"}
    return Response(content, media_type=kind, headers=headers)


async def _constant(content: bytes, kind: str, request: Request) -> Response:
    return Response(content, media_type=kind)


async def _show_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError | InvalidInputError)
    problem = as_problem(error)
    headers = {"connection": "close"} if problem.closes else {}
    if problem.status == 503:
        headers["retry-after"] = str(RETRY_AFTER)
    body = Problem(
        problem.status, TITLES[problem.status], problem.detail, problem.column, problem.row
    )
    return Response(
        _encode(body), problem.status, headers=headers, media_type="application/problem+json"
    )


async def _show_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = f"{request.method} {request.url.path}: {error.detail}. Try: GET /docs."
    shown = await _show_problem(request, ProblemError(error.status_code, detail))
    shown.headers.update(error.headers or {})
    return shown


async def _show_failure(request: Request, error: Exception) -> Response:
    detail = "the service failed; its log says why."
    return await _show_problem(request, ProblemError(500, detail, closes=True))


@contextmanager
def _ending_at_once() -> Iterator[None]:
    """A block that SIGTERM and Ctrl-C end with the process: no request waits for an answer yet, and
    compiling takes minutes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [signal.signal(own, lambda *_: os._exit(0)) for own in STOPPING]
    try:
        yield
    finally:
        for own, handler in zip(STOPPING, before, strict=True):
            signal.signal(own, handler)


def _end_with_parent() -> None:
    """A worker whose parent was killed stops: it would hold the port."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
