"""
From an operation to the function that answers it: a table keyed (namespace, name).

A handler registers itself with the decorator *rpc*; the modules of `rpcs` are the handlers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

import structlog
from lxml import etree

from esc_daemon.netconf.capabilities import PROTOCOL_CAPABILITIES
from esc_daemon.netconf.errors import RpcError, RpcErrors
from esc_daemon.netconf.messages import (
    CreateSubscription,
    Ok,
    Output,
    Reply,
    Request,
    parse_request,
)
from esc_daemon.netconf.xml import name_of
from esc_daemon.northbound.http.metrics import NetconfMetrics
from esc_daemon.northbound.ssh.limits import Limits
from esc_daemon.northbound.ssh.locks import Locks
from esc_daemon.northbound.ssh.services import Configuration, Guard, Management
from esc_daemon.northbound.ssh.sessions import Sessions

_log = structlog.get_logger("esc_daemon.northbound.ssh")
Name: TypeAlias = tuple[str, str]
"""(namespace, local name) of an operation."""
R_co = TypeVar("R_co", bound=Request, covariant=True)


class Caller(Protocol):
    """What a handler may ask of the session that called it."""

    @property
    def id(self) -> int: ...
    @property
    def user(self) -> str: ...
    def subscribe(self, request: CreateSubscription) -> None:
        """Send notifications from right after the reply on; see `rpcs.subscription`."""

    def close_after_reply(self) -> None:
        """Send the reply and nothing more, then end the session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What handlers work with; made once by the composition root."""

    management: Management
    configuration: Configuration
    sessions: Sessions
    locks: Locks
    limits: Limits
    metrics: NetconfMetrics
    guard: Guard
    now: Callable[[], datetime]
    capabilities: tuple[str, ...] = PROTOCOL_CAPABILITIES


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcCall(Generic[R_co]):
    """One request of one session, its parameters parsed."""

    session: Caller
    request: R_co
    services: Services


Handler: TypeAlias = Callable[[RpcCall[R_co]], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class _Entry:
    kind: type[Any]
    handler: Handler[Any]


_TABLE: dict[Name, _Entry] = {}


def rpc(namespace: str, name: str, kind: type[R_co]) -> Callable[[Handler[R_co]], Handler[R_co]]:
    """Register the decorated function as the handler of an operation that parses to *kind*."""

    def register(handler: Handler[R_co]) -> Handler[R_co]:
        if (namespace, name) in _TABLE:
            raise ValueError(f"{name} has a handler already")
        _TABLE[namespace, name] = _Entry(kind, handler)
        return handler

    return register


def handled() -> Mapping[Name, object]:
    """Return the operations that have a handler, for the check at start."""
    return _TABLE


async def dispatch(operation: etree._Element, session: Caller, services: Services) -> Reply:
    """
    Return the answer to *operation*.

    Raises:
        RpcError, RpcErrors: As the handler says; operation-not-supported for an unknown one;
            access-denied.

    """
    name = name_of(operation)
    services.guard.check_call(session.user, name)
    entry = _TABLE.get(name)
    if entry is not None:
        request = parse_request(
            operation, now=services.now(), datastores=frozenset(services.locks.held)
        )
        assert isinstance(request, entry.kind), f"{name} does not parse to {entry.kind}"
        return await entry.handler(RpcCall(session=session, request=request, services=services))
    if name in services.management.actions:
        output = await to_its_end(services.management.act(operation, session.user))
        return Output(output) if output else Ok()
    # For the operations of the RFC that are not offered, this raises what the RFC wants.
    parse_request(operation, now=services.now(), datastores=frozenset(services.locks.held))
    raise RpcError.operation_not_supported(f"there is no operation {name[1]} in {name[0]!r}")


T = TypeVar("T")
_under_way: set["asyncio.Future[Any]"] = set()
"""Keeps what nobody waits for any more alive until it is done."""


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """
    Return what *work* returns; it is done even when the session that asked for it ends.

    For what changes something: a commit is not to be torn by a client that hangs up. What it is
    refused for then is told nobody; what is no refusal is logged.
    """
    task = asyncio.ensure_future(work)
    _under_way.add(task)
    waiting = asyncio.shield(task)

    def ended(_: "asyncio.Future[T]") -> None:
        _under_way.discard(task)
        if waiting.cancelled() and not task.cancelled():
            error = task.exception()
            if error is not None and not isinstance(error, (RpcError, RpcErrors)):
                _log.error("rpc.failed", exc_info=error)

    task.add_done_callback(ended)
    return await waiting


OTHER_OPERATION: Final = "other"


def label(operation: etree._Element, services: Services) -> str:
    """Return the operation's name for metrics and logs; a peer's own words are *other*."""
    name = name_of(operation)
    return name[1] if name in _TABLE or name in services.management.actions else OTHER_OPERATION
