"""
One NETCONF session on one SSH channel.

    bytes -> netconf.Session -> waiting -> worker -> dispatch -> Output -> bytes
                                                    listener ----^

Requests are answered one at a time in the order in which they came (RFC 6241 section 4.5) by one
task for the whole session; a subscription has a second one. Whatever way a session ends, *_release*
undoes all it held, once.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime
from enum import StrEnum
from secrets import token_hex
from time import perf_counter
from typing import Final

import asyncssh
import structlog
from structlog.contextvars import bind_contextvars, unbind_contextvars

from esc_daemon.netconf.errors import ErrorTag, ErrorType, RpcError, RpcErrors
from esc_daemon.netconf.messages import CreateSubscription, Failure, Reply, Rpc
from esc_daemon.netconf.monitoring import Counters
from esc_daemon.netconf.session import ProtocolError, Session, SessionState
from esc_daemon.northbound.ssh.dispatch import Services, dispatch, label
from esc_daemon.northbound.ssh.hearing import Hearing
from esc_daemon.northbound.ssh.limits import KIB
from esc_daemon.northbound.ssh.notifications import FramedNotifications, Listener
from esc_daemon.northbound.ssh.output import Output
from esc_daemon.northbound.ssh.rest import Rest
from esc_daemon.northbound.ssh.services import FeedOverrun

_BIG_PIECE: Final = 64 * KIB
"""After sending one of these the others get a turn."""
_SUBSYSTEM: Final = "netconf"
_REQUEST_BYTES: Final = 6
"""Of the id that all lines of the log about one request bear."""
_LONGEST_ID: Final = 64
"""Characters of the client's own id that the log shows."""

_log = structlog.get_logger("esc_daemon.northbound.ssh")


class End(StrEnum):
    """Why a session ended: the words of RFC 6470 section 2.2, and the limits."""

    CLOSED = "closed"
    KILLED = "killed"
    DROPPED = "dropped"
    BAD_HELLO = "bad-hello"
    TIMEOUT = "timeout"
    OTHER = "other"
    SLOW_READER = "slow-reader"
    SHUTDOWN = "shutdown"


_MOST_BEHIND: Final = 1024 * 1024
"""Bytes beyond which a channel is not read while requests wait: a tree takes 30 times its text."""
_ABNORMAL: Final = frozenset({End.DROPPED, End.TIMEOUT, End.OTHER, End.SLOW_READER})
"""RFC 6022 section 2.1.5, dropped-sessions."""


class NetconfChannel(asyncssh.SSHServerSession[bytes]):
    """The session; asyncssh calls the methods without underscore and without docstring."""

    def __init__(
        self,
        *,
        user: str,
        peer: str,
        services: Services,
        framed: FramedNotifications,
        closed: Callable[[], None],
    ) -> None:
        """Make one for a channel; *closed* is called when that is gone for both sides."""
        self._user = user
        self._peer = peer
        self._counters = Counters()
        self._services = services
        self._framed = framed
        self._closed = closed
        self._log = _log.bind(user=user, peer=peer)
        self._id = 0
        self._channel: asyncssh.SSHServerChannel[bytes] | None = None
        self._waiting: deque[Rpc | ProtocolError] = deque()
        self._behind = 0
        """Bytes that came while requests waited."""
        self._idle: asyncio.Future[None] | None = None
        """What the worker waits for when there is nothing to answer."""
        self._paused = False
        self._rest: Rest | None = None
        """What comes of a message that is too long."""
        self._no_more_input = False
        self._last_reply = False
        self._stopping = False
        self._ended: End | None = None
        self._released = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._listener: Listener | None = None
        self._listening: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def id(self) -> int:
        """The session-id; 0 before the session has begun."""
        return self._id

    @property
    def user(self) -> str:
        """Who logged in."""
        return self._user

    @property
    def peer(self) -> str:
        """The client's host."""
        return self._peer

    @property
    def login_time(self) -> datetime:
        """When the session began."""
        return self._login_time

    @property
    def counters(self) -> Counters:
        """What came and went in it so far."""
        return self._counters

    # What asyncssh calls.

    def connection_made(self, chan: "asyncssh.SSHServerChannel[bytes]") -> None:
        self._channel = chan
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._services.limits.hello_seconds, self._no_hello)

    def subsystem_requested(self, subsystem: str) -> bool:
        if subsystem != _SUBSYSTEM:
            return False
        session_id = self._services.sessions.enter(self)
        if session_id is None:
            self._log.warning("session.refused", reason="too many sessions")
            return False
        self._id = session_id
        self._login_time = self._services.now()
        return True

    def session_started(self) -> None:
        assert self._channel is not None
        loop = asyncio.get_running_loop()
        self._log = self._log.bind(session=self._id)
        self._netconf = Session(
            self._id, self._services.capabilities, self._services.limits.max_message_bytes
        )
        self._output = Output(
            self._channel,
            limit=self._services.limits.output_bytes,
            overflowed=self._too_slow,
        )
        self._output.add(self._netconf.hello())
        self._output.flush()
        self._worker = loop.create_task(self._work(), name=f"netconf session {self._id}")
        self._log.info("session.opened")

    def data_received(self, data: bytes, datatype: int | None) -> None:
        if datatype is not None or self._ended is not None or self._no_more_input:
            return
        if self._rest is not None:
            self._rest.take(data)
            return
        found = self._netconf.receive(data)
        if self._waiting:
            self._behind += len(data)
        if found:
            self._waiting.extend(found)
            self._wake()
            last = found[-1]
            if isinstance(last, ProtocolError) and last.unfinished:
                self._rest = Rest(data)
        many = len(self._waiting) >= self._services.limits.rpcs_in_flight
        if not self._paused and (many or self._behind >= _MOST_BEHIND):
            assert self._channel is not None
            self._paused = True
            self._channel.pause_reading()

    def eof_received(self) -> bool:
        # What was asked is still answered, and a subscription that has an end is served to it:
        # `ssh -s host netconf < file` closes its side early.
        self._no_more_input = True
        self._wake()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self._ended is None and self._id:
            self._ended = End.DROPPED
            self._log.info("session.dropped", error=str(exc) if exc else None)
        self._release()
        if self._timer is not None:
            self._timer.cancel()
        self._channel = None
        self._closed()

    # What RPCs and other sessions call.

    def subscribe(self, request: CreateSubscription) -> None:
        """Begin to listen right after the reply; RpcError when that cannot be."""
        if self._listener is not None:
            raise RpcError(
                ErrorType.PROTOCOL, ErrorTag.IN_USE, "this session has a subscription already"
            )
        listener = Listener(
            request,
            session=self._netconf,
            output=self._output,
            management=Hearing(self._services.management, self._services.guard, self._user),
            framed=self._framed,
            now=self._services.now,
            patience_seconds=self._services.limits.output_seconds,
            counted=self._notified,
        )
        if not self._services.sessions.begin_subscription():
            listener.close()
            raise RpcError.resource_denied("there are too many subscriptions; end one and retry")
        self._listener = listener

    def close_after_reply(self) -> None:
        """Send the reply under way and end."""
        self._last_reply = True

    def kill(self, by: int) -> None:
        """End at once, for session *by*: what is under way is given up."""
        self._log.warning("session.killed", by=by)
        self._end(End.KILLED)

    async def stop(self) -> None:
        """End after the request under way; returns when nothing of the session is left."""
        self._stopping = True
        self._wake()
        await self._released.wait()

    # Inside.

    async def _work(self) -> None:
        end = End.OTHER
        bind_contextvars(session=self._id)
        try:
            end = await self._answer_all()
        except TimeoutError:
            self._log.warning("session.slow_reader", waited=self._services.limits.output_seconds)
            end = End.SLOW_READER
        except Exception:  # noqa: BLE001  the reply was half sent: there is no way to go on
            self._log.exception("session.failed")
        finally:
            self._worker = None
            self._end(end)

    async def _answer_all(self) -> End:
        """Answer until the session is over."""
        while not self._stopping:
            if not self._waiting:
                if self._no_more_input and not self._owes_notifications:
                    return End.CLOSED
                self._idle = asyncio.get_running_loop().create_future()
                await self._idle
                continue
            message = self._waiting.popleft()
            self._read_on()
            if isinstance(message, Rpc):
                self._counters.in_rpcs += 1
                await self._answer(message)
                if self._last_reply:
                    return End.CLOSED
            elif await self._refuse(message):
                return End.OTHER if self._netconf.client_capabilities else End.BAD_HELLO
        return End.SHUTDOWN

    @property
    def _owes_notifications(self) -> bool:
        return self._listening is not None and self._listener is not None and self._listener.ends

    async def _answer(self, rpc: Rpc) -> None:
        began = perf_counter()
        request = token_hex(_REQUEST_BYTES)
        bind_contextvars(request=request, message_id=(rpc.message_id or "")[:_LONGEST_ID])
        reply = await self._reply_to(rpc, request)
        unbind_contextvars("request", "message_id")
        await self._send(self._netconf.reply(rpc, reply))
        metrics = self._services.metrics
        metrics.rpc_done(label(rpc.operation, self._services), perf_counter() - began)
        if isinstance(reply, Failure):
            self._counters.out_rpc_errors += 1
            for error in reply.errors:
                metrics.rpc_errors.labels(error.tag).inc()
        if self._listener is not None and self._listening is None:
            self._listening = asyncio.create_task(
                self._listen(self._listener), name=f"netconf subscription of {self._id}"
            )

    async def _reply_to(self, rpc: Rpc, request: str) -> Reply:
        try:
            return await dispatch(rpc.operation, self, self._services)
        except (RpcError, RpcErrors) as error:
            return Failure.of(error)
        except Exception:  # noqa: BLE001  whatever it is, the session goes on
            self._log.exception("rpc.failed", rpc=label(rpc.operation, self._services))
            return Failure.of(
                RpcError.operation_failed(
                    f"internal error; the log of the daemon has it under {request}"
                )
            )

    async def _refuse(self, error: ProtocolError) -> bool:
        """Answer what was no request; tell whether the session is over."""
        self._log.info("session.protocol_error", reason=error.reason, fatal=error.fatal)
        if self._netconf.client_capabilities:
            self._counters.in_bad_rpcs += 1
        if error.reply:
            self._counters.out_rpc_errors += 1
            await self._send(iter((error.reply,)))
        if self._rest is not None and error.unfinished:
            self._output.flush()
            await self._rest.over()
        return error.fatal

    async def _send(self, pieces: Iterator[bytes]) -> None:
        output = self._output
        output.begin_reply()
        for piece in pieces:
            output.add(piece)
            if not output.comfortable:
                await output.drained(self._services.limits.output_seconds)
            elif len(piece) >= _BIG_PIECE:
                await asyncio.sleep(0)
        output.end_reply(more=bool(self._waiting))

    def _wake(self) -> None:
        if self._rest is not None:
            self._rest.end()
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _read_on(self) -> None:
        if not self._waiting:
            self._behind = 0
        few = len(self._waiting) <= self._services.limits.rpcs_in_flight // 2
        if self._paused and few and self._behind < _MOST_BEHIND:
            self._paused = False
            if self._channel is not None:
                self._channel.resume_reading()

    async def _listen(self, listener: Listener) -> None:
        try:
            await listener.run()
        except (FeedOverrun, TimeoutError) as error:
            self._log.warning("session.slow_reader", error=str(error))
            self._end(End.SLOW_READER)
        except Exception:  # noqa: BLE001  a task of its own: nobody else would tell
            self._log.exception("subscription.failed")
            self._end(End.OTHER)
        else:
            self._listening = None
            self._stop_listening()
            self._wake()  # a client that closed its side may have waited for this alone

    def _notified(self, number: int) -> None:
        self._counters.out_notifications += number
        self._services.metrics.notifications.inc(number)

    def _stop_listening(self) -> None:
        if self._listener is None:
            return
        self._listener.close()
        self._listener = None
        self._services.sessions.end_subscription()
        if self._listening is not None:
            self._listening.cancel()
            self._listening = None

    def _no_hello(self) -> None:
        if self._id == 0 or self._netconf.state is SessionState.AWAITING_HELLO:
            self._log.warning("session.no_hello")
            self._end(End.TIMEOUT)

    def _too_slow(self, unread: int) -> None:
        self._log.warning("session.slow_reader", unread=unread)
        self._end(End.SLOW_READER)

    def _end(self, end: End) -> None:
        """End the session for the first reason that is told."""
        if self._ended is not None:
            return
        self._ended = end
        channel = self._channel
        self._release()
        if channel is None:
            return
        if end in {End.SLOW_READER, End.TIMEOUT}:
            # Nothing more can be told to it: the unread bytes are given up with the connection.
            channel.get_connection().abort()
            return
        self._output.flush()
        if end is End.KILLED:
            channel.abort()
        else:
            channel.exit(0)
        loop = asyncio.get_running_loop()
        patience = self._services.limits.output_seconds
        # For the client to take the last bytes and to close its side too.
        self._timer = loop.call_later(patience, channel.get_connection().abort)

    def _release(self) -> None:
        """Give back everything; safe to repeat."""
        if self._released.is_set():
            return
        self._released.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._worker is not None:
            self._worker.cancel()
        self._stop_listening()
        self._waiting.clear()
        if not self._id:
            return
        self._services.locks.forget(self._id)
        self._services.configuration.session_ended(self._id)
        self._services.sessions.leave(self._id)
        if self._ended is not None:
            self._services.sessions.bad_hellos += self._ended is End.BAD_HELLO
            self._services.sessions.dropped += self._ended in _ABNORMAL
            self._services.metrics.closed.labels(self._ended).inc()
        self._log.info("session.closed", reason=self._ended)
