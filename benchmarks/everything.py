"""
Reading everything while another session asks for little, each client a process of its own.

`run.py` calls `beside`; by hand, against a daemon that is filled:

    python benchmarks/everything.py read --port 2022 --data-dir DIR --what get
    python benchmarks/everything.py small --port 2022 --data-dir DIR --select XPATH
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from client import Session, connected, run
from payloads import NAMESPACE

ROUNDS = 5
PAUSE_SECONDS = 0.1
HEAD_START_SECONDS = 0.5
"""For the session with small gets to be there before the big reply begins."""
REQUESTS = {
    "get-config": "<get-config><source><running/></source></get-config>",
    "get": "<get/>",
    "get, subtree filter": (
        f'<get><filter type="subtree"><esc_datamodel xmlns="{NAMESPACE}"/></filter></get>'
    ),
    "get, XPath of opdata": (
        '<get><filter type="xpath" select="/esc_datamodel/opdata/tenants"/></get>'
    ),
}


Span = tuple[float, float]
"""Begin and end, seconds of the clock that all processes of the machine share."""


@dataclass(kw_only=True, slots=True, frozen=True)
class Reading:
    """Requests for everything, their size, and the small gets of another session meanwhile."""

    size: int
    big: Sequence[Span]
    small: Sequence[Span]

    def told(self) -> str:
        """Return what the big replies took: median, least and most."""
        took = [end - begin for begin, end in self.big]
        return f"{statistics.median(took):.2f} s ({min(took):.2f}-{max(took):.2f})"

    def told_beside(self) -> str:
        """Return what the small ones took: median, the worst of a hundred, the worst."""
        took = [1000 * (end - begin) for begin, end in self.small if self._is_beside(begin, end)]
        high = statistics.quantiles(took, n=100, method="inclusive")[98]
        return f"{statistics.median(took):.1f} / {high:.0f} / {max(took):.0f} ms ({len(took)})"

    def _is_beside(self, begin: float, end: float) -> bool:
        return any(begin < last and first < end for first, last in self.big)


async def beside(port: int, data_dir: Path, what: str, select: str) -> Reading:
    """Read *what* of `REQUESTS`, while another process asks for *select* again and again."""
    where = ("--port", str(port), "--data-dir", str(data_dir))
    small = await _client("small", *where, "--select", select)
    await asyncio.sleep(HEAD_START_SECONDS)
    big = await _client("read", *where, "--what", what)
    size, spans = await _answer(big)
    assert small.stdin is not None
    small.stdin.close()  # which ends it
    _, small_spans = await _answer(small)
    return Reading(size=size, big=spans, small=small_spans)


async def _client(*words: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, __file__, *words, stdin=pipe, stdout=pipe
    )


async def _answer(client: asyncio.subprocess.Process) -> tuple[int, list[Span]]:
    assert client.stdout is not None
    said = await client.stdout.read()
    assert await client.wait() == 0, "a client of the benchmark failed"
    size, spans = json.loads(said)
    return size, spans


async def read(session: Session, request: str) -> tuple[int, list[Span]]:
    """Ask for much, `ROUNDS` times."""
    spans: list[Span] = []
    size = 0
    for _ in range(ROUNDS):
        await asyncio.sleep(PAUSE_SECONDS)
        began = time.perf_counter()
        size = len(await session.rpc(request))
        spans.append((began, time.perf_counter()))
    return size, spans


async def small(session: Session, select: str) -> tuple[int, list[Span]]:
    """Ask for little, one request after the other, until standard input ends."""
    spans: list[Span] = []
    size = 0
    told = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    while not told.done():
        began = time.perf_counter()
        size = len(await session.get_config(select))
        spans.append((began, time.perf_counter()))
    return size, spans


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[1])
    parser.add_argument("mode", choices=("read", "small"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--what", choices=sorted(REQUESTS), default="get")
    parser.add_argument("--select", default="esc_datamodel/none")
    options = parser.parse_args()
    async with connected(options.port, options.data_dir) as session:
        if options.mode == "read":
            done = await read(session, REQUESTS[options.what])
        else:
            done = await small(session, options.select)
    print(json.dumps(done))


if __name__ == "__main__":
    run(main())
