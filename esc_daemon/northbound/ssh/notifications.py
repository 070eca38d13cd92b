"""One subscription at work: replay, then live, to the end (RFC 5277)."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from lxml import etree

from esc_daemon.netconf.messages import CreateSubscription
from esc_daemon.netconf.session import Session
from esc_daemon.netconf.subscription import Phase, Subscription
from esc_daemon.netconf.xml import parse
from esc_daemon.northbound.ssh.output import Output
from esc_daemon.northbound.ssh.services import Events, Feed, LoggedNotification
from esc_daemon.northbound.ssh.turns import Turns

_REPLAY_PAGE: Final = 500
"""Events read from the log at a time."""
_REMEMBERED: Final = 1024
"""Framed notifications kept for the next listener; when full, the oldest is made again."""
_JOINED: Final = 8
"""Batches kept in one piece for the next listener."""
_LONGEST_JOINED: Final = 128
"""Notifications; a longer batch is sent one by one."""
_WORK_A_TURN: Final = 200_000
"""Looks at nodes that all subscriptions may take in one turn of the loop: a few milliseconds."""
_WORK_AT_A_TIME: Final = 50_000
"""Looks at nodes that one subscription takes in one go, if it waits for so many: a millisecond."""
_WORK_TO_SEND: Final = 400
"""What sending an event is worth, in looks at nodes."""
_WORK_TO_READ: Final = 2_000
"""What reading and copying it for a filter is worth, besides the filter."""
_UNREAD: Final = etree.Element("unread")
"""Stands for a payload that no filter will look at."""


def event_time(moment: datetime) -> str:
    """Return *moment* as ESC writes it: with its offset in numbers (RFC 3339)."""
    return moment.astimezone(UTC).isoformat()


class FramedNotifications:
    """
    Notifications ready to be sent, made once for all sessions that frame alike.

    The event log gives each *seq* to one event only, so it is what they are found by. Their
    listeners take *turns*.
    """

    def __init__(self) -> None:
        self.turns: Final = Turns(_WORK_A_TURN)
        self._made: OrderedDict[tuple[int, bool], bytes] = OrderedDict()
        self._joined: OrderedDict[tuple[int, ...], bytes] = OrderedDict()

    def of(self, session: Session, logged: LoggedNotification) -> bytes:
        """Return *logged* as *session* frames it."""
        key = (logged.seq, session.chunked)
        framed = self._made.get(key)
        if framed is None:
            framed = session.notify(event_time(logged.time), logged.payload)
            self._made[key] = framed
            while len(self._made) > _REMEMBERED:
                self._made.popitem(last=False)
        return framed

    def all_of(self, session: Session, batch: Sequence[LoggedNotification]) -> bytes:
        """Return *batch* in one piece, as *session* frames it."""
        key = (session.chunked, *[logged.seq for logged in batch])
        joined = self._joined.get(key)
        if joined is None:
            joined = b"".join(self.of(session, logged) for logged in batch)
            self._joined[key] = joined
            if len(self._joined) > _JOINED:
                self._joined.popitem(last=False)
        return joined


class Listener:
    """
    Sends what one subscription asks for; *run* until it returns, then *close*.

    A replay waits for the reader; live events do not: a reader too slow for them overflows its
    output and is closed.
    """

    def __init__(
        self,
        request: CreateSubscription,
        *,
        session: Session,
        output: Output,
        management: Events,
        framed: FramedNotifications,
        now: Callable[[], datetime],
        patience_seconds: float,
        counted: Callable[[int], None],
    ) -> None:
        """
        Agree to *request*; nothing is sent before *run*, nothing is missed from now on.

        Raises:
            RpcError: The filter cannot be evaluated.

        """
        self._subscription = Subscription(request)
        self._subscription.check()
        self._filtered = request.filter is not None
        self._session = session
        self._output = output
        self._management = management
        self._framed = framed
        self._now = now
        self._patience = patience_seconds
        self._counted = counted
        self._last = 0
        to_choose = _WORK_TO_READ + self._subscription.work if self._filtered else 0
        self._work_an_event = _WORK_TO_SEND + to_choose
        self._at_a_time = max(1, _WORK_AT_A_TIME // self._work_an_event)
        self._unsent: deque[LoggedNotification] = deque()
        """What was taken out of the feed and not looked at yet."""
        self._feed: Feed | None = None
        if self._subscription.phase is Phase.LIVE:
            self._feed = management.subscribe()

    @property
    def ends(self) -> bool:
        """Whether the subscription has a stopTime."""
        return self._subscription.stop_time is not None

    def close(self) -> None:
        """Leave the feed; twice is no error."""
        if self._feed is not None:
            self._feed.close()

    async def run(self) -> None:
        """
        Send until the subscription ends by its stopTime.

        Raises:
            FeedOverrun: The feed was given up.
            TimeoutError: The reader does not take the replay.

        """
        if self._feed is None:
            self._feed = await self._replay()
        feed = self._feed
        wake_at = self._subscription.wake_at
        seconds = None if wake_at is None else (wake_at - self._now()).total_seconds()
        deadline = asyncio.timeout(seconds)
        try:
            async with deadline:
                await self._live(feed)
        except TimeoutError:
            if not deadline.expired() or wake_at is None:
                raise
            await self._send(())
            self._tell(self._subscription.tick(max(wake_at, self._now())))

    async def _replay(self) -> Feed:
        await self._replay_log()
        # From here on the feed holds what comes; what came since the last page was read is still
        # taken from the log, and skipped by its number in the feed.
        feed = self._feed = self._management.subscribe()
        await self._replay_log()
        self._tell(self._subscription.caught_up(self._now()))
        return feed

    async def _replay_log(self) -> None:
        while page := await self._management.events(
            after=self._last, limit=_REPLAY_PAGE, since=self._subscription.start_time
        ):
            for logged in page:
                await self._send((logged,))
                await self._output.quiet(self._patience)

    async def _live(self, feed: Feed) -> None:
        if self._ended():
            return
        async for batch in feed:
            if self._subscription.takes_all and len(batch) <= _LONGEST_JOINED:
                self._output.notify(self._framed.all_of(self._session, batch))
                self._counted(len(batch))
                continue
            await self._send(batch)
            if self._ended():
                return

    def _ended(self) -> bool:
        return self._subscription.phase is Phase.ENDED

    async def _send(self, batch: Sequence[LoggedNotification]) -> None:
        """
        Send what is wanted of *batch*, after what an earlier call that was cut off has left.

        Others get a turn by the work that is done, whether anything is sent or not.
        """
        self._unsent.extend(batch)
        while self._unsent:
            number = min(len(self._unsent), self._at_a_time)
            await self._framed.turns.come(number * self._work_an_event)
            for logged in [self._unsent.popleft() for _ in range(number)]:
                if logged.seq > self._last:
                    self._last = logged.seq
                    self._look_at(logged)

    def _look_at(self, logged: LoggedNotification) -> None:
        payload = parse(logged.payload) if self._filtered else _UNREAD
        for wanted in self._subscription.event(logged.time, payload, logged.payload):
            if wanted is logged.payload:
                self._output.notify(self._framed.of(self._session, logged))
                self._counted(1)
            else:
                self._tell((wanted,))

    def _tell(self, payloads: Iterable[bytes]) -> None:
        for payload in payloads:
            self._output.notify(self._session.notify(event_time(self._now()), payload))
