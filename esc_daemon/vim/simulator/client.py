"""The VIM port over a simulator that is a program of its own."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any, Final, TypeVar

import msgspec

from esc_daemon.domain.ids import NO_VIM, Key, PortKey, ServerKey, VimId, VmId, VolumeKey
from esc_daemon.domain.intent import Flavor, Image, Network, Subnet, Tenant
from esc_daemon.domain.specs import (
    Port,
    PortSpec,
    Power,
    ResourceHandle,
    Server,
    ServerSpec,
    VimCheck,
    VimImage,
    VimMetric,
    VimStatus,
    Volume,
    VolumeSpec,
)
from esc_daemon.vim.base import (
    OPERATION,
    Capability,
    VimError,
    VimRefused,
    VimUnanswered,
    VimUnknown,
    VimUnreachable,
)
from esc_daemon.vim.simulator import uploads, wire
from esc_daemon.vim.simulator.driver import CAPABILITIES, PAGE
from esc_daemon.vim.simulator.wire import CANCEL, ERRORS, MAX_LINE, Reply, Request, WireVerb

ResultT = TypeVar("ResultT")

_MAX_IN_FLIGHT: Final = 512
"""Calls at a time; another one waits for its turn, within its time-out."""
_NO_SIMULATOR: Final = "what answers there is no simulator"
_LINES_A_TURN: Final = 100
"""Lines read at once; those that have come already are read without a wait."""


class _Link:
    """
    One connection and the calls that wait for a reply from it.

    A peer that sends more replies than it was sent requests is no simulator, and is cut off.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._asked = 0
        self._encoder = msgspec.json.Encoder()
        self.is_open = True
        self._why = "the connection was lost"
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        replies = msgspec.json.Decoder(Reply)
        try:
            for answered in count(1):
                line = await self._reader.readline()
                if not line:
                    break
                if answered > self._asked:
                    self._why = _NO_SIMULATOR
                    break
                reply = replies.decode(line)
                waiting = self._waiting.pop(reply.id, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(reply)
                if answered % _LINES_A_TURN == 0:
                    await asyncio.sleep(0)
        except OSError:
            pass
        except (ValueError, RecursionError):  # msgspec's, for what is nested too deeply
            self._why = _NO_SIMULATOR
        finally:
            self.is_open = False
            self._writer.transport.abort()
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(ConnectionResetError(self._why))
            self._waiting.clear()

    async def call(self, verb: str, arguments: bytes) -> Reply:
        """Return the reply; OSError when the connection is lost first."""
        number = self._asked = self._asked + 1
        request = Request(
            id=number, verb=verb, arguments=msgspec.Raw(arguments), operation=OPERATION.get()
        )
        self._write(request)
        waiting: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        try:
            await self._writer.drain()
            return await waiting
        finally:
            if self._waiting.pop(number, None) is not None and self.is_open:
                with suppress(OSError):  # who is gone needs not be told
                    self._write(Request(id=number, verb=CANCEL))

    def _write(self, request: Request) -> None:
        """Send *request*; ConnectionResetError when the connection is lost, read or not."""
        lost = ConnectionResetError("the connection was lost")
        if self._writer.transport.is_closing():
            raise lost
        try:
            self._writer.write(self._encoder.encode(request) + b"\n")
        except RuntimeError as error:  # of uvloop, for a peer that has just gone
            raise lost from error

    async def close(self) -> None:
        """Cut the connection; who still waits gets ConnectionResetError."""
        self._task.cancel()
        await asyncio.wait((self._task,))  # which, unlike awaiting it, raises nothing of its own
        self._writer.transport.abort()  # for a task that was cancelled before it began
        with suppress(OSError):
            await self._writer.wait_closed()


class RemoteSimulator:
    """
    One connector to a simulator at *host* and *port*.

    It is a VimDriver, TakesServers, GuestProbe and ServerMetrics.

    It connects at the first call and again after a connection was lost. A call that is not
    answered within *timeout_seconds* raises VimUnanswered; where no connection can be had within
    *connect_seconds* it raises VimUnreachable. `answers` raises these too: that the simulator
    cannot be asked does not mean that a guest is silent.
    """

    capabilities: frozenset[Capability] = CAPABILITIES

    def __init__(
        self,
        host: str,
        port: int,
        *,
        vim: VimId = NO_VIM,
        timeout_seconds: float = 30.0,
        connect_seconds: float = 3.0,
    ) -> None:
        self.vim = vim
        self._host = host
        self._port = port
        self._timeout_seconds = timeout_seconds
        self._connect_seconds = connect_seconds
        self._link: _Link | None = None
        self._connecting = asyncio.Lock()
        self._turns = asyncio.Semaphore(_MAX_IN_FLIGHT)

    async def _connected(self) -> _Link:
        async with self._connecting:
            if self._link is not None:
                if self._link.is_open:
                    return self._link
                await self._link.close()
                self._link = None
            async with asyncio.timeout(self._connect_seconds):
                try:
                    reader, writer = await asyncio.open_connection(
                        self._host, self._port, limit=MAX_LINE + 1
                    )
                except ValueError as error:  # of a name that cannot be looked up
                    raise ConnectionError(str(error)) from error
            self._link = _Link(reader, writer)
            return self._link

    async def _call(self, verb: WireVerb[ResultT], *arguments: Any) -> ResultT:
        what = f"{self.vim}: {verb.name}" if self.vim else verb.name
        data = msgspec.json.encode(arguments)
        if len(data) > MAX_LINE - 1024:
            raise VimRefused(f"{what}: {len(data)} bytes are too much for one request")
        sent = False
        try:
            async with asyncio.timeout(self._timeout_seconds), self._turns:
                link = await self._connected()
                sent = True
                reply = await link.call(verb.name, data)
        except OSError as error:  # and TimeoutError, which is one
            why = _why(error)
            if sent:
                raise VimUnanswered(f"{what}: no answer: {why}") from error
            where = f"{self._host} port {self._port}"
            raise VimUnreachable(f"{what}: no simulator at {where}: {why}") from error
        if reply.error:
            kind: type[VimError] = ERRORS.get(reply.error, VimUnknown)
            raise kind(f"{self.vim}: {reply.text}" if self.vim else reply.text)
        try:
            return verb.result.decode(reply.result)
        except (msgspec.DecodeError, RecursionError) as error:
            raise VimUnknown(f"{what}: the answer cannot be read: {error}") from error

    async def _handle(self, verb: WireVerb[ResourceHandle], *arguments: Any) -> ResourceHandle:
        return replace(await self._call(verb, *arguments), vim=self.vim)

    async def check(self) -> VimCheck:
        """See VimDriver."""
        try:
            return await self._call(wire.CHECK)
        except VimError as error:
            return VimCheck(status=VimStatus.CONNECTION_FAILED, detail=str(error))

    async def ensure_tenant(self, key: Key, want: Tenant) -> ResourceHandle:
        """See VimDriver."""
        return await self._handle(wire.ENSURE_TENANT, key, want)

    async def remove_tenant(self, key: Key) -> None:
        """See VimDriver."""
        await self._call(wire.REMOVE_TENANT, key)

    async def ensure_network(self, key: Key, want: Network, *, project: str) -> ResourceHandle:
        """See VimDriver."""
        return await self._handle(wire.ENSURE_NETWORK, key, want, project)

    async def remove_network(self, key: Key) -> None:
        """See VimDriver."""
        await self._call(wire.REMOVE_NETWORK, key)

    async def ensure_subnet(
        self, key: Key, want: Subnet, *, network_id: str, project: str
    ) -> ResourceHandle:
        """See VimDriver."""
        return await self._handle(wire.ENSURE_SUBNET, key, want, network_id, project)

    async def remove_subnet(self, key: Key) -> None:
        """See VimDriver."""
        await self._call(wire.REMOVE_SUBNET, key)

    async def ensure_image(self, key: Key, want: Image) -> VimImage:
        """See VimDriver."""
        image = await self._call(wire.ENSURE_IMAGE, key, want)
        return replace(image, handle=replace(image.handle, vim=self.vim))

    async def upload_image(self, key: Key, image_id: str, content: AsyncIterator[bytes]) -> None:
        """See VimDriver."""
        await uploads.told(
            content,
            partial(self._call, wire.UPLOADING, key, image_id),
            partial(self._call, wire.UPLOADED, key, image_id),
        )

    async def remove_image(self, key: Key) -> None:
        """See VimDriver."""
        await self._call(wire.REMOVE_IMAGE, key)

    async def ensure_flavor(self, key: Key, want: Flavor) -> ResourceHandle:
        """See VimDriver."""
        return await self._handle(wire.ENSURE_FLAVOR, key, want)

    async def remove_flavor(self, key: Key) -> None:
        """See VimDriver."""
        await self._call(wire.REMOVE_FLAVOR, key)

    async def ensure_port(self, want: PortSpec) -> Port:
        """See VimDriver."""
        return await self._call(wire.ENSURE_PORT, want)

    async def remove_ports(self, vm: VmId) -> None:
        """See VimDriver."""
        await self._call(wire.REMOVE_PORTS, vm)

    async def ensure_volume(self, want: VolumeSpec) -> Volume:
        """See VimDriver."""
        return await self._call(wire.ENSURE_VOLUME, want)

    async def remove_volume(self, key: VolumeKey) -> None:
        """See VimDriver."""
        await self._call(wire.REMOVE_VOLUME, key)

    async def attach_volume(self, key: ServerKey, volume: VolumeSpec) -> None:
        """See VimDriver."""
        await self._call(wire.ATTACH_VOLUME, key, volume)

    async def detach_volume(self, key: ServerKey, volume: VolumeKey, volume_id: str | None) -> None:
        """See VimDriver."""
        await self._call(wire.DETACH_VOLUME, key, volume, volume_id)

    async def exchange_root(self, key: ServerKey, volume: VolumeSpec) -> None:
        """See VimDriver."""
        await self._call(wire.EXCHANGE_ROOT, key, volume)

    async def ensure_server(
        self, key: ServerKey, want: ServerSpec, ports: tuple[Port, ...]
    ) -> Server:
        """See VimDriver; VimUnknown while a server with this key is being deleted."""
        return await self._call(wire.ENSURE_SERVER, key, want, ports)

    async def check_server(self, want: ServerSpec) -> None:
        """See TakesServers."""
        await self._call(wire.CHECK_SERVER, want)

    async def find_server(self, key: ServerKey) -> Server | None:
        """See VimDriver; while it is being deleted its *fault* says so."""
        return await self._call(wire.FIND_SERVER, key)

    async def remove_server(self, key: ServerKey) -> None:
        """See VimDriver; the deletion goes on when nobody waits for it."""
        await self._call(wire.REMOVE_SERVER, key)

    async def attach_port(self, key: ServerKey, port: Port) -> None:
        """See VimDriver."""
        await self._call(wire.ATTACH_PORT, key, port)

    async def detach_port(self, key: ServerKey, port: PortKey, port_id: str | None) -> None:
        """See VimDriver."""
        await self._call(wire.DETACH_PORT, key, port, port_id)

    async def resize_server(self, key: ServerKey, flavor: str | None) -> None:
        """See VimDriver."""
        await self._call(wire.RESIZE_SERVER, key, flavor)

    async def set_power(self, key: ServerKey, power: Power) -> None:
        """See VimDriver; VimUnknown while the server is in BUILD."""
        await self._call(wire.SET_POWER, key, power)

    async def servers(self) -> AsyncIterator[Server]:
        """See VimDriver; VimUnknown when a page is larger than asked, or leads nowhere."""
        after = 0
        while True:
            found, last = await self._call(wire.SERVERS, after, PAGE)
            if len(found) > PAGE:
                raise VimUnknown(f"{self.vim}: a page of {len(found)} servers, not of {PAGE}")
            for server in found:
                yield server
            if len(found) < PAGE:
                return
            if last <= after:
                raise VimUnknown(f"{self.vim}: the pages of the list of servers do not advance")
            after = last

    async def answers(self, key: ServerKey, address: str) -> float | None:
        """See GuestProbe."""
        return await self._call(wire.ANSWERS, key, address)

    async def measured(self, key: ServerKey, metric: VimMetric) -> float | None:
        """See ServerMetrics."""
        return await self._call(wire.MEASURED, key, metric)

    async def close(self) -> None:
        """Let go of the connection; calls in flight raise VimUnanswered."""
        link, self._link = self._link, None
        if link is not None:
            await link.close()


def _why(error: OSError) -> str:
    """Return the system's words: those of asyncio repeat the address as a tuple."""
    if error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error) or "time-out"
