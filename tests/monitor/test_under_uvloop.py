"""The collectors on the loop that the daemon runs on: what asyncio allows, uvloop may not."""

import asyncio
import socket

import uvloop

from esc_daemon.monitor.collectors.connections import TcpPing, UdpPing
from esc_daemon.monitor.collectors.http import HttpPing
from esc_daemon.monitor.collectors.icmp import Icmp
from tests.dayzero.web_server import a_web_server
from tests.monitor.questions import Kept, a_question, until
from tests.monitor.test_icmp import needs_icmp


def test_a_tcp_an_http_and_an_empty_udp_ping_are_answered() -> None:
    async def pinged() -> list[float | str | None]:
        http = HttpPing()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo:
            echo.bind(("127.0.0.1", 0))
            echo.setblocking(False)
            loop = asyncio.get_running_loop()
            loop.add_reader(echo, lambda: echo.sendto(b"x", echo.recvfrom(100)[1]))
            udp = str(echo.getsockname()[1])
            async with asyncio.timeout(20), a_web_server() as web:
                web.put("/", b"")
                samples = [
                    await UdpPing().sample(a_question("UDPPing", "127.0.0.1", port=udp)),
                    await TcpPing().sample(a_question("TCPPing", "127.0.0.1", port=str(web.port))),
                    await http.sample(a_question("HTTPPing", "127.0.0.1", port=str(web.port))),
                ]
            loop.remove_reader(echo)
        await http.close()
        return [each.value for each in samples]

    assert uvloop.run(pinged()) == [100.0, 100.0, 100.0]


@needs_icmp
def test_pings_are_answered() -> None:
    async def pinged() -> set[float | str | None]:
        icmp = Icmp()
        turns = [Kept(a_question("ICMPPing", f"127.0.1.{n + 1}")) for n in range(250)]
        icmp.start(turns)
        await until(lambda: all(turn.answers for turn in turns))
        icmp.close()
        return {turn.sample.value for turn in turns}

    assert uvloop.run(pinged()) == {100.0}
