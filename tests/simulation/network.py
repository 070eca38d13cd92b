"""
The way between the daemon and the cloud: slow, lossy, out of order.

A request is a task of the world, not of the caller: it takes effect although the caller died.
A creation is two requests, look and make, as with a real VIM: one that arrives late, after
another was made, would double the server, and that is what `doubled` counts.
"""

import asyncio
import contextvars
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from esc_daemon.domain.ids import Key, PortKey, ServerKey, VmId, VolumeKey
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
from esc_daemon.store.base import StoreBroken, StoreError, StoreFull
from esc_daemon.vim.base import (
    Capability,
    VimRefused,
    VimUnknown,
    VimUnreachable,
)
from esc_daemon.vim.simulator.driver import SimulatorDriver
from esc_daemon.vim.simulator.uploads import told


@dataclass
class Weather:
    """Chances (0 to 1) of what can happen to one request or commit; *longest*: latest arrival."""

    late: float = 0.0
    lost_request: float = 0.0
    lost_answer: float = 0.0
    refused: float = 0.0
    unknown: float = 0.0
    unreachable: float = 0.0
    disk_full: float = 0.0
    disk_broken: float = 0.0
    longest: float = 20.0

    def disk_trouble(self, roll: float) -> StoreError | None:
        """Return what happens to a commit by its *roll* (0 to 1)."""
        if roll < self.disk_full:
            return StoreFull("simulated: no room left")
        if roll < self.disk_full + self.disk_broken:
            return StoreBroken("simulated: I/O error")
        return None


CALM = Weather()
MOST_CALLS = 15
"""So many calls of one verb about one thing may not come within PACE_SECONDS."""
PACE_SECONDS = 5.0


class LossyVim:
    """A `VimDriver` in front of the simulator's."""

    capabilities: frozenset[Capability] = frozenset(
        {Capability.TENANTS, Capability.VOLUMES, Capability.EXCHANGE_ROOT}
    )

    def __init__(self, cloud: SimulatorDriver, random: Random) -> None:
        self.cloud = cloud
        self.weather = CALM
        self.doubled: list[ServerKey | VolumeKey] = []
        self.robbed: list[VolumeKey] = []
        """Volumes that were to be deleted though nobody here made them."""
        self._found: set[VolumeKey] = set()
        self.made: dict[VmId, float] = {}
        """When (loop time) the cloud made a server for the VM."""
        self.on_make: Callable[[ServerKey], None] = lambda _: None
        """Called before it makes another server."""
        self.hurried: list[str] = []
        self.overtaken: list[str] = []
        self._asked: dict[tuple[str, Any], deque[float]] = {}
        self._under_way: Counter[tuple[str, Any]] = Counter()
        """Requests that have yet to arrive."""
        self._random = random
        self._world = contextvars.copy_context()
        self._tasks: set[asyncio.Task[None]] = set()

    def _note_pace(self, verb: str, about: Any) -> None:
        """A call that is made again and again without a pause is a loop of ours, not patience."""
        now = asyncio.get_running_loop().time()
        times = self._asked.setdefault((verb, about), deque(maxlen=MOST_CALLS))
        times.append(now)
        if len(times) == MOST_CALLS and now - times[0] < PACE_SECONDS:
            self.hurried.append(f"{verb} of {about}: {MOST_CALLS} times in {now - times[0]:.3f} s")

    def asked_last(self, verb: str, about: Any) -> float:
        """Return when (loop time) that was asked last, and -1 for never."""
        return next(reversed(self._asked.get((verb, about), ())), -1.0)

    async def _send(self, verb: str, about: Any, request: Callable[[], Awaitable[Any]]) -> Any:
        self._note_pace(verb, about)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        w, roll = self.weather, self._random.random
        if roll() < w.unreachable:
            raise VimUnreachable("sim: connection refused")
        if roll() < w.lost_request:
            return await answer  # for ever: the caller's time-out ends it
        delay = self._random.uniform(0, 0.05)
        if roll() < w.late:
            delay = self._random.uniform(0, w.longest)
        outcome = roll()

        async def arrive() -> None:
            await asyncio.sleep(delay)
            self._under_way[verb, about] -= 1
            if outcome < w.refused:
                _set(answer, VimRefused("sim: the storm says no"))
                return
            try:
                result = await request()
            except Exception as error:  # noqa: BLE001  the caller's
                _set(answer, error)
                return
            if roll() < w.lost_answer:
                return
            await asyncio.sleep(self._random.uniform(0, 0.05))
            if roll() < w.unknown:
                _set(answer, VimUnknown("sim: 502"))
            elif not answer.done():
                answer.set_result(result)

        self._under_way[verb, about] += 1
        task = self._world.run(asyncio.ensure_future, arrive())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard, context=self._world)
        return await answer

    async def check(self) -> VimCheck:
        try:
            return await self._send("check", None, self.cloud.check)
        except VimRefused as error:
            return VimCheck(status=VimStatus.AUTHENTICATION_FAILED, detail=str(error))
        except VimUnknown as error:
            return VimCheck(status=VimStatus.CONNECTION_FAILED, detail=str(error))

    async def ensure_tenant(self, key: Key, want: Tenant) -> ResourceHandle:
        return await self._send("ensure_tenant", key, lambda: self.cloud.ensure_tenant(key, want))

    async def remove_tenant(self, key: Key) -> None:
        await self._send("remove_tenant", key, lambda: self.cloud.remove_tenant(key))

    async def ensure_network(self, key: Key, want: Network, *, project: str) -> ResourceHandle:
        return await self._send(
            "ensure_network", key, lambda: self.cloud.ensure_network(key, want, project=project)
        )

    async def remove_network(self, key: Key) -> None:
        await self._send("remove_network", key, lambda: self.cloud.remove_network(key))

    async def ensure_subnet(
        self, key: Key, want: Subnet, *, network_id: str, project: str
    ) -> ResourceHandle:
        return await self._send(
            "ensure_subnet",
            key,
            lambda: self.cloud.ensure_subnet(key, want, network_id=network_id, project=project),
        )

    async def remove_subnet(self, key: Key) -> None:
        await self._send("remove_subnet", key, lambda: self.cloud.remove_subnet(key))

    async def ensure_image(self, key: Key, want: Image) -> VimImage:
        return await self._send("ensure_image", key, lambda: self.cloud.ensure_image(key, want))

    async def upload_image(self, key: Key, image_id: str, content: AsyncIterator[bytes]) -> None:
        async def uploading(size: int) -> None:
            await self._send("uploading", key, lambda: self.cloud.uploading(key, image_id, size))

        async def uploaded(size: int, sha256: str) -> None:
            await self._send(
                "uploaded", key, lambda: self.cloud.uploaded(key, image_id, size, sha256)
            )

        await told(content, uploading, uploaded)

    async def remove_image(self, key: Key) -> None:
        await self._send("remove_image", key, lambda: self.cloud.remove_image(key))

    async def ensure_flavor(self, key: Key, want: Flavor) -> ResourceHandle:
        return await self._send("ensure_flavor", key, lambda: self.cloud.ensure_flavor(key, want))

    async def remove_flavor(self, key: Key) -> None:
        await self._send("remove_flavor", key, lambda: self.cloud.remove_flavor(key))

    async def ensure_port(self, want: PortSpec) -> Port:
        return await self._send("ensure_port", want.key, lambda: self.cloud.ensure_port(want))

    async def remove_ports(self, vm: VmId) -> None:
        there = self.cloud.cloud.ports.of(vm)  # a VIM knows them by their ids, however late
        await self._send("remove_ports", vm, lambda: self.cloud.remove_ports(vm, there))

    async def ensure_volume(self, want: VolumeSpec) -> Volume:
        made = self.cloud.cloud.volumes.made
        if want.size_gib is None:
            self._found.add(want.key)
            return await self._send("find_volume", want.key, lambda: self.cloud.ensure_volume(want))

        async def look() -> bool:
            return made(want.key)

        async def make() -> Volume:
            if made(want.key) and not there:
                self.doubled.append(want.key)
            return await self.cloud.ensure_volume(want)

        there = await self._send("look_for_volume", want.key, look)
        return await self._send("ensure_volume", want.key, make)

    async def remove_volume(self, key: VolumeKey) -> None:
        if key in self._found:
            self.robbed.append(key)
        there = self._volume_of(key)  # a VIM knows it by its id, however late

        async def remove() -> None:
            if self._volume_of(key) == there:
                await self.cloud.remove_volume(key)

        await self._send("remove_volume", key, remove)

    def _volume_of(self, key: VolumeKey) -> str | None:
        rows = self.cloud.cloud.volumes.rows.values()
        return next((row.id for row in rows if row.key == key), None)

    async def attach_volume(self, key: ServerKey, volume: VolumeSpec) -> None:
        about = volume.key
        await self._send("attach_volume", about, lambda: self.cloud.attach_volume(key, volume))

    async def detach_volume(self, key: ServerKey, volume: VolumeKey, volume_id: str | None) -> None:
        await self._send(
            "detach_volume", volume, lambda: self.cloud.detach_volume(key, volume, volume_id)
        )

    async def exchange_root(self, key: ServerKey, volume: VolumeSpec) -> None:
        await self._send("exchange_root", volume.key, lambda: self.cloud.exchange_root(key, volume))

    async def ensure_server(
        self, key: ServerKey, want: ServerSpec, ports: tuple[Port, ...]
    ) -> Server:
        there = await self.find_server(key)
        if there is not None:
            return there

        async def make() -> Server:
            if await self.cloud.find_server(key) is not None:
                self.doubled.append(key)
            else:
                self.on_make(key)
            server = await self.cloud.ensure_server(key, want, ports)
            self.made.setdefault(key.vm, asyncio.get_running_loop().time())
            return server

        return await self._send("make", key, make)

    async def check_server(self, want: ServerSpec) -> None:
        about = want.ports[0].key.vm if want.ports else want.name
        await self._send("check_server", about, lambda: self.cloud.check_server(want))

    async def find_server(self, key: ServerKey) -> Server | None:
        return await self._send("find_server", key, lambda: self.cloud.find_server(key))

    async def remove_server(self, key: ServerKey) -> None:
        await self._send("remove_server", key, lambda: self.cloud.remove_server(key))

    async def attach_port(self, key: ServerKey, port: Port) -> None:
        await self._send("attach_port", key, lambda: self.cloud.attach_port(key, port))

    async def detach_port(self, key: ServerKey, port: PortKey, port_id: str | None) -> None:
        await self._send("detach_port", port, lambda: self.cloud.detach_port(key, port, port_id))

    async def resize_server(self, key: ServerKey, flavor: str | None) -> None:
        await self._send("resize_server", key, lambda: self.cloud.resize_server(key, flavor))

    async def set_power(self, key: ServerKey, power: Power) -> None:
        for other in Power:
            if other is not power and self._under_way[_switch(other), key]:
                self.overtaken.append(f"{power} of {key} while {other} has yet to arrive")
        await self._send(_switch(power), key, lambda: self.cloud.set_power(key, power))

    def servers(self) -> AsyncIterator[Server]:
        return self.cloud.servers()

    async def answers(self, key: ServerKey, address: str) -> float | None:
        return await self.cloud.answers(key, address)

    async def measured(self, key: ServerKey, metric: VimMetric) -> float | None:
        return await self.cloud.measured(key, metric)

    async def close(self) -> None:
        pass


class LossyVimAtHand(LossyVim):
    """A `VimDriver` that knows its guests without a wait, as the embedded simulator does."""

    def answers_now(self, key: ServerKey, address: str) -> float | None:
        return self.cloud.answers_now(key, address)


def _switch(power: Power) -> str:
    """Return the verb of a switch: what a cloud is asked for in one direction."""
    return f"set_power {power}"


def _set(answer: "asyncio.Future[Any]", error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error)
        answer.exception()  # nobody may be left to look at it
