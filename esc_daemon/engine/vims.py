"""
The VIM connections that there are, and how much may be asked of each at a time.

They are made from the configured connectors, by type, and follow them. A connection that another
takes the place of, or whose connector is gone, is closed when the last call through it has ended.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import partial
from time import perf_counter
from types import TracebackType
from typing import Final

import structlog

from esc_daemon.domain import tell
from esc_daemon.domain.connectors import Connectors
from esc_daemon.domain.ids import ServerKey, VimId
from esc_daemon.domain.intent import VimConnector
from esc_daemon.domain.specs import VimCheck, VimMetric, VimStatus
from esc_daemon.histogram import Histogram
from esc_daemon.vim.base import (
    BadConnector,
    GuestProbe,
    GuestsAtHand,
    Opened,
    ServerMetrics,
    VimDriver,
    VimError,
    VimRefused,
    VimType,
    VimUnreachable,
)

log = structlog.get_logger()

CALLS_AT_A_TIME: Final = 256
"""Calls in flight to one VIM; the rest wait their turn in order."""
VERB_BOUNDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0)
"""Seconds; upper bounds of the histograms."""
CLOSING_SECONDS: Final = 5.0
"""How long a driver may take to close."""


class Connection:
    """
    A driver as it was made for *connector*; where none could be made, *problem* says why.

    *found* is what its last check found, *outcomes* counts calls by their kind and result,
    *seconds* holds how long single verbs took, by verb and result.
    """

    def __init__(
        self,
        connector: VimConnector,
        turns: asyncio.Semaphore,
        call_timeout: float,
        back: Callable[[VimId], None],
    ) -> None:
        self.connector = connector
        self.turns = turns
        self.problem = ""
        self.found: VimCheck | None = None
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.seconds: dict[tuple[str, str], Histogram] = {}
        self.calls = 0
        self.guests: GuestProbe | None = None
        self.guests_at_hand: GuestsAtHand | None = None
        self.metrics: ServerMetrics | None = None
        self._driver: VimDriver | None = None
        self._call_timeout = call_timeout
        self._back = back

    @property
    def driver(self) -> VimDriver:
        """
        The driver.

        Raises:
            VimUnreachable: There is none.

        """
        if self._driver is None:
            name = self.connector.name
            raise VimUnreachable(f"VIM connector {name} cannot be used: {self.problem}")
        return self._driver

    def open(self, type_: VimType, opened: Opened) -> None:
        """Make the driver; BadConnector where that cannot be."""
        driver = self._driver = type_.driver(self.connector, opened)
        # asked once: a look at a protocol costs more than a poll
        self.guests = driver if isinstance(driver, GuestProbe) else None
        self.guests_at_hand = driver if isinstance(driver, GuestsAtHand) else None
        self.metrics = driver if isinstance(driver, ServerMetrics) else None

    def asking(self, verb: str) -> AbstractAsyncContextManager[None]:
        """
        Hold one of the VIM's turns for a single *verb*, and bound and time the wait for its answer.

        Raises:
            TimeoutError: The answer did not come within the time-out of a call.

        """
        return _Asking(self, verb)

    async def enter(self) -> asyncio.Timeout:
        """Wait for a turn, and return what bounds its verb."""
        await self.turns.acquire()
        bound = asyncio.timeout(self._call_timeout)
        await bound.__aenter__()
        return bound

    def timed(self, verb: str, result: str, seconds: float) -> None:
        """Count a *verb* that took so many *seconds*."""
        histogram = self.seconds.get((verb, result))
        if histogram is None:
            histogram = self.seconds[verb, result] = Histogram(VERB_BOUNDS)
        histogram.observe(seconds)
        log.debug("vim.call", vim=self.connector.name, verb=verb, result=result, seconds=seconds)

    def answered(self) -> None:
        """Take note of an answer that was neither an error nor a refusal."""
        if self.found is not None and self.found.status is not VimStatus.CONNECTION_SUCCESSFUL:
            self._back(VimId(self.connector.name))

    async def close(self) -> None:
        """Close the driver, if there is one; whether it breaks or hangs, that is logged only."""
        if self._driver is None:
            return
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                await self._driver.close()
        except Exception:
            log.exception("vim.close_broke", vim=self.connector.name)


class _Asking:
    """`Connection.asking`; a class, since a generator costs three times as much."""

    __slots__ = ("_began", "_bound", "_connection", "_verb")

    def __init__(self, connection: Connection, verb: str) -> None:
        self._connection = connection
        self._verb = verb

    async def __aenter__(self) -> None:
        self._bound = await self._connection.enter()
        self._began = perf_counter()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        result = "unknown"
        if kind is None:
            result = "ok"
            self._connection.answered()
        elif issubclass(kind, VimRefused):
            result = "refused"
        try:
            await self._bound.__aexit__(kind, error, trace)  # may make a TimeoutError of it
        finally:
            self._connection.timed(self._verb, result, perf_counter() - self._began)
            self._connection.turns.release()


class _Held:
    """`Vims.using`."""

    __slots__ = ("_connection", "_let_go")

    def __init__(self, connection: Connection, let_go: Callable[[Connection], None]) -> None:
        self._connection = connection
        self._let_go = let_go

    def __enter__(self) -> Connection:
        self._connection.calls += 1
        return self._connection

    def __exit__(self, *_: object) -> None:
        self._connection.calls -= 1
        self._let_go(self._connection)


class Vims:
    """Drivers by connector id; the empty id is the default connector."""

    def __init__(
        self,
        types: Mapping[str, VimType],
        *,
        call_timeout: float,
        opened: Callable[[VimConnector], VimConnector] = lambda connector: connector,
        calls_at_a_time: int = CALLS_AT_A_TIME,
    ) -> None:
        """
        Know *types* of connectors and have no connection yet.

        *opened* returns a connector with its secrets in clear. *call_timeout* is in seconds.
        """
        self._types = dict(types)
        self._opened = opened
        self._calls_at_a_time = calls_at_a_time
        self._there = Connectors()
        self._connections: dict[VimId, Connection] = {}
        self._retired: list[Connection] = []
        self._closing: set[asyncio.Task[None]] = set()
        self.call_timeout = call_timeout
        self.back: Callable[[VimId], None] = lambda _: None
        """Told of each answer of a VIM whose last check found that it cannot be used."""

    # ---------------------------------------------------------------- which there are

    def check(self, connector: VimConnector) -> None:
        """
        Look whether a connection can be made for *connector*.

        Raises:
            BadConnector: There is no such type, or a property is wrong for it.

        """
        self._type_of(connector).check(connector)

    def needs_users(self, type_: str) -> bool:
        """Tell whether a connector of this type cannot work without a user."""
        found = self._types.get(type_)
        return found is not None and found.needs_users

    def migrates(self, type_: str) -> bool:
        """Tell whether VMs may move from one VIM of this type to another."""
        found = self._types.get(type_)
        return found is not None and found.migrates

    def follow(self, there: Connectors) -> None:
        """Have a connection for each of the connectors *there*, as they are now."""
        for vim in [vim for vim in self._connections if vim not in there.intents]:
            self._retire(self._connections.pop(vim))
        for vim, connector in there.intents.items():
            old = self._connections.get(vim)
            if old is None:
                turns = asyncio.Semaphore(self._calls_at_a_time)
                self._connections[vim] = self._made(connector, turns)
            elif old.connector != connector:
                self._connections[vim] = self._made(connector, old.turns)
                self._connections[vim].outcomes = old.outcomes
                self._connections[vim].seconds = old.seconds
                self._retire(old)
        self._there = there

    def _type_of(self, connector: VimConnector) -> VimType:
        try:
            return self._types[connector.type]
        except KeyError:
            known = ", ".join(sorted(self._types))
            text = f"there is no type {connector.type} of VIM connectors (there are: {known})"
            raise BadConnector(text) from None

    def _made(self, connector: VimConnector, turns: asyncio.Semaphore) -> Connection:
        """A connector of an earlier version that has no driver any more must not stop a start."""
        connection = Connection(connector, turns, self.call_timeout, self._tell_back)
        if self._lacks_user(connector):
            connection.problem = "it has no user"
            return connection
        try:
            connection.open(self._type_of(connector), partial(self._opened, connector))
        except BadConnector as error:
            log.error("vim.connector_unusable", vim=connector.name, error=str(error))  # noqa: TRY400
            connection.problem = str(error)
        except Exception as error:  # it is stored already: the rest of its commit must go on
            log.exception("vim.connector_broke", vim=connector.name)
            connection.problem = f"internal error in the VIM driver: {type(error).__name__}"
        return connection

    def _tell_back(self, vim: VimId) -> None:
        self.back(vim)  # who is told may come after the first connections

    def _lacks_user(self, connector: VimConnector) -> bool:
        return not connector.users and self.needs_users(connector.type)

    def _retire(self, connection: Connection) -> None:
        self._retired.append(connection)
        self._close_unused(connection)

    def _close_unused(self, connection: Connection) -> None:
        if not connection.calls and connection in self._retired:
            self._retired.remove(connection)
            self._close(connection)

    def _close(self, connection: Connection) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # a call is thrown away after the end of its loop: nobody can wait
            return
        closing = loop.create_task(connection.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    # ---------------------------------------------------------------- asking

    def connector(self, vim: VimId) -> VimConnector | None:
        """Return the connector *vim* as it is now, None where there is none."""
        connection = self._connections.get(self._known(vim))
        return None if connection is None else connection.connector

    def guests(self, vim: VimId) -> GuestProbe | None:
        """Return what asks the guests in *vim*; None where only their network can tell."""
        connection = self._connections.get(self._known(vim))
        if connection is None or connection.problem or connection.guests is None:
            return None
        return _Guests(self, vim)

    def guests_at_hand(self, vim: VimId) -> GuestsAtHand | None:
        """Return what knows the guests in *vim* without a wait; None where nothing does."""
        connection = self._connections.get(self._known(vim))
        return None if connection is None or connection.problem else connection.guests_at_hand

    def metrics(self, vim: VimId) -> ServerMetrics | None:
        """Return what measures the servers in *vim*; None where the VIM does not."""
        connection = self._connections.get(self._known(vim))
        if connection is None or connection.problem or connection.metrics is None:
            return None
        return _Metrics(self, vim)

    def using(self, vim: VimId) -> AbstractContextManager[Connection]:
        """
        Hold the connection to *vim*: it stays open that long, whatever becomes of its connector.

        Raises:
            VimRefused: There is no such connector.

        """
        connection = self._connections.get(self._known(vim))
        if connection is None:
            raise VimRefused(self._there.absent(vim))
        return _Held(connection, self._close_unused)

    def count(self, vim: VimId, call: str, result: str) -> None:
        """Count a call through *vim*; nothing where there is no such connector (any more)."""
        connection = self._connections.get(self._known(vim))
        if connection is not None:
            connection.outcomes[call, result] += 1

    def outcomes(self) -> Iterator[tuple[VimId, str, str, int]]:
        """Yield for each connector that there is: its id, a kind of call, a result, how many."""
        for vim, connection in self._connections.items():
            for (call, result), number in connection.outcomes.items():
                yield vim, call, result, number

    def durations(self) -> Iterator[tuple[VimId, str, str, Histogram]]:
        """Yield for each connector that there is: its id, a verb, a result, how long it took."""
        for vim, connection in self._connections.items():
            for (verb, result), seconds in connection.seconds.items():
                yield vim, verb, result, seconds

    async def checked(self, vim: VimId) -> VimCheck:
        """
        Return what a check of the connector *vim* finds, whatever happens; it waits for no turn.

        A finding that the VIM cannot be used goes into the log, the same again does not.
        """
        try:
            with self.using(vim) as connection:
                found = await self._found(connection)
                well = found.status is VimStatus.CONNECTION_SUCCESSFUL
                if not well and found != connection.found:
                    log.warning(
                        "vim.check_failed",
                        vim=vim,
                        status=found.status,
                        error=tell.vim_status_text(found.status, found.detail),
                    )
                connection.found = found
                return found
        except VimRefused as error:
            return VimCheck(status=VimStatus.CONNECTION_FAILED, detail=str(error))

    async def _found(self, connection: Connection) -> VimCheck:
        if self._lacks_user(connection.connector):
            return VimCheck(status=VimStatus.NO_CREDENTIALS)
        try:
            async with asyncio.timeout(self.call_timeout):
                return await connection.driver.check()
        except TimeoutError:
            detail = f"no answer within {self.call_timeout:g} s"
        except VimError as error:
            detail = str(error)
        except Exception as error:
            log.exception("vim.check_broke", vim=connection.connector.name)
            detail = f"internal error in the VIM driver: {type(error).__name__}"
        return VimCheck(status=VimStatus.CONNECTION_FAILED, detail=detail)

    def is_same(self, vim: VimId, other: VimId) -> bool:
        """Tell whether both name one connector; the empty id is the default one."""
        return self._known(vim) == other

    def _known(self, vim: VimId) -> VimId:
        return vim or self._there.default or vim

    async def close(self) -> None:
        """Let go of every connection, also of those with calls under way."""
        for connection in (*self._connections.values(), *self._retired):
            self._close(connection)
        self._connections.clear()
        self._retired.clear()
        if self._closing:
            await asyncio.wait(self._closing)


class _Guests:
    """Asks through the connection of the moment, and keeps it open that long (GuestProbe)."""

    def __init__(self, vims: Vims, vim: VimId) -> None:
        self._vims = vims
        self._vim = vim

    async def answers(self, key: ServerKey, address: str) -> float | None:
        """See GuestProbe."""
        with self._vims.using(self._vim) as connection:
            if connection.guests is None:
                raise VimRefused(f"VIM connector {self._vim} knows no guests")
            return await connection.guests.answers(key, address)


class _Metrics:
    """As `_Guests`, for what the VIM measures (ServerMetrics)."""

    def __init__(self, vims: Vims, vim: VimId) -> None:
        self._vims = vims
        self._vim = vim

    async def measured(self, key: ServerKey, metric: VimMetric) -> float | None:
        """See ServerMetrics."""
        with self._vims.using(self._vim) as connection:
            if connection.metrics is None:
                raise VimRefused(f"VIM connector {self._vim} measures nothing of its servers")
            return await connection.metrics.measured(key, metric)
