"""Who hears the events of the chaos campaign, in spite of the kills."""

import asyncio
from functools import cache

from client import Notification, Session, SessionLost, notification_of
from lxml import etree
from operating import Endpoint
from shapes import ESC

from esc_daemon.domain.events import Event, EventStatus, EventType, VmRef
from esc_daemon.domain.ids import DeploymentId, DeploymentName, VmGroupName

FROM_THE_FIRST = "2020-01-01T00:00:00+00:00"
REPLAY_SECONDS = 180


@cache
def told_of(notification: Notification) -> Event | None:
    """Return the event in *notification*, as far as it is judged; None for replayComplete."""
    root = etree.fromstring(notification.payload)
    if root.tag != f"{ESC}escEvent":
        return None

    def vm(which: str) -> VmRef | None:
        name = root.findtext(f"{ESC}{which}/{ESC}generated_vmname", "")
        return VmRef(vmid=None, vmname=name, generated_vmname=name) if name else None

    return Event(
        type=EventType(root.findtext(f"{ESC}event/{ESC}type", "")),
        message=root.findtext(f"{ESC}status_message", ""),
        status=EventStatus(root.findtext(f"{ESC}status", "")),
        deployment=DeploymentName(root.findtext(f"{ESC}depname", "")),
        deployment_id=DeploymentId(root.findtext(f"{ESC}depid", "")),
        vm_group=VmGroupName(root.findtext(f"{ESC}vm_group", "")),
        source=vm("vm_source"),
        target=vm("vm_target"),
        details=root.findtext(f"{ESC}event/{ESC}details"),
        vm_update_type=root.findtext(f"{ESC}vm_update_type"),
    )


class Ear:
    """Hears every event: it comes back with a replay from the last one that it heard."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.heard: dict[Notification, None] = {}
        self.faults: list[str] = []
        self.sessions = 0

    async def run(self) -> None:
        await self._endpoint.insist(self._listen)

    async def _listen(self, session: Session) -> None:
        self.sessions += 1
        now: set[Notification] = set()
        """What this session has told; what earlier ones told may come again in the replay."""

        def take(message: bytes) -> None:
            notification = notification_of(message)
            if told_of(notification) is None:
                return
            if notification in now:
                told = notification.payload.decode()
                self.faults.append(f"expected once in a session, heard twice: {told}")
            now.add(notification)
            self.heard[notification] = None

        last = next(reversed(self.heard), None)
        await session.subscribe(take, last.time if last else FROM_THE_FIRST)
        await session.ended.wait()
        raise SessionLost("the daemon is gone")


async def whole_log(endpoint: Endpoint) -> list[Notification]:
    """Return what one replay of everything tells."""
    replayed: list[Notification] = []

    async def read(session: Session) -> None:
        replayed.clear()  # of an attempt that was cut off
        done = asyncio.Event()

        def take(message: bytes) -> None:
            notification = notification_of(message)
            if b"replayComplete" in notification.payload:
                done.set()
            elif not done.is_set() and told_of(notification) is not None:
                replayed.append(notification)

        await session.subscribe(take, FROM_THE_FIRST)
        await asyncio.wait_for(done.wait(), REPLAY_SECONDS)

    await endpoint.insist(read)
    return replayed
