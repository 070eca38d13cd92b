"""
How the daemon is, in one answer: what `esc_daemon status` shows.

HTTP has no login yet: numbers and words of our own only, no name that a client chose.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field


class Trouble(BaseModel):
    """One line of the log without what it told."""

    time: datetime
    level: str
    event: str


class Status(BaseModel):
    """The answer of ``/status``; states that nothing is in are left out."""

    version: str
    pid: int
    uptime_seconds: float
    ready: bool
    reasons: Annotated[Sequence[str], Field(description="what is missing; empty when ready")]
    degraded: Annotated[Sequence[str], Field(description="what does not work although it serves")]
    sessions: Annotated[int, Field(description="NETCONF sessions that are open")]
    connectors: Annotated[Mapping[str, int], Field(description="VIM connectors by status")]
    deployments: Annotated[Mapping[str, int], Field(description="by state")]
    vms: Annotated[Mapping[str, int], Field(description="by state")]
    leftovers: Annotated[int, Field(description="what is left in a VIM that would not remove it")]
    errors: Annotated[Sequence[Trouble], Field(description="the last errors of the log")]


def status_router(status: Callable[[], Status]) -> APIRouter:
    """Return the route ``/status``; *status* is asked at each request."""
    router = APIRouter(tags=["health"])

    @router.get("/status", summary="How the daemon is")
    async def answer() -> Status:
        return status()

    return router
