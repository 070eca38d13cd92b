"""
The HTTP application and its listener inside the daemon's own event loop.

Errors of this file: OSError when the address cannot be bound.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import version
from typing import Final

import h11
import uvicorn
from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from esc_daemon.hosts import is_loopback, names_this_machine
from esc_daemon.northbound.http.description import describe

_BACKLOG: Final = 128
_STOP_SECONDS: Final = 5
_REQUEST_SECONDS: Final = 20.0
"""From the connection, or the last answer, to the whole head of the next request."""
_ANSWER_SECONDS: Final = 60.0
"""From the head of a request until its answer is sent and taken."""
_LONGEST_HEAD: Final = 16 << 10
"""Bytes of the head of a request, as they are counted in `_head`."""
_LONGEST_UNFINISHED: Final = 16 << 10
"""Bytes of a head that is not there as a whole, which h11 refuses by itself: its default."""
_CONCURRENT_REQUESTS: Final = 256
"""Connections and requests at a time; more are answered 503."""


def create_app(routers: Sequence[APIRouter], *, host: str = "") -> FastAPI:
    """
    Return the application with the rooms' *routers*; its description is at ``/docs``.

    Where *host*, which it is served on, is of this machine alone, requests must name this machine.
    """
    # fastapi's own pages load their scripts from a host on the internet
    app = FastAPI(title="esc_daemon", version=version("esc-daemon"), docs_url=None, redoc_url=None)
    if is_loopback(host):
        app.add_middleware(_OnlyThisMachine, name=host)
    app.add_middleware(_OnlyBodiesOfKnownLength)
    app.add_middleware(_OnlyShortHeads)
    for router in routers:
        app.include_router(router)
    describe(app)
    return app


class _OnlyThisMachine:
    """
    Refuses what names another host: a page whose name was bound to this machine (DNS rebinding).

    Browsers always name one; a program that does not, as HTTP/1.0 allows, is let in.
    """

    def __init__(self, app: ASGIApp, name: str) -> None:
        self._app = app
        self._name = name.lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse one request."""
        hosts = [value.decode("latin-1") for key, value in scope["headers"] if key == b"host"]
        if all(names_this_machine(host, self._name) for host in hosts):
            await self._app(scope, receive, send)
        else:
            text = "the host is not a name of this machine: use 127.0.0.1, or set http_host"
            await JSONResponse({"error": text}, 403)(scope, receive, send)


class _OnlyShortHeads:
    """
    Refuses requests with a long head, and closes their connections.

    h11 refuses a head that is too long and not there as a whole yet; one that comes in one piece,
    up to what is read at once, gets past it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse one request."""
        if _head(scope) <= _LONGEST_HEAD:
            await self._app(scope, receive, send)
        else:
            text = f"the head of the request is longer than {_LONGEST_HEAD} bytes"
            close = {"Connection": "close"}
            await JSONResponse({"error": text}, 400, close)(scope, receive, send)


class _OnlyBodiesOfKnownLength:
    """
    Refuses requests with a body in chunks, which is not read, and closes their connections.

    Nothing here wants a body. One in chunks costs an event for each, however small it is.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse one request."""
        if not _in_chunks(scope["headers"]):
            await self._app(scope, receive, send)
        else:
            text = "a body in chunks is not read here: say its Content-Length"
            close = {"Connection": "close"}
            await JSONResponse({"error": text}, 411, close)(scope, receive, send)


class _Unchunked(h11.Connection):
    """One that stops at the head of a request with a body in chunks."""

    _stopped = False

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return what came, as h11 does; after such a head nothing comes any more."""
        if self._stopped:
            return h11.PAUSED
        event = super().next_event()
        self._stopped = isinstance(event, h11.Request) and _in_chunks(event.headers)
        return event


def _in_chunks(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(key == b"transfer-encoding" for key, _ in headers)


def _head(scope: Scope) -> int:
    """Return the bytes of the head of a request, but for its method and version."""
    lines = sum(len(key) + len(value) + len(b": \r\n") for key, value in scope["headers"])
    return lines + len(scope["raw_path"]) + len(scope["query_string"])


class _PatientProtocol(H11Protocol):
    """
    One HTTP connection, closed when a request does not come, or its answer is not taken, in time.

    uvicorn times only the pause after an answer: a client that sends nothing, or half a head, or
    that asks and does not read, would keep its place among the *_CONCURRENT_REQUESTS* for ever.
    When all places are taken, the connection that has been idle for longest makes room.
    """

    _timer: asyncio.TimerHandle | None = None
    _waited_for: RequestResponseCycle | None = None
    """The request whose answer is under way; None while the next request is waited for."""
    _since: float = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin to wait for the first request."""
        self.conn = _Unchunked(h11.SERVER, _LONGEST_UNFINISHED)
        super().connection_made(transport)
        self._wait()
        if len(self.connections) >= _CONCURRENT_REQUESTS:
            _make_room(self.connections)

    def data_received(self, data: bytes) -> None:
        """Take *data*; wait on unless it completes the head of a request."""
        super().data_received(data)
        self._wait()

    def on_response_complete(self) -> None:
        """Wait for the next request, or answer the one that came behind this."""
        if self.conn.their_state is h11.SEND_BODY:  # nobody wants the rest, which may never end
            self.transport.close()
        super().on_response_complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    @property
    def idle_since(self) -> float | None:
        """Since when no request is under way, in the loop's time; None while one is."""
        return None if self._waited_for is not None else self._since

    def give_up(self) -> None:
        """Close at once; its place is free from now on."""
        self.connections.discard(self)
        self._stop_waiting()
        self.transport.abort()

    def _wait(self) -> None:
        """Begin to count when what is waited for is another than before."""
        if self.transport.is_closing():
            return
        under_way = None if self.cycle is None or self.cycle.response_complete else self.cycle
        if self._timer is not None and under_way is self._waited_for:
            return
        self._stop_waiting()
        self._waited_for = under_way
        self._since = self.loop.time()
        seconds = _REQUEST_SECONDS if under_way is None else _ANSWER_SECONDS
        self._timer = self.loop.call_later(seconds, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _make_room(connections: Iterable[object]) -> None:
    idle = [
        (since, each)
        for each in connections
        if isinstance(each, _PatientProtocol) and (since := each.idle_since) is not None
    ]
    if idle:
        min(idle, key=lambda pair: pair[0])[1].give_up()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the daemon."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@asynccontextmanager
async def http_listener(app: FastAPI, host: str, port: int) -> AsyncIterator[int]:
    """
    Serve *app* on *host* while the context lasts; yields the real port (*port* 0: any free).

    Requests under way get five seconds to finish at the end.
    """
    listening = await _bind(host, port)
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            http=_PatientProtocol,
            ws="none",
            server_header=False,
            limit_concurrency=_CONCURRENT_REQUESTS,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
    )
    serving = asyncio.create_task(server.serve([listening]), name="http")
    try:
        started = asyncio.create_task(server.ready.wait(), name="http ready")
        await asyncio.wait((serving, started), return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if serving.done():
            await serving
            raise OSError("the HTTP listener ended before it was ready")
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        await serving
        listening.close()


async def _bind(host: str, port: int) -> socket.socket:
    # Bound here and not by uvicorn, which ends the whole process when the port is taken.
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    family, _, _, _, address = found[0]
    return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
