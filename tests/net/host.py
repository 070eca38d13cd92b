"""
The services of a host: TCP and HTTP listeners that come, go and change their minds.

    host.py CONTROL

The file CONTROL says which, and is read anew when it changes: JSON with *tcp* (ports on which
connections are accepted) and *http* (port: status that every request is answered with). Says
`ready` each time that it follows. ICMP is answered by the kernel.
"""

import asyncio
import json
import sys
from pathlib import Path

LOOK_SECONDS = 0.05


class Host:
    """What listens at the moment, by port."""

    def __init__(self) -> None:
        self.servers: dict[int, asyncio.Server] = {}
        self.statuses: dict[int, int] = {}

    async def become(self, tcp: list[int], http: dict[str, int]) -> None:
        self.statuses = {int(port): status for port, status in http.items()}
        wanted = {*tcp, *self.statuses}
        for port in set(self.servers) - wanted:
            self.servers.pop(port).close()
        for port in wanted - set(self.servers):
            self.servers[port] = await asyncio.start_server(self.serve, None, port)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = writer.get_extra_info("sockname")[1]
        try:
            if port in self.statuses:
                await reader.readuntil(b"\r\n\r\n")
                head = f"HTTP/1.1 {self.statuses[port]} As Told\r\nContent-Length: 0\r\n\r\n"
                writer.write(head.encode())
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def main(control: Path) -> None:
    host, read_at = Host(), 0
    while True:
        changed = control.stat().st_mtime_ns  # noqa: ASYNC240  # a small file, and nothing waits
        if changed != read_at:
            read_at = changed
            state = json.loads(control.read_text())  # noqa: ASYNC240
            await host.become(**state)
            print("ready", flush=True)  # noqa: T201
        await asyncio.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
