"""
A wire in user space between two network namespaces: it delays, drops and cuts.

    forwarder.py NAMESPACE NAMESPACE CONTROL

Makes a tun device called `wire` in each namespace and hands packets from one to the other. The file
CONTROL says how, and is read anew when it changes: JSON with *delay* (seconds each way), *drop* (of
each ten pings from the first to one address in the second, which: numbers from 0 to 9) and *cut*.
Says `ready` each time that it follows.
"""

import asyncio
import ctypes
import fcntl
import json
import os
import struct
import sys
from pathlib import Path
from typing import Any

CLONE_NEWNET = 0x4000_0000
TUNSETIFF = 0x4004_54CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
LOOK_SECONDS = 0.05
MOST_BYTES = 65_535
DEVICE = "wire"
ICMP = 1


class Wire:
    """What goes on between the two ends, by their file descriptors."""

    def __init__(self, ends: list[int], control: Path) -> None:
        self.ends = ends
        self.control = control
        self.read_at = 0
        self.how: dict[str, Any] = {"delay": 0.0, "drop": [], "cut": False}
        self.pings: dict[bytes, int] = {}
        self.loop = asyncio.get_running_loop()

    def packet(self, end: int) -> None:
        """Take a packet from one end."""
        packet = os.read(self.ends[end], MOST_BYTES)
        if self.how["cut"] or (end == 0 and self.lost(packet)):
            return
        self.loop.call_later(self.how["delay"], self.hand_on, 1 - end, packet)

    def lost(self, packet: bytes) -> bool:
        """Tell whether it is this ping's turn to be dropped."""
        if packet[0] >> 4 != 4 or packet[9] != ICMP:
            return False
        count = self.pings.get(packet[16:20], 0)
        self.pings[packet[16:20]] = count + 1
        return count % 10 in self.how["drop"]

    def hand_on(self, end: int, packet: bytes) -> None:
        if not self.how["cut"]:
            os.write(self.ends[end], packet)

    async def follow(self) -> None:
        """Read CONTROL when it changes; it is put in place whole."""
        while True:
            changed = self.control.stat().st_mtime_ns
            if changed != self.read_at:
                self.how |= json.loads(self.control.read_text())
                self.read_at, self.pings = changed, {}
                print("ready", flush=True)  # noqa: T201
            await asyncio.sleep(LOOK_SECONDS)


def tun(namespace: str) -> int:
    """Return a tun device made in *namespace*; this process then is there."""
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(there, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), f"setns {namespace}")
    os.close(there)
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
    return device


async def main() -> None:
    *names, control = sys.argv[1:]
    wire = Wire([tun(name) for name in names], Path(control))
    for end, device in enumerate(wire.ends):
        wire.loop.add_reader(device, wire.packet, end)
    await wire.follow()


if __name__ == "__main__":
    asyncio.run(main())
