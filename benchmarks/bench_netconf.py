"""
Small get requests a second over NETCONF, by a client of our own on asyncssh.

    python benchmarks/bench_netconf.py --sessions 50 --seconds 5 --port 2022 --password-file F

ncclient cannot measure this: it looks for answers every 0.1 s. With --pipeline N each session
keeps N requests under way; 1 (the default) waits for each answer, as most clients do.
"""

import argparse
import asyncio
import statistics
import sys
import time
from pathlib import Path

import asyncssh
from client import run

HELLO = (
    b'<hello xmlns="urn:ietf:params:xml:ns:netconf:base:1.0"><capabilities>'
    b"<capability>urn:ietf:params:netconf:base:1.1</capability>"
    b"</capabilities></hello>]]>]]>"
)
RPC = (
    '<rpc xmlns="urn:ietf:params:xml:ns:netconf:base:1.0" message-id="{}"><get>'
    '<filter type="xpath" select="{}"/></get></rpc>'
)
END_OF_MESSAGE = b"\n##\n"


class Session(asyncssh.SSHClientSession[bytes]):
    """Counts answers and sends the next request from inside the callback: no task a request."""

    def __init__(
        self, connection: asyncssh.SSHClientConnection, select: str, pipeline: int
    ) -> None:
        self.connection = connection
        body = RPC.format("1", select).encode()
        self.request = b"\n#%d\n%b\n##\n" % (len(body), body)
        self.pipeline = pipeline
        self.greeted = asyncio.Event()
        self.running = False
        self.answers = 0
        self.errors = 0
        self.waits: list[float] = []
        self.sent: list[float] = []
        self.tail = b""

    def connection_made(self, chan: "asyncssh.SSHClientChannel[bytes]") -> None:
        self.channel = chan

    def data_received(self, data: bytes, datatype: int | None) -> None:
        del datatype
        if not self.greeted.is_set():
            self.greeted.set()
            return
        self.errors += data.count(b"<rpc-error")
        found = (self.tail + data).count(END_OF_MESSAGE)
        self.tail = b"" if data.endswith(END_OF_MESSAGE) else data[-3:]
        now = time.perf_counter()
        for _ in range(found):
            self.answers += 1
            self.waits.append(now - self.sent.pop(0))
            if self.running:
                self.ask(now)

    def ask(self, now: float) -> None:
        self.sent.append(now)
        self.channel.write(self.request)


async def open_session(options: argparse.Namespace) -> Session:
    connection = await asyncssh.connect(
        options.host,
        options.port,
        username=options.user,
        password=options.password,
        known_hosts=None,
        client_keys=None,
        agent_path=None,
        config=None,
        compression_algs=None,
    )
    session = Session(connection, options.select, options.pipeline)
    await connection.create_session(lambda: session, subsystem="netconf", encoding=None)
    await asyncio.wait_for(session.greeted.wait(), 10)
    session.channel.write(HELLO)
    return session


async def open_sessions(options: argparse.Namespace) -> list[Session]:
    began = time.perf_counter()
    sessions = [await open_session(options) for _ in range(options.sessions)]
    took = time.perf_counter() - began
    print(f"{options.sessions} sessions in {took:.2f} s: {options.sessions / took:.0f}/s")
    return sessions


async def bench(options: argparse.Namespace) -> int:
    sessions = await open_sessions(options)
    began = time.perf_counter()
    for session in sessions:
        session.running = True
        for _ in range(options.pipeline):
            session.ask(time.perf_counter())
    await asyncio.sleep(options.seconds)
    for session in sessions:
        session.running = False
    took = time.perf_counter() - began
    answers = sum(session.answers for session in sessions)
    errors = sum(session.errors for session in sessions)
    waits = [1000 * wait for session in sessions for wait in session.waits]
    cuts = statistics.quantiles(waits, n=100) if len(waits) > 1 else [0.0] * 99
    print(f"{answers} answers in {took:.2f} s: {answers / took:.0f}/s, {errors} errors")
    print(f"wait p50 {cuts[49]:.2f} ms, p99 {cuts[98]:.2f} ms")
    for session in sessions:
        session.connection.abort()
    return 1 if errors or not answers else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[1])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=2022)
    parser.add_argument("--user", default="admin")
    parser.add_argument("--password-file", required=True)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--pipeline", type=int, default=1)
    parser.add_argument("--select", default="esc_datamodel/none", help="what is asked for")
    options = parser.parse_args()
    options.password = Path(options.password_file).read_text().splitlines()[0]
    return run(bench(options))


if __name__ == "__main__":
    sys.exit(main())
