"""
The simulator as a program: the driver's verbs over a TCP socket on this machine.

SimulatorError    it cannot start; says why and what to do
"""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import structlog

from esc_daemon.hosts import is_loopback
from esc_daemon.vim.base import VimError
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.control import Control, ControlError
from esc_daemon.vim.simulator.driver import SimulatorDriver
from esc_daemon.vim.simulator.faults import Rule, load_rules
from esc_daemon.vim.simulator.settings import CloudSettings
from esc_daemon.vim.simulator.state import StateFile
from esc_daemon.vim.simulator.wire import CANCEL, MAX_LINE, VERBS, Reply, Request

log = structlog.get_logger()

Operator = Callable[[Control], AbstractAsyncContextManager[int | None]]
"""Lets the operator see and change a cloud while the context lasts; yields the page's port."""
Page = Callable[[Control], AbstractAsyncContextManager[int]]

MAX_IN_FLIGHT: Final = 1024
"""Requests of one connection; when they are all in flight no more is read from it."""
MAX_CONNECTIONS: Final = 64
"""When there are so many, another one is closed at once."""
_LOOKS: Final = ("find_", "check", "servers", "answers", "measured", "uploading")
_LONGEST_ID: Final = 64
_WRITE_SECONDS: Final = 30.0
"""A client that does not read its replies for so long is cut off."""


class SimulatorError(Exception):
    """The text says what is wrong and what to do."""


class SimulatorServer:
    """Serves *driver*; `start` it, then `close` it."""

    def __init__(self, driver: SimulatorDriver) -> None:
        self._driver = driver
        self._server: asyncio.Server | None = None
        self._connections: dict[_Connection, asyncio.Future[None]] = {}

    async def start(self, host: str, port: int, *, allow_remote: bool = False) -> int:
        """
        Listen, and return the port (0 asks for a free one).

        Raises:
            SimulatorError: The address is not of this machine alone, or is taken.

        """
        if not allow_remote and not is_loopback(host):
            raise SimulatorError(
                f"{host} can be reached from other machines and there is no login: "
                "use 127.0.0.1, or allow it"
            )
        try:
            self._server = await asyncio.start_server(self._accept, host, port, limit=MAX_LINE + 1)
        except OSError as error:
            raise SimulatorError(f"cannot listen on {host} port {port}: {error}") from error
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= MAX_CONNECTIONS:
            writer.close()
            return
        connection = _Connection(self._driver, reader, writer)
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._connections[connection] = ended
        try:
            await connection.serve()
        finally:
            del self._connections[connection]
            ended.set_result(None)

    async def close(self) -> None:
        """Stop listening and cut all connections; what was asked still takes effect."""
        if self._server is None:
            return
        self._server.close()
        ended = tuple(self._connections.values())
        for connection in self._connections:
            connection.cut()
        await self._driver.close()
        await asyncio.gather(*ended)
        await self._server.wait_closed()


class _Connection:
    """One client."""

    def __init__(
        self,
        driver: SimulatorDriver,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._driver = driver
        self._reader = reader
        self._writer = writer
        self._slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._requests = msgspec.json.Decoder(Request)
        self._encoder = msgspec.json.Encoder()

    def cut(self) -> None:
        """End the connection at once."""
        self._writer.transport.abort()

    async def serve(self) -> None:
        """Read requests until the client leaves or breaks the rules."""
        try:
            await self._read()
        except (OSError, ValueError, asyncio.IncompleteReadError):
            # Gone, or a line that is too long or is no request: there is no telling what follows.
            pass
        finally:
            # What was read has reached the cloud: let it begin, whoever sent it.
            await asyncio.sleep(0)
            for task in tuple(self._tasks.values()):
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()

    async def _read(self) -> None:
        while line := await self._reader.readline():
            request = self._requests.decode(line)
            if request.verb == CANCEL:
                task = self._tasks.get(request.id)
                if task is not None:
                    # Not at once: a task that never began would never reach the cloud.
                    asyncio.get_running_loop().call_soon(task.cancel)
                continue
            await self._slots.acquire()
            if request.id in self._tasks:
                raise ValueError(request.id)
            task = asyncio.create_task(self._answer(request))
            self._tasks[request.id] = task
            task.add_done_callback(partial(self._done, request.id))

    def _done(self, number: int, _: "asyncio.Task[None]") -> None:
        del self._tasks[number]
        self._slots.release()

    async def _answer(self, request: Request) -> None:
        reply = await self._reply(request)
        if request.operation:
            _log_call(request, reply)
        data = self._encoder.encode(reply) + b"\n"
        if len(data) > MAX_LINE:
            text = f"the answer to {request.verb} is too long"
            data = self._encoder.encode(Reply(id=request.id, error="VimRefused", text=text)) + b"\n"
        self._writer.write(data)
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                await self._writer.drain()
        except OSError:  # and TimeoutError, which is one
            self.cut()

    async def _reply(self, request: Request) -> Reply:
        verb = VERBS.get(request.verb)
        if verb is None:
            return _refusal(request, "there is no such verb")
        try:
            arguments = verb.arguments.decode(request.arguments)
        except msgspec.DecodeError as error:
            return _refusal(request, str(error))
        try:
            result = await verb.call(self._driver, *arguments)
        except VimError as error:
            return Reply(id=request.id, error=type(error).__name__, text=str(error))
        return Reply(id=request.id, result=msgspec.Raw(self._encoder.encode(result)))


def _log_call(request: Request, reply: Reply) -> None:
    """Tell of a call that belongs to an operation; whoever only looks looks again and again."""
    looks = request.verb.startswith(_LOOKS)
    (log.debug if looks else log.info)(
        "simulator.call",
        verb=request.verb,
        operation=request.operation[:_LONGEST_ID],
        error=reply.text or None,
    )


def _refusal(request: Request, text: str) -> Reply:
    return Reply(id=request.id, error="VimRefused", text=f"{request.verb}: {text}")


async def serve(
    host: str,
    port: int,
    *,
    state_file: Path | None = None,
    faults_file: Path | None = None,
    port_file: Path | None = None,
    stop: asyncio.Event,
    settings: CloudSettings | None = None,
    operator: Operator | None = None,
) -> None:
    """
    Run a simulated cloud until *stop*.

    Without *state_file* it forgets all when it ends. *port_file* is written as JSON
    (``{"simulator": N}``, and ``"http"`` where the *operator* has a page) once it serves.

    Raises:
        FaultFileError: *faults_file* cannot be used.
        StateError: *state_file* cannot be used.
        SimulatorError: It cannot listen.

    """
    rules: Sequence[Rule] = () if faults_file is None else load_rules(faults_file)
    async with AsyncExitStack() as stack:
        state = None
        if state_file is not None:
            state = stack.enter_context(StateFile(state_file, sync_seconds=1.0))
        cloud = Cloud(
            settings, rules=rules, rows=() if state is None else state.rows, journal=state
        )
        server = SimulatorServer(SimulatorDriver(cloud))
        bound = await server.start(host, port)
        stack.push_async_callback(server.close)
        ports = {"simulator": bound}
        if operator is not None:
            control = Control(cloud, faults_file=faults_file)
            http = await stack.enter_async_context(operator(control))
            ports |= {} if http is None else {"http": http}
        if port_file is not None:
            _write_ports(port_file, ports)
        await stop.wait()


def _write_ports(port_file: Path, ports: Mapping[str, int]) -> None:
    fresh = port_file.with_name(f"{port_file.name}.{os.getpid()}")
    fresh.write_text(json.dumps(ports), encoding="utf-8")
    fresh.replace(port_file)


async def run_simulator(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    state_file: Path | None = None,
    faults_file: Path | None = None,
    port_file: Path | None = None,
    settings: CloudSettings | None = None,
    page: Page | None = None,
) -> None:
    """
    `serve` until SIGTERM or SIGINT: what the command ``esc_daemon simulate`` runs.

    SIGHUP reads the faults file again; what is wrong with it is logged, and the old rules stay.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await serve(
            host,
            port,
            state_file=state_file,
            faults_file=faults_file,
            port_file=port_file,
            stop=stop,
            settings=settings,
            operator=partial(_operator, page=page),
        )
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


@asynccontextmanager
async def _operator(control: Control, *, page: Page | None) -> AsyncIterator[int | None]:
    """Let the operator in while the context lasts, by a signal and by *page*; yields its port."""
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGHUP)
    loop.add_signal_handler(signal.SIGHUP, _reload, control)
    try:
        if page is None:
            yield None
        else:
            async with page(control) as port:
                yield port
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        signal.signal(signal.SIGHUP, before)


def _reload(control: Control) -> None:
    try:
        log.info("simulator.faults_read", rules=control.reload())
    except ControlError as error:
        log.warning("simulator.faults_kept", reason=str(error))
