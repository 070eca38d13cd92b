"""
What one subscription sends and when (RFC 5277 sections 2.1.1 and 3.3). It has no clock.

The owner reads the event log in its order from the subscription's start and hands in each event;
when it has caught up with the log's end as of the time the subscription was made it says so; then
come live events, from the same log. So nothing is lost or doubled between replay and live.
"""

from collections.abc import Sequence
from copy import deepcopy
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Final

from lxml import etree

from esc_daemon.netconf.errors import RpcError
from esc_daemon.netconf.filters import selects, work_of
from esc_daemon.netconf.messages import NOTIFICATION_COMPLETE, REPLAY_COMPLETE
from esc_daemon.netconf.operations import CreateSubscription
from esc_daemon.netconf.xml import BASE_NS, qualified

FULL_EVENT: Final = 200
"""Elements of an escEvent of two VMs with seven interfaces each, as filters are judged by."""
MAX_WORK_AN_EVENT: Final = 200_000
"""Looks at nodes that a filter may take over a full event; measured: 4 ms at the most."""


class Phase(StrEnum):
    """Where a subscription stands; it only ever moves down this list."""

    REPLAY = "replay"
    LIVE = "live"
    ENDED = "ended"


class Subscription:
    """The state of one subscription; its answers are the payloads to send, in order."""

    def __init__(
        self, request: CreateSubscription, *, default_namespace: str | None = None
    ) -> None:
        self.stream: Final = request.stream
        self.start_time: Final = request.start_time
        self.stop_time: Final = request.stop_time
        self._filter = request.filter
        self._default_namespace = default_namespace
        self._phase = Phase.LIVE if request.start_time is None else Phase.REPLAY

    @property
    def phase(self) -> Phase:
        """Where the subscription stands."""
        return self._phase

    @property
    def wake_at(self) -> datetime | None:
        """The moment for *tick*; None when there is none."""
        return self.stop_time if self._phase is Phase.LIVE else None

    def event(self, time: datetime, payload: etree._Element, serialised: bytes) -> Sequence[bytes]:
        """
        Return what to send for an event of the stream that was logged at *time*.

        The filter chooses whole events and cuts nothing out of them. *payload* and *serialised*
        are the same element, so that many listeners share the work.

        Raises:
            RpcError: The filter cannot be evaluated; see *check*.

        """
        if self._phase is Phase.ENDED:
            return ()
        if self.stop_time is not None and time > self.stop_time:
            return () if self._phase is Phase.REPLAY else self._end()
        if self.start_time is not None and time < self.start_time:
            return ()
        return (serialised,) if self._wants(payload) else ()

    @property
    def takes_all(self) -> bool:
        """Whether each event from now on is sent, whatever and whenever it is."""
        return (
            self._phase is Phase.LIVE
            and self._filter is None
            and self.start_time is None
            and self.stop_time is None
        )

    def check(self) -> None:
        """
        Try the filter once, before the subscription is agreed to, and judge what it may cost.

        Raises:
            RpcError: The filter cannot be evaluated: invalid-value; or it costs more than an event
                is worth, for it is evaluated at each one: too-big.

        """
        self._wants(etree.Element("nothing"))
        if self.work > MAX_WORK_AN_EVENT:
            raise RpcError.too_big(
                "the filter of a subscription is evaluated at each event, and this one is too "
                f"expensive: up to {self.work} looks at nodes in an event of {FULL_EVENT}, where "
                f"{MAX_WORK_AN_EVENT} are allowed; leave out paths from the root, parents and "
                "siblings inside predicates, or choose among the events at your side"
            )

    @cached_property
    def work(self) -> int:
        """Looks at nodes that the filter may take over a full event; 0 without a filter."""
        return 0 if self._filter is None else work_of(self._filter, FULL_EVENT)

    def caught_up(self, now: datetime) -> Sequence[bytes]:
        """Return what ends the replay; at once also the end of a subscription to the past."""
        if self._phase is not Phase.REPLAY:
            return ()
        self._phase = Phase.LIVE
        return (REPLAY_COMPLETE, *self.tick(now))

    def tick(self, now: datetime) -> Sequence[bytes]:
        """Return the end of the subscription once *now* has reached its stopTime."""
        over = self.stop_time is not None and now >= self.stop_time
        return self._end() if over and self._phase is Phase.LIVE else ()

    def _end(self) -> Sequence[bytes]:
        self._phase = Phase.ENDED
        return (NOTIFICATION_COMPLETE,)

    def _wants(self, payload: etree._Element) -> bool:
        if self._filter is None:
            return True
        around = etree.Element(qualified(BASE_NS, "data"))
        around.append(deepcopy(payload))
        return selects(around, self._filter, default_namespace=self._default_namespace)
