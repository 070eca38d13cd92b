"""Whether the daemon lives, and whether it is ready to serve."""

from collections.abc import Callable, Iterable
from typing import Annotated, Literal

from fastapi import APIRouter, Response, status
from pydantic import BaseModel, Field


class Readiness:
    """Why the daemon is not ready: a set of reasons that starts full and may fill again."""

    def __init__(self, reasons: Iterable[str] = ()) -> None:
        # A dict keeps the order in which the reasons came.
        self._reasons = dict.fromkeys(reasons)

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is still missing, in the order in which it was told; empty when ready."""
        return tuple(self._reasons)

    def hold(self, reason: str) -> None:
        """Be not ready for *reason*; twice is no error."""
        self._reasons[reason] = None

    def clear(self, reason: str) -> None:
        """Forget *reason*; no error if it does not stand."""
        self._reasons.pop(reason, None)


class Health(BaseModel):
    """The answer of ``/healthz``."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """The answer of ``/readyz``."""

    ready: bool
    reasons: Annotated[tuple[str, ...], Field(description="what is missing; empty when ready")]
    degraded: Annotated[
        tuple[str, ...], Field(description="what does not work although it serves: vim, log")
    ] = ()


def health_router(
    readiness: Readiness, degraded: Callable[[], tuple[str, ...]] = tuple
) -> APIRouter:
    """
    Return the routes ``/healthz`` (the loop turns) and ``/readyz`` (503 until ready).

    What *degraded* returns is shown, and makes nothing unready.
    """
    router = APIRouter(tags=["health"])

    @router.get("/healthz", summary="The daemon lives")
    async def healthz() -> Health:
        return Health()

    @router.get(
        "/readyz",
        summary="The daemon is ready to serve",
        responses={status.HTTP_503_SERVICE_UNAVAILABLE: {"model": Ready}},
    )
    async def readyz(response: Response) -> Ready:
        reasons = readiness.reasons
        if reasons:
            response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
        return Ready(ready=not reasons, reasons=reasons, degraded=degraded())

    return router
