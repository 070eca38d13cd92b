"""
What the RPCs ask of the rest of the daemon: one port, made by the composition root.

Errors that an implementation may raise are RpcError and RpcErrors of `netconf`; anything else is
logged and answered as operation-failed with a reference.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from lxml import etree

from esc_daemon.netconf.filters import Filter
from esc_daemon.netconf.messages import Commit, CopyConfig, Datastore, EditConfig, WithDefaults


class LoggedNotification(NamedTuple):
    """One entry of the event log as listeners get it."""

    seq: int
    """Gapless and rising."""
    time: datetime
    payload: bytes
    """The serialised element below eventTime."""


class StreamInfo(NamedTuple):
    """One event stream (RFC 5277 section 3.2.5)."""

    name: str
    description: str


class StateTree(NamedTuple):
    """A top-level node of state that stands beside the data model in the answer of a get."""

    name: tuple[str, str]
    """(namespace, local name)"""
    render: Callable[[], Awaitable[bytes]]
    """Returns the element, serialised."""


class FeedOverrun(Exception):
    """The listener was too slow and its feed has lost events; it may come back by replay."""


class Feed(Protocol):
    """
    The live events of one listener, from the moment of *Management.subscribe* on.

    Its queue is bounded; when it is full the feed is given up and iterating raises FeedOverrun.
    """

    def __aiter__(self) -> AsyncIterator[Sequence[LoggedNotification]]:
        """Iterate over batches, never empty ones, in the order of the log."""

    def close(self) -> None:
        """Leave; twice is no error."""


class Guard(Protocol):
    """Who may call what, and hear of what; what else is denied, the datastores deny."""

    def check_call(self, user: str, operation: tuple[str, str]) -> None:
        """Raise RpcError unless *user* may call *operation*, (namespace, name)."""

    def hears_all(self, user: str) -> bool:
        """Tell whether every event may be sent to *user*."""

    def may_hear(self, user: str, notification: tuple[str, str]) -> bool:
        """Tell whether *notification*, (namespace, name), may be sent to *user*; count a no."""


class Configuration(Protocol):
    """The datastores, and what changes them."""

    async def edit_config(self, request: EditConfig, user: str) -> None:
        """
        Apply the edit whole or not at all, durable when it returns; or only test it.

        An edit of running that has begun is done also when its caller is cancelled.
        """

    async def copy_config(self, request: CopyConfig, session: int, user: str) -> None:
        """Make the target what the source is, whole or not at all."""

    async def validate(self, source: Datastore | etree._Element, user: str) -> None:
        """Look whether *source*, a datastore or an element ``config``, is valid."""

    async def commit(self, request: Commit, session: int, user: str) -> None:
        """Make the candidate running, whole or not at all; durable when it returns."""

    async def cancel_commit(self, persist_id: str | None, session: int, user: str) -> None:
        """Take back the confirmed commit that waits."""

    def session_ended(self, session: int) -> None:
        """Take back what *session* has not confirmed."""

    @property
    def on_trial(self) -> int | None:
        """The session whose confirmed commit waits, 0 for one that outlives it, None for none."""

    def discard_changes(self) -> None:
        """Make the candidate what running is."""

    @property
    def candidate_changed(self) -> bool:
        """Tell whether the candidate holds changes that were not committed."""


class Events(Protocol):
    """The event log, to be read and listened to."""

    async def events(
        self, *, after: int, limit: int, since: datetime | None
    ) -> Sequence[LoggedNotification]:
        """
        Return some of the logged events with seq > *after* and time >= *since*, in order.

        At most *limit*, and fewer at will, since some are for other audiences; none only when
        there are none left.
        """

    def subscribe(self) -> Feed:
        """Return a feed of every event logged from now on."""


class Management(Events, Protocol):
    """Configuration, state and events of the manager, to be read; and its actions."""

    @property
    def actions(self) -> Collection[tuple[str, str]]:
        """(namespace, name) of the RPCs that *act* takes; fixed while the daemon runs."""

    async def get_config(
        self,
        filter: Filter | None,  # noqa: A002
        user: str,
        with_defaults: WithDefaults = WithDefaults.EXPLICIT,
        *,
        source: Datastore = Datastore.RUNNING,
    ) -> Iterable[bytes]:
        """Return the children of *data*, serialised, in pieces cut anywhere."""

    async def get(
        self,
        filter: Filter | None,  # noqa: A002
        user: str,
        with_defaults: WithDefaults = WithDefaults.EXPLICIT,
    ) -> Iterable[bytes]:
        """Return configuration and state as *get_config* does."""

    def schema(self, name: str, revision: str | None) -> str | None:
        """Return the text of a YANG module or submodule; *revision* None means any."""

    async def act(self, operation: etree._Element, user: str) -> Sequence[etree._Element]:
        """Start what an RPC of the esc namespace asks for; return its output, empty for ok."""

    def streams(self) -> Sequence[StreamInfo]:
        """Return the streams that may be subscribed to; each carries every event."""
