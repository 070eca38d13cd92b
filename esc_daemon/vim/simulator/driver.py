"""
The VIM port over a simulated cloud inside one event loop.

A request belongs to the cloud as soon as it is sent: it is a timer of the loop, so it takes
effect even when whoever asked was cancelled or died. Time is the loop's, hence virtual time
works; without latency and faults no call gives up the loop, except to wait for a deletion.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

from esc_daemon.domain.ids import NO_VIM, Key, PortKey, ServerKey, VimId, VmId, VolumeKey, parts_of
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
    Capability,
    VimError,
    VimRefused,
    VimUnanswered,
    VimUnknown,
    VimUnreachable,
)
from esc_daemon.vim.simulator import uploads
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.faults import Fault, Rule, Verb
from esc_daemon.vim.simulator.ledger import MOMENT
from esc_daemon.vim.simulator.rows import FlavorRow, ImageRow, NetworkRow, SubnetRow

ResultT = TypeVar("ResultT")

PAGE: Final = 200
"""Servers of the list between two looks at the rest of the world."""


CAPABILITIES: Final = frozenset(Capability)


class SimulatorDriver:
    """
    One connector to *cloud*, which is shared.

    It is a VimDriver, TakesServers, GuestProbe, GuestsAtHand and ServerMetrics.

    *vim* stands in the handles and begins the texts of errors. *now* gives seconds since 1970
    and must follow the loop's time; by default it is the wall's time at the first call to the
    cloud and the loop's progress since: give it where a cloud outlives its loop, or is read
    from its state file under virtual time.
    """

    capabilities: frozenset[Capability] = CAPABILITIES

    def __init__(
        self, cloud: Cloud, *, vim: VimId = NO_VIM, now: Callable[[], float] | None = None
    ) -> None:
        self.cloud = cloud
        self.vim = vim
        self._given_now = now
        self._pending: set[asyncio.Future[Any]] = set()

    def now(self) -> float:
        """Return the cloud's time in seconds since 1970."""
        if self._given_now is not None:
            return self._given_now()
        loop_time = asyncio.get_running_loop().time()
        if self.cloud.offset is None:
            self.cloud.offset = time.time() - loop_time
        return self.cloud.offset + loop_time

    async def _ask(
        self,
        verb: Verb,
        name: str,
        effect: Callable[[float], ResultT],
        *,
        vm: VmId | None = None,
    ) -> ResultT:
        """Send one request and wait for its answer."""
        cloud = self.cloud
        latency = cloud.settings.latency_seconds
        if not cloud.faults and latency <= 0:
            return self._effect(effect)
        verdict = cloud.judge(verb, (name,), self.now(), vm)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[ResultT] = loop.create_future()
        self._pending.add(answer)
        answer.add_done_callback(self._pending.discard)
        about = vm or name
        what = f"{verb} of {about}" if about else str(verb)
        delay = latency + verdict.delay
        if delay > 0:
            loop.call_later(delay, self._arrive, effect, verdict.rule, what, answer)
        else:
            self._arrive(effect, verdict.rule, what, answer)
        return await answer

    async def _remove(self, verb: Verb, key: Key, remove: Callable[[Key], None]) -> None:
        """
        Ask for the removal of what has *key* now, as a VIM removes what it knows by an id.

        However late it takes effect, what was made of that key meanwhile stays.
        """
        there = self.cloud.row_of(key)

        def effect(_: float) -> None:
            if self.cloud.row_of(key) is there:
                remove(key)

        await self._ask(verb, parts_of(key.name)[-1], effect)

    def by_hand(self, effect: Callable[[float], ResultT]) -> ResultT:
        """
        Do in the cloud what *effect* does, given the time, as its operator: no fault befalls it.

        Raises:
            VimRefused: The effect's own.
            VimUnknown: The state cannot be written.

        """
        return self._effect(effect)

    def _effect(self, effect: Callable[[float], ResultT]) -> ResultT:
        """Let a request take effect now, durably."""
        now = self.now()
        try:
            self.cloud.settle(now)
            try:
                return effect(now)
            finally:
                self.cloud.commit(now)
        except VimError as error:
            raise type(error)(f"{self.vim}: {error}" if self.vim else str(error)) from None
        except OSError as error:
            raise VimUnknown(f"{self.vim}: cannot write the state: {error}") from error

    def _arrive(
        self,
        effect: Callable[[float], ResultT],
        rule: Rule | None,
        what: str,
        answer: "asyncio.Future[ResultT]",
    ) -> None:
        """Let a request take effect, or not, and answer it, or not."""
        try:
            result = self._effect(effect) if rule is None else self._strike(rule, what, effect)
        except _NeverAnsweredError:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's
            if not answer.done():
                answer.set_exception(error)
        else:
            if not answer.done():
                answer.set_result(result)

    def _strike(self, rule: Rule, what: str, effect: Callable[[float], ResultT]) -> ResultT:
        if rule.fault is Fault.UNKNOWN_AFTER or rule.takes_effect:
            with suppress(VimError):
                self._effect(effect)
        else:
            # That the rule struck is durable too.
            self._effect(_nothing)
        text = f"{self.vim}: {what}: " if self.vim else f"{what}: "
        match rule.fault:
            case Fault.REFUSE:
                raise VimRefused(text + (rule.text or "refused"))
            case Fault.QUOTA:
                raise VimRefused(text + (rule.text or "quota exceeded"))
            case Fault.UNREACHABLE:
                raise VimUnreachable(text + (rule.text or "the VIM does not answer"))
            case Fault.HANG:
                raise _NeverAnsweredError
            case _:
                raise VimUnanswered(text + (rule.text or "the answer was lost"))

    def _handle(self, row: NetworkRow | SubnetRow | ImageRow | FlavorRow) -> ResourceHandle:
        return ResourceHandle(vim=self.vim, resource_id=row.id, project=row.project, name=row.name)

    async def check(self) -> VimCheck:
        """Return what the faults make of it."""
        try:
            await self._ask(Verb.CHECK, "", _nothing)
        except VimRefused as error:
            return VimCheck(status=VimStatus.AUTHENTICATION_FAILED, detail=str(error))
        except VimUnknown as error:
            return VimCheck(status=VimStatus.CONNECTION_FAILED, detail=str(error))
        return VimCheck(status=VimStatus.CONNECTION_SUCCESSFUL)

    async def ensure_tenant(self, key: Key, want: Tenant) -> ResourceHandle:
        """See VimDriver."""
        project, name = await self._ask(
            Verb.ENSURE_TENANT, want.name, lambda _: self.cloud.projects.ensure(key, want)
        )
        return ResourceHandle(vim=self.vim, resource_id=project, project=project, name=name)

    async def remove_tenant(self, key: Key) -> None:
        """See VimDriver."""
        await self._remove(Verb.REMOVE_TENANT, key, self.cloud.projects.remove)

    async def ensure_network(self, key: Key, want: Network, *, project: str) -> ResourceHandle:
        """See VimDriver."""
        return await self._ask(
            Verb.ENSURE_NETWORK,
            want.name,
            lambda _: self._handle(self.cloud.networks.ensure(key, want, project)),
        )

    async def remove_network(self, key: Key) -> None:
        """See VimDriver."""
        await self._remove(Verb.REMOVE_NETWORK, key, self.cloud.networks.remove)

    async def ensure_subnet(
        self, key: Key, want: Subnet, *, network_id: str, project: str
    ) -> ResourceHandle:
        """See VimDriver."""
        return await self._ask(
            Verb.ENSURE_SUBNET,
            want.name,
            lambda _: self._handle(
                self.cloud.networks.ensure_subnet(key, want, network_id, project)
            ),
        )

    async def remove_subnet(self, key: Key) -> None:
        """See VimDriver."""
        await self._remove(Verb.REMOVE_SUBNET, key, self.cloud.networks.remove_subnet)

    async def ensure_image(self, key: Key, want: Image) -> VimImage:
        """See VimDriver."""

        def ensured(_: float) -> VimImage:
            row = self.cloud.catalogue.ensure_image(key, want)
            return VimImage(handle=self._handle(row), ready=row.ready)

        return await self._ask(Verb.ENSURE_IMAGE, want.name, ensured)

    async def upload_image(self, key: Key, image_id: str, content: AsyncIterator[bytes]) -> None:
        """See VimDriver."""
        await uploads.told(
            content, partial(self.uploading, key, image_id), partial(self.uploaded, key, image_id)
        )

    async def uploading(self, key: Key, image_id: str, _size: int) -> None:
        """Tell the cloud how many bytes of the image it has by now."""
        await self._ask(
            Verb.UPLOAD_IMAGE,
            parts_of(key.name)[-1],
            lambda _: self.cloud.catalogue.check_uploading(key, image_id),
        )

    async def uploaded(self, key: Key, image_id: str, size: int, sha256: str) -> None:
        """Tell the cloud that it has all of the image."""
        await self._ask(
            Verb.UPLOAD_IMAGE,
            parts_of(key.name)[-1],
            lambda _: self.cloud.catalogue.uploaded(key, image_id, size, sha256),
        )

    async def remove_image(self, key: Key) -> None:
        """See VimDriver."""
        await self._remove(Verb.REMOVE_IMAGE, key, self.cloud.catalogue.remove_image)

    async def ensure_flavor(self, key: Key, want: Flavor) -> ResourceHandle:
        """See VimDriver."""
        return await self._ask(
            Verb.ENSURE_FLAVOR,
            want.name,
            lambda _: self._handle(self.cloud.catalogue.ensure_flavor(key, want)),
        )

    async def remove_flavor(self, key: Key) -> None:
        """See VimDriver."""
        await self._remove(Verb.REMOVE_FLAVOR, key, self.cloud.catalogue.remove_flavor)

    async def ensure_port(self, want: PortSpec) -> Port:
        """See VimDriver."""
        return await self._ask(
            Verb.ENSURE_PORT,
            want.network,
            lambda _: self.cloud.ports.ensure(want),
            vm=want.key.vm,
        )

    async def remove_ports(self, vm: VmId, only: frozenset[str] | None = None) -> None:
        """See VimDriver; *only*: those that whoever asks has found, by their ids."""
        there = self.cloud.ports.of(vm) if only is None else only
        await self._ask(Verb.REMOVE_PORTS, "", lambda _: self.cloud.ports.remove(vm, there), vm=vm)

    async def ensure_volume(self, want: VolumeSpec) -> Volume:
        """See VimDriver."""
        return await self._ask(
            Verb.ENSURE_VOLUME,
            want.name,
            lambda _: self.cloud.volumes.ensure(want),
            vm=VmId(want.key.owner),
        )

    async def remove_volume(self, key: VolumeKey) -> None:
        """See VimDriver."""
        await self._ask(
            Verb.REMOVE_VOLUME,
            key.name,
            lambda _: self.cloud.volumes.remove(key),
            vm=VmId(key.owner),
        )

    async def attach_volume(self, key: ServerKey, volume: VolumeSpec) -> None:
        """See VimDriver."""
        await self._ask(
            Verb.ATTACH_VOLUME,
            volume.name,
            lambda now: self.cloud.servers.attach_volume(key, volume, now),
            vm=key.vm,
        )

    async def detach_volume(self, key: ServerKey, volume: VolumeKey, volume_id: str | None) -> None:
        """See VimDriver."""
        await self._ask(
            Verb.DETACH_VOLUME,
            volume.name,
            lambda _: self.cloud.servers.detach_volume(key, volume, volume_id),
            vm=key.vm,
        )

    async def exchange_root(self, key: ServerKey, volume: VolumeSpec) -> None:
        """See VimDriver."""
        await self._ask(
            Verb.EXCHANGE_ROOT,
            volume.name,
            lambda now: self.cloud.servers.exchange_root(key, volume, now),
            vm=key.vm,
        )

    async def ensure_server(
        self, key: ServerKey, want: ServerSpec, ports: tuple[Port, ...]
    ) -> Server:
        """See VimDriver; VimUnknown while a server with this key is being deleted."""
        return await self._ask(
            Verb.ENSURE_SERVER,
            want.name,
            lambda now: self.cloud.servers.ensure(key, want, ports, now),
            vm=key.vm,
        )

    async def check_server(self, want: ServerSpec) -> None:
        """See TakesServers."""
        vm = want.ports[0].key.vm if want.ports else None
        await self._ask(
            Verb.CHECK_SERVER, want.name, lambda _: self.cloud.servers.check(want, vm), vm=vm
        )

    async def find_server(self, key: ServerKey) -> Server | None:
        """See VimDriver; while it is being deleted its *fault* says so."""
        return await self._ask(
            Verb.FIND_SERVER, "", lambda now: self.cloud.servers.find(key, now), vm=key.vm
        )

    async def remove_server(self, key: ServerKey) -> None:
        """See VimDriver; the deletion goes on when nobody waits for it."""
        gone_at = await self._ask(
            Verb.REMOVE_SERVER, "", lambda now: self.cloud.servers.remove(key, now), vm=key.vm
        )
        if gone_at is None or gone_at <= self.now() + MOMENT:
            return
        await asyncio.sleep(gone_at - self.now())
        # The timer may be early by less than a clock's tick.
        self.cloud.settle(max(gone_at, self.now()))
        self._effect(_nothing)

    async def attach_port(self, key: ServerKey, port: Port) -> None:
        """See VimDriver."""
        await self._ask(
            Verb.ATTACH_PORT,
            "",
            lambda now: self.cloud.servers.attach(key, port, now),
            vm=key.vm,
        )

    async def detach_port(self, key: ServerKey, port: PortKey, port_id: str | None) -> None:
        """See VimDriver."""
        await self._ask(
            Verb.DETACH_PORT,
            "",
            lambda _: self.cloud.servers.detach(key, port, port_id),
            vm=key.vm,
        )

    async def resize_server(self, key: ServerKey, flavor: str | None) -> None:
        """See VimDriver."""
        await self._ask(
            Verb.RESIZE_SERVER,
            flavor or "",
            lambda now: self.cloud.servers.resize(key, flavor, now),
            vm=key.vm,
        )

    async def set_power(self, key: ServerKey, power: Power) -> None:
        """See VimDriver; VimUnknown while the server is in BUILD."""
        await self._ask(
            Verb.SET_POWER,
            "",
            lambda now: self.cloud.servers.set_power(key, power, now),
            vm=key.vm,
        )

    async def page(self, after: int, size: int) -> tuple[list[Server], int]:
        """Return a part of the list; see `Servers.page`."""
        return await self._ask(
            Verb.SERVERS, "", lambda now: self.cloud.servers.page(after, size, now)
        )

    async def servers(self) -> AsyncIterator[Server]:
        """See VimDriver."""
        after = 0
        while True:
            found, after = await self.page(after, PAGE)
            for server in found:
                yield server
            if len(found) < PAGE:
                return
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Stop waiting for answers; the requests themselves go on."""
        for answer in tuple(self._pending):
            if not answer.done():
                answer.set_exception(VimUnreachable(f"{self.vim}: the connection was closed"))

    async def answers(self, key: ServerKey, address: str) -> float | None:
        """See GuestProbe; no fault of the API touches it."""
        return self.answers_now(key, address)

    def answers_now(self, key: ServerKey, address: str) -> float | None:
        """See GuestsAtHand."""
        now = self.now()
        self.cloud.settle(now)
        alive = self.cloud.servers.guest(key, address, now)
        return self.cloud.settings.rtt_ms if alive else None

    async def measured(self, key: ServerKey, metric: VimMetric) -> float | None:
        """See ServerMetrics; no fault of the API touches it."""
        now = self.now()
        self.cloud.settle(now)
        return self.cloud.servers.load(key, metric, now)


class _NeverAnsweredError(Exception):
    """A request hangs."""


def _nothing(_: float) -> None:
    return None
