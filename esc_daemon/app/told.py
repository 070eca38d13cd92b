"""Events as lines of the log, and as figures."""

from collections import Counter

import structlog

from esc_daemon.domain.events import Event, EventStatus
from esc_daemon.engine.broadcast import Listener

log = structlog.get_logger()

EventFigures = Counter[tuple[str, str]]
"""Events that were told since the start, by type and status."""


async def log_events(listener: Listener, figures: EventFigures) -> None:
    """Write every event that is told into the log, where operators look for a deployment."""
    while True:
        for logged in await listener.batch():
            event = logged.event
            figures[event.type, event.status] += 1
            tell = log.warning if event.status is EventStatus.FAILURE else log.info
            tell(
                "event.told",
                seq=logged.seq,
                operation=event.operation,
                type=event.type,
                status=event.status,
                tenant=event.tenant,
                deployment=event.deployment,
                vm_group=event.vm_group,
                vm=event.source and event.source.generated_vmname,
                vim=_vim(event),
                message=event.message,
                details=event.details,
            )


def _vim(event: Event) -> str | None:
    """Return the VIM that *event* is about."""
    return event.vim_connector_id or event.vim or (event.source.vim_id if event.source else None)
