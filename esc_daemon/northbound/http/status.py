"""
How the daemon is, in one answer: what `esc_daemon status` shows.

HTTP has no login yet: numbers and words of our own only, no name that a client chose.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from esc_daemon.domain.guard import Hold, Scope
from esc_daemon.domain.specs import VimStatus


class Trouble(BaseModel):
    """One kind of lines of the log without what they told."""

    time: Annotated[datetime, Field(description="of the last one")]
    level: str
    event: str
    times: Annotated[int, Field(description="since the start")]


class Status(BaseModel):
    """The answer of ``/status``; states that nothing is in are left out."""

    version: str
    pid: int
    uptime_seconds: float
    ready: bool
    reasons: Annotated[Sequence[str], Field(description="what is missing; empty when ready")]
    degraded: Annotated[Sequence[str], Field(description="what does not work although it serves")]
    why: Annotated[Sequence[str], Field(description="the same, each with why and what to do")]
    sessions: Annotated[int, Field(description="NETCONF sessions that are open")]
    connectors: Annotated[Mapping[str, int], Field(description="VIM connectors by status")]
    deployments: Annotated[Mapping[str, int], Field(description="by state")]
    vms: Annotated[Mapping[str, int], Field(description="by state")]
    in_error: Annotated[Mapping[str, int], Field(description="resources in error, by kind")]
    to_recover: Annotated[int, Field(description="VMs that wait for recoveryVmAction")]
    leftovers: Annotated[int, Field(description="what is left in a VIM that would not remove it")]
    warnings: Annotated[Mapping[str, int], Field(description="of the log, by name of the line")]
    errors: Annotated[Sequence[Trouble], Field(description="of the log, the last kinds, each once")]


def why_degraded(
    connectors: Mapping[VimStatus | None, int],
    holds: Mapping[Scope, Hold],
    *,
    database: bool,
    log: bool,
    users: bool,
) -> dict[str, str]:
    """
    Return what does not work, each with a line that says why and what to do.

    *connectors* are counted by their status, *holds* are those of recoveries; *database*, *log*
    and *users* tell whether that one fails.
    """
    ill = {
        status: number
        for status, number in connectors.items()
        if status not in {VimStatus.CONNECTION_SUCCESSFUL, None}
    }
    found = {}
    if ill:
        counted = ", ".join(f"{status} {ill[status]}" for status in VimStatus if status in ill)
        found["vim"] = (
            f"{counted}; see esc_nc_cli get -f table esc_datamodel/opdata/vim_connectors, "
            "and mend the VIM or its connector"
        )
    if holds:
        each = ", ".join(
            f"{scope.why} since {hold.since.isoformat(timespec='seconds')} (VMs: {hold.lost})"
            for scope, hold in holds.items()
        )
        found["healing"] = (
            f"recoveries are held: {each}; what waits for these VMs waits too; "
            "see esc_nc_cli guard, and mend what it names, or esc_nc_cli guard-action release"
        )
    if database:
        found["database"] = (
            "it did not take the last change; make room on the disk of the data directory "
            "(why: step.not_stored, edit.not_stored in the log)"
        )
    if log:
        found["log"] = (
            "its last line could not be written; make room on the disk of log.file, "
            "or restart the daemon with a reader of its standard output"
        )
    if users:
        found["users"] = (
            "nobody can log in: users.json cannot be read or has no user; mend it or put it back "
            "from a backup (why: esc_daemon user list)"
        )
    return found


def status_router(status: Callable[[], Status]) -> APIRouter:
    """Return the route ``/status``; *status* is asked at each request."""
    router = APIRouter(tags=["health"])

    @router.get("/status", summary="How the daemon is")
    async def answer() -> Status:
        return status()

    return router
