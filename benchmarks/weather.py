"""What goes wrong in the simulated cloud while the daemon is killed, until there is calm."""

import asyncio
from collections import Counter
from contextlib import suppress
from random import Random
from typing import Any

import httpx

LOST = """
[[rule]]
fault = "latency"
seconds = 0.4
probability = 0.1
[[rule]]
fault = "latency"
seconds = 6
probability = 0.01
[[rule]]
fault = "hang"
takes_effect = true
probability = 0.005
[[rule]]
fault = "hang"
probability = 0.005
[[rule]]
fault = "unknown_after"
probability = 0.04
[[rule]]
fault = "unknown_before"
probability = 0.04
[[rule]]
fault = "unreachable"
probability = 0.02
[[rule]]
fault = "slow"
seconds = 2
probability = 0.1
"""
"""Answers that come late (6 s is later than the daemon waits), never, or are no answers."""
REFUSED = """
[[rule]]
fault = "refuse"
verb = "ensure_server"
probability = 0.04
[[rule]]
fault = "quota"
verb = "ensure_port"
probability = 0.02
[[rule]]
fault = "refuse"
verb = "set_power"
probability = 0.04
[[rule]]
fault = "refuse"
verb = "resize_server"
probability = 0.1
[[rule]]
fault = "refuse"
verb = "attach_port"
probability = 0.05
[[rule]]
fault = "refuse"
verb = "ensure_image"
probability = 0.05
[[rule]]
fault = "refuse"
verb = "remove_image"
probability = 0.1
[[rule]]
fault = "quota"
verb = "ensure_volume"
probability = 0.02
[[rule]]
fault = "refuse"
verb = "attach_volume"
probability = 0.05
[[rule]]
fault = "refuse"
verb = "detach_volume"
probability = 0.05
[[rule]]
fault = "refuse"
verb = "remove_volume"
probability = 0.05
[[rule]]
fault = "refuse"
verb = "remove_server"
probability = 0.1
[[rule]]
fault = "refuse"
verb = "check_server"
probability = 0.1
[[rule]]
fault = "error"
probability = 0.04
[[rule]]
fault = "vanish"
verb = "ensure_server"
seconds = 3
probability = 0.03
[[rule]]
fault = "power_off"
seconds = 3
probability = 0.03
"""
FAULTS = {"none": "", "lost": LOST, "all": LOST + REFUSED}
"""What the simulator plays by itself."""
HARMLESS = ("load", "load", "silence")
MISCHIEF = {
    "none": ("load",),
    "lost": HARMLESS,
    "all": (*HARMLESS, "load", "power-off", "restart", "vanish"),
}
"""What is done by hand: a guest that stays silent answers again before its boot is given up."""
LOADS = (95, 95, 50, 5)
LONGEST_PAUSE = 5.0
HANDS = {
    "silence": ("silence", "answer", 8.0),
    "restart": ("power-off", "power-on", 1.0),
    "power-off": ("power-off", "", 0.0),
    "vanish": ("vanish", "", 0.0),
}
"""What is done to a server, what mends it, and after how many seconds: less than bootup_time."""


class Weather:
    """Loads, silences and takes away servers by the page of the simulator at *port*."""

    def __init__(self, kind: str, seed: str, port: int) -> None:
        self._random = Random(f"{seed} weather")
        self._kinds = MISCHIEF[kind]
        self._http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            trust_env=False,
            timeout=60,
            limits=httpx.Limits(max_keepalive_connections=0),  # one may be closed as it is used
        )
        self._to_be_mended: list[tuple[float, str, str]] = []
        """When, on the loop's clock, which server, by which action."""
        self.done: Counter[str] = Counter()

    async def run(self, calm: asyncio.Event) -> None:
        while not calm.is_set():
            await self._mend()
            await self._any_mischief()
            with suppress(TimeoutError):
                await asyncio.wait_for(calm.wait(), self._random.uniform(0, LONGEST_PAUSE))

    async def clear(self) -> None:
        """Let no fault be played any more; every guest answers."""
        (await self._http.post("/faults/remove")).raise_for_status()
        for server in await self._servers():
            if server["guest"] == "silent":
                await self._hand(server["id"], "answer")

    async def cloud(self) -> dict[str, list[dict[str, Any]]]:
        """Return all that stands in the cloud, as its page shows it."""
        there: dict[str, list[dict[str, Any]]]
        there = (await self._http.get("/cloud")).raise_for_status().json()
        return there

    async def close(self) -> None:
        await self._http.aclose()

    async def _any_mischief(self) -> None:
        what = self._random.choice(self._kinds)
        if what == "load":
            await self._load()
            self.done[what] += 1
            return
        servers = await self._servers()
        if not servers:
            return
        server = self._random.choice(servers)["id"]
        action, mended_by, seconds = HANDS[what]
        if not await self._hand(server, action):
            return
        self.done[what] += 1
        if mended_by:
            then = asyncio.get_running_loop().time() + seconds
            self._to_be_mended.append((then, server, mended_by))

    async def _load(self) -> None:
        """Let the servers of some deployments have much to do, or little."""
        for rule in (await self._http.get("/faults")).json()["rule"]:
            if rule["fault"] == "load" and self._random.random() < 0.5:
                await self._http.delete(f"/faults/{rule['number']}")
        digits = self._random.choice(("[0-4]", "[5-9]", "[02468]", "?"))
        load = self._random.choice(LOADS)
        more = {"fault": "load", "match": f"dep-??{digits}_*", "value": load}
        (await self._http.post("/faults", json=more)).raise_for_status()

    async def _mend(self) -> None:
        now = asyncio.get_running_loop().time()
        for due in [each for each in self._to_be_mended if each[0] <= now]:
            self._to_be_mended.remove(due)
            await self._hand(due[1], due[2])

    async def _servers(self) -> list[dict[str, Any]]:
        servers = (await self.cloud())["servers"]
        return [server for server in servers if server["name"].startswith("dep-")]

    async def _hand(self, server: str, action: str) -> bool:
        """Do it, unless the server has just gone."""
        answer = await self._http.post(f"/servers/{server}/{action}")
        return answer.is_success
