"""
The HTTP application and its listener inside the daemon's own event loop.

Errors of this file: OSError when the address cannot be bound.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import version
from typing import Final

import uvicorn
from fastapi import APIRouter, FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

_BACKLOG: Final = 128
_STOP_SECONDS: Final = 5
_REQUEST_SECONDS: Final = 20.0
"""From the connection, or the last answer, to the whole head of the next request."""
_CONCURRENT_REQUESTS: Final = 256
"""Connections and requests at a time; more are answered 503."""


def create_app(routers: Sequence[APIRouter]) -> FastAPI:
    """Return the application with the rooms' *routers*; its description is at ``/docs``."""
    app = FastAPI(title="esc_daemon", version=version("esc-daemon"))
    for router in routers:
        app.include_router(router)
    return app


class _PatientProtocol(H11Protocol):
    """
    One HTTP connection, closed when a request does not come whole in time.

    uvicorn times only the pause after an answer: a client that sends nothing, or half a head,
    would keep its place among the *_CONCURRENT_REQUESTS* for ever.
    """

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begin to wait for the first request."""
        super().connection_made(transport)
        if len(self.connections) > 2 * _CONCURRENT_REQUESTS:
            transport.abort()
            return
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take *data*; wait on unless it completes the head of a request."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._wait()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(_REQUEST_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


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
