"""The daemon and its VIM as two programs: NETCONF over SSH, real time, a real SIGKILL."""

import asyncio
import json
import time
from collections.abc import Coroutine
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import asyncssh
import msgspec
from lxml import etree

from esc_daemon.netconf.xml import name_of
from esc_daemon.vim.simulator.control import CloudView, ControlError
from esc_daemon.vim.simulator.faults import Rule
from esc_daemon.vim.simulator.settings import CloudSettings
from tests.model import seen, sheets
from tests.model.one_loop import NeverAtRestError, subscription
from tests.model.peer import PATIENCE_SECONDS, Peer
from tests.programs import LOCAL_USER, Program, a_daemon, a_simulator

LONGEST_PAUSE: Final = 4.0
"""Seconds, for each of the machine's pauses: here they are real."""
LONGEST_STORY: Final = 240
QUIET_SECONDS: Final = 6.0
"""In which nothing moves that a client or the VIM's operator can see; longer than any pause."""
_HTTP_SECONDS: Final = 30
_SETTINGS: Final = {
    "ESC_VIM__CALL_TIMEOUT": "3",
    "ESC_VIM__GIVE_UP_AFTER": "10",
    "ESC_VIM__FIRST_PAUSE": "0.2",
    "ESC_VIM__LONGEST_PAUSE": "1",
    "ESC_VIM__REMOVAL_TRIES": "3",
    "ESC_VIM__LEFTOVER_PAUSE": "2",
    "ESC_VIM__SETTLE": "4",
    "ESC_VIM__RECHECK_SECONDS": "1",
    "ESC_SCALING__COOLDOWN": "2",
    "ESC_HEALING__GUARD": "false",
    "ESC_HEALING__DRIFT_SECONDS": "3",
}


class _Session(asyncssh.SSHClientSession[bytes]):
    """One session; its peer does the rest."""

    peer: Peer

    def data_received(self, data: bytes, datatype: int | None) -> None:
        self.peer.received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.peer.lost()


class Configured(NamedTuple):
    """The configuration at one moment; nobody outside can tell whether all *rests*."""

    running: bytes
    rests: bool = False


class Programs:
    """What `one_loop.OneLoop` is, with processes."""

    def __init__(self, seed: int, settings: CloudSettings) -> None:
        """*seed* and the quota have no meaning here: this VIM has none to set."""
        del seed
        self._loop = asyncio.new_event_loop()
        self._programs = ExitStack()
        folder = TemporaryDirectory(prefix="esc-model-")
        self._folder = Path(self._programs.enter_context(folder))
        self._began = datetime.now(UTC) - timedelta(days=1)
        self._rests = False
        """Whether nothing was done since all had come to rest: nothing is to be waited for."""
        self._plays = False
        options = ["--port", "0", "--http-port", "0"]
        options += ["--build-seconds", str(settings.build_seconds)]
        options += ["--boot-seconds", str(settings.boot_seconds)]
        self._vim = self._programs.enter_context(a_simulator(self._folder / "vim", *options))
        self._life = ExitStack()
        self._start()

    def _start(self) -> None:
        where = f"127.0.0.1:{self._vim.ports['simulator']}"
        self._daemon: Program = self._life.enter_context(
            a_daemon(self._folder / "data", ESC_VIM__SIMULATOR_ADDRESS=where, **_SETTINGS)
        )
        self._do(self._greet())

    async def _greet(self) -> None:
        self._connection = await asyncssh.connect(
            "127.0.0.1",
            self._daemon.ports["netconf"],
            username=LOCAL_USER,
            client_keys=[str(self._daemon.key)],
            known_hosts=None,
        )
        self._asking, self._hearing = await self._connected(), await self._connected()
        reply = await self._hearing.ask(subscription(self._began))
        assert name_of(reply[0])[1] == "ok", reply
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._hearing.replayed.wait()

    async def _connected(self) -> Peer:
        made = _Session()
        made.peer = Peer(lambda data: channel.write(data))  # noqa: PLW0108  not there yet
        channel, _ = await self._connection.create_session(
            lambda: made, subsystem="netconf", encoding=None
        )
        await made.peer.greeted()
        return made.peer

    def kill(self) -> None:
        self._rests = False
        self._daemon.kill()
        self._life.close()
        self._connection.abort()
        self._start()

    def ask(self, operation: str) -> Any:
        self._rests &= operation.startswith("<get")
        return self._do(self._asking.ask(operation))

    def ask_and_kill(self, operation: str, turns: int) -> Any:
        """Kill the daemon *turns* milliseconds after the request; return the reply or None."""

        async def a_moment() -> Any:
            answer = self._asking.post(operation)
            await asyncio.sleep(turns / 1000)
            return answer

        answer = self._do(a_moment())
        self.kill()
        return answer.result() if answer.done() and not answer.exception() else None

    def told(self) -> Any:
        self._do(asyncio.sleep(0))
        return self._hearing.told

    def wait(self, seconds: float) -> None:
        self._rests &= not seconds
        self._do(asyncio.sleep(min(seconds, LONGEST_PAUSE)))

    def rest(self) -> None:
        """Wait until nothing that can be seen has moved for a while, and all of it may last."""
        if self._rests:
            return
        ends = time.monotonic() + LONGEST_STORY
        last, since = None, time.monotonic()
        while time.monotonic() < ends:
            opdata = seen.opdata_in(self.ask(sheets.GET_OPDATA))
            now = (opdata, self.look())
            if now != last or not all(map(seen.lasts, opdata.services.values())):
                last, since = now, time.monotonic()
            elif time.monotonic() - since > QUIET_SECONDS:
                self._rests = True
                return
            self.wait(0.5)
        raise NeverAtRestError(f"still under way after {LONGEST_STORY} s: {last}")

    def look(self) -> CloudView:
        return msgspec.json.decode(self._vim_asked("GET", "/cloud"), type=CloudView)

    def act(self, kind: str, id_: str, action: str) -> None:
        self._rests = False
        self._vim_asked("POST", f"/{kind}/{id_}/{action}", {})

    def play(self, rules: tuple[Rule, ...]) -> None:
        self._rests &= not (rules or self._plays)
        self._plays = bool(rules)
        self._vim_asked("POST", "/faults/remove", {})
        for rule in rules:
            self._vim_asked("POST", "/faults", json.loads(msgspec.json.encode(rule)))

    def _vim_asked(self, method: str, path: str, body: Any = None) -> bytes:
        connection = HTTPConnection("127.0.0.1", self._vim.ports["http"], timeout=_HTTP_SECONDS)
        try:
            headers = {} if body is None else {"Content-Type": "application/json"}
            text = None if body is None else json.dumps(body)
            connection.request(method, path, body=text, headers=headers)
            answer = connection.getresponse()
            found = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            raise ControlError(f"{answer.status}: {found.decode()}")
        return found

    def state(self) -> "Configured":
        """Return what moves by requests alone: all else goes on by itself meanwhile."""
        return Configured(etree.tostring(self.ask(sheets.get_config())))

    def changed(self, before: "Configured") -> list[str]:
        return [] if self.state() == before else ["running"]

    def end(self) -> None:
        # our sessions go on meanwhile: the daemon waits 10 s for those of a peer that is gone
        assert self._do(asyncio.to_thread(self._daemon.stop)) == 0
        self.close()

    def close(self) -> None:
        if self._loop.is_closed():
            return
        self._connection.abort()
        self._life.close()
        self._programs.close()
        self._do(asyncio.sleep(0.1))
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(work)
