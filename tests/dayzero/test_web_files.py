"""Files of HTTP servers: fetched, bounded, and not from everywhere."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest

from esc_daemon.dayzero.base import DayZeroRefused, DayZeroUnknown
from esc_daemon.dayzero.web import AT_A_TIME, Body, Login, WebFiles
from esc_daemon.domain.addresses import may_be_asked
from tests.dayzero.web_server import WebServer, a_web_server, basic, certificate

LIMIT = 100_000
DEADLINE = 20


async def bytes_one_by_one(count: int) -> AsyncIterator[bytes]:
    """Yield them without waiting, as a connection does of what has come already."""
    for _ in range(count):
        yield b"x"


@pytest.fixture
async def web() -> AsyncIterator[WebServer]:
    async with asyncio.timeout(DEADLINE), a_web_server() as server:
        yield server


@pytest.fixture
def files() -> WebFiles:
    return WebFiles(timeout=10)


async def refusal(files: WebFiles, url: str, limit: int = LIMIT) -> str:
    with pytest.raises(DayZeroRefused) as refused:
        await files.fetch(url, limit)
    return str(refused.value)


async def disturbance(files: WebFiles, url: str) -> str:
    with pytest.raises(DayZeroUnknown) as unknown:
        await files.fetch(url, LIMIT)
    return str(unknown.value)


def resolved(monkeypatch: pytest.MonkeyPatch, **names: str) -> list[str]:
    """Let *names* mean these addresses; return the list of what was asked for."""
    asked: list[str] = []

    async def getaddrinfo(host: str, port: int, **_: object) -> list[Any]:
        asked.append(host)
        if host not in names:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        each = names[host].split(",")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in each]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    return asked


async def test_a_file_is_fetched_as_it_is(web: WebServer, files: WebFiles) -> None:
    web.put("/a.txt?v=1", b"text \xc3\xa9\r\n")

    assert await files.fetch(web.url("/a.txt?v=1"), LIMIT) == b"text \xc3\xa9\r\n"

    (asked,) = web.asked
    assert asked["host"] == f"127.0.0.1:{web.port}"
    assert asked["accept-encoding"] == "identity"
    assert "authorization" not in asked


async def test_a_chunked_file_is_fetched_whole(web: WebServer, files: WebFiles) -> None:
    web.answers["/a"] = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    )

    assert await files.fetch(web.url("/a"), LIMIT) == b"abc"


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        ("401 Unauthorized", "give the URL the right login"),
        ("403 Forbidden", "let it be read, then deploy anew, or give the URL the right login"),
        ("410 Gone", "put the file there, then deploy anew"),
        ("204 No Content", "correct the URL"),
        ("304 x", "correct the URL"),
        ("400 x", "correct the URL"),
    ],
)
async def test_a_no_is_final_and_says_what_to_do(
    web: WebServer, files: WebFiles, status: str, remedy: str
) -> None:
    web.put("/a", b"", status=status)

    text = await refusal(files, web.url("/a").replace("//", "//u:secret@"))

    assert text == f"{web.url('/a')}: the server answers {status[:3]}; {remedy}"


async def test_a_file_that_is_not_there_is_named_with_what_to_do(
    web: WebServer, files: WebFiles
) -> None:
    text = await refusal(files, web.url("/no"))

    assert text == f"{web.url('/no')}: the server answers 404; put the file there, then deploy anew"


@pytest.mark.parametrize("status", ["500 x", "503 x", "429 x", "408 x"])
async def test_what_may_pass_is_no_refusal(web: WebServer, files: WebFiles, status: str) -> None:
    web.put("/a", b"", status=status)

    text = await disturbance(files, web.url("/a"))

    assert text == f"{web.url('/a')}: the server answers {status[:3]}; its log says why"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ],
    ids=["nothing", "cut", "half", "half-a-chunk"],
)
async def test_an_answer_that_breaks_off_is_no_refusal(
    web: WebServer, files: WebFiles, answer: bytes
) -> None:
    web.answers["/a"] = answer

    assert await disturbance(files, web.url("/a")) == f"{web.url('/a')}: the connection broke off"


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nsecret\r\n",
        b"HTTP/1.1 302 x\r\nLocation: http://secret@[::bad/\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["nonsense", "length", "chunk", "nowhere"],
)
async def test_an_answer_that_is_none_is_final(
    web: WebServer, files: WebFiles, answer: bytes
) -> None:
    web.answers["/a"] = answer

    text = await refusal(files, web.url("/a"))

    assert text == (f"{web.url('/a')}: the answer is no valid HTTP; correct the URL")


async def test_https_where_none_is_spoken_is_final(files: WebFiles) -> None:
    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/a"

        text = await refusal(files, url)

    assert text == f"{url}: no TLS is spoken there; correct the URL"


async def test_nobody_there_is_no_refusal(files: WebFiles) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/a"

        told = await disturbance(files, url)

    remedy = "see that the server runs and that this machine can reach it"
    assert told == f"{url}: no connection; {remedy}"


async def test_an_unknown_name_is_no_refusal(
    files: WebFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved(monkeypatch)

    assert "not known" in await disturbance(files, "http://files.example/a")


async def test_a_silent_server_is_given_up(web: WebServer, files: WebFiles) -> None:
    web.answers["/a"] = None
    # of the time-out only the part that shall pass is short: a busy machine connects slowly
    files._timeout = httpx.Timeout(10, read=0.2)

    assert "sent nothing for too long" in await disturbance(files, web.url("/a"))


@pytest.mark.looptime(start=0, end=3600)
@pytest.mark.parametrize(
    "drop", [b"HTTP/1.1 103 Early Hints\r\n\r\n", b"X: x\r\n"], ids=["1xx", "head"]
)
async def test_a_server_that_drips_its_head_is_given_up(
    drop: bytes, files: WebFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"" if drop.startswith(b"HTTP") else b"HTTP/1.1 200 OK\r\n")
            while not writer.is_closing():
                writer.write(drop)
                await writer.drain()
                await asyncio.sleep(1)

    resolved(monkeypatch, **{"files.example": "127.0.0.1"})
    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with server:
        url = f"http://files.example:{server.sockets[0].getsockname()[1]}/a"
        assert "no answer within 10 s" in await disturbance(files, url)


async def test_a_file_of_the_longest_size_is_fetched_and_one_more_is_too_long(
    web: WebServer, files: WebFiles
) -> None:
    web.put("/a", b"x" * LIMIT)

    assert len(await files.fetch(web.url("/a"), LIMIT)) == LIMIT
    assert "day0.max_bytes" in await refusal(files, web.url("/a"), LIMIT - 1)


async def test_a_file_without_end_is_not_waited_for(web: WebServer, files: WebFiles) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n"
    web.answers["/a"] = head + b"x" * (LIMIT + 1)

    assert "day0.max_bytes" in await refusal(files, web.url("/a"))


async def test_a_file_of_tiny_parts_lets_others_have_their_turn() -> None:
    # given
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    # when
    body = Body(httpx.Response(200, content=bytes_one_by_one(5000)), httpx.URL("http://files/a"))
    task = asyncio.create_task(others())
    read = [part async for part in body.parts()]
    task.cancel()
    # then
    assert len(read) == 5000
    assert turns >= 50


async def test_a_packed_file_is_refused(web: WebServer, files: WebFiles) -> None:
    """A few bytes could unpack to any size."""
    web.put("/a", gzip.compress(b"x"), "Content-Encoding: gzip")

    assert "packs" in await refusal(files, web.url("/a"))


async def test_what_is_no_url_is_refused_without_repeating_it(files: WebFiles) -> None:
    assert "secret" not in await refusal(files, "http://u:secret@h\x7f/a")


async def test_no_more_than_so_many_are_fetched_at_a_time(web: WebServer, files: WebFiles) -> None:
    web.put("/a", b"text")
    web.gate.clear()
    fetches = [asyncio.create_task(files.fetch(web.url("/a"), LIMIT)) for _ in range(40)]
    for _ in range(AT_A_TIME):
        await web.arrived.get()

    web.gate.set()
    await asyncio.gather(*fetches)

    assert web.most_at_once <= AT_A_TIME


async def test_a_redirection_is_followed_and_takes_no_login_elsewhere(
    web: WebServer, files: WebFiles
) -> None:
    async with a_web_server() as other:
        web.put("/a", b"", f"Location: {web.url('/b')}", status="302 Found")
        web.put("/b", b"", f"Location: {other.url('/c')}", status="307 x")
        other.put("/c", b"text")

        login = Login(user="u", password="secret")
        assert await files.fetch(web.url("/a"), LIMIT, login) == b"text"

    assert [each.get("authorization") for each in web.asked] == [basic("u", "secret")] * 2
    assert "authorization" not in other.asked[0]


async def test_a_login_in_the_url_is_used_and_never_told(web: WebServer, files: WebFiles) -> None:
    url = web.url("/a?token=secret").replace("//", "//u:secret@")

    text = await refusal(files, url)

    assert web.asked[0]["authorization"] == basic("u", "secret")
    assert text.startswith(web.url("/a:"))
    assert "secret" not in text


async def test_of_a_long_url_an_error_tells_the_beginning(web: WebServer, files: WebFiles) -> None:
    web.put("/a", b"", f"Location: /{'b' * 60_000}", status="302 Found")

    text = await refusal(files, web.url("/a"))

    assert text.startswith(web.url("/bbb"))
    assert text.endswith("b…: the server answers 404; put the file there, then deploy anew")
    assert len(text) < 600


@pytest.mark.parametrize(
    ("location", "word"),
    [
        ("file:///etc/passwd", "another scheme"),
        ("ftp://127.0.0.1/a", "another scheme"),
        ("https://127.0.0.1/a", "another scheme"),
        ("/a", "redirections"),
    ],
)
async def test_a_redirection_that_leads_astray_is_refused(
    web: WebServer, files: WebFiles, location: str, word: str
) -> None:
    web.put("/a", b"", f"Location: {location}", status="302 Found")

    assert word in await refusal(files, web.url("/a"))


async def test_a_redirection_to_what_may_not_be_asked_is_refused(web: WebServer) -> None:
    async with a_web_server() as other:
        files = WebFiles(timeout=10, own_ports=[other.port])
        web.put("/a", b"", f"Location: {other.url('/b')}", status="302 Found")

        text = await refusal(files, web.url("/a"))

    assert f"not fetched from 127.0.0.1 port {other.port}" in text
    assert other.asked == []


@pytest.mark.parametrize("turns", [1, -1])
async def test_a_redirection_to_a_port_that_there_is_not_is_refused(
    web: WebServer, turns: int
) -> None:
    # given: a port that the system would cut to 16 bits, which are those of an own listener
    async with a_web_server() as other:
        files = WebFiles(timeout=10, own_ports=[other.port])
        port = other.port + turns * 0x10000
        web.put("/a", b"", f"Location: http://127.0.0.1:{port}/b", status="302 Found")

        text = await refusal(files, web.url("/a"))

    assert f"there is no port {port}" in text
    assert other.asked == []


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        *[("127.0.0.1", True), ("10.1.2.3", True), ("192.0.2.1", True), ("8.8.8.8", True)],
        *[("::1", True), ("fd00::1", True), ("2001:db8::1", True), ("::ffff:10.0.0.1", True)],
        *[("169.254.169.254", False), ("169.254.0.1", False), ("fe80::1", False)],
        *[("fe80::1%eth0", False), ("fd00:ec2::254", False), ("100.100.100.200", False)],
        *[("::ffff:169.254.169.254", False), ("64:ff9b::a9fe:a9fe", False)],
        *[("fd00:ec2::254%1", False), ("64:ff9b:1::a9fe:a9fe", False), ("fd00::1%1", True)],
        *[("::169.254.169.254", False), ("::ffff:0:a9fe:a9fe", False), ("::2", True)],
        *[("2002:a9fe:a9fe::1", False), ("224.0.0.1", False), ("ff02::1", False)],
        *[("0.0.0.0", False), ("::", False), ("255.255.255.255", False), ("240.0.0.1", False)],
    ],
)
def test_files_come_from_unicast_addresses_and_no_metadata(address: str, allowed: bool) -> None:  # noqa: FBT001
    assert may_be_asked(ip_address(address), loopback=True) is allowed


async def test_an_address_that_may_not_be_asked_is_named(files: WebFiles) -> None:
    # by what decides, without a socket
    with pytest.raises(DayZeroRefused) as refused:
        await files._addresses(httpx.URL("http://169.254.169.254/latest/meta-data"))

    text = "files are not fetched from 169.254.169.254 port 80"
    assert text in str(refused.value)


@pytest.mark.parametrize("host", ["fd00:ec2::254%1", "fe80::1%lo"])
async def test_a_scope_makes_no_address_another(
    files: WebFiles, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    # given: a resolver that keeps the scope
    resolved(monkeypatch, **{host: host})
    # when, then: by what decides, without a socket
    with pytest.raises(DayZeroRefused, match="files are not fetched from"):
        await files._addresses(httpx.URL(f"http://[{host}]/a"))


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "::1%1"])
async def test_own_listeners_are_not_asked_however_their_address_is_written(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    resolved(monkeypatch, **{"files.example": address})
    files = WebFiles(timeout=10, own_ports=[8080])
    with pytest.raises(DayZeroRefused, match="not fetched from"):
        await files._addresses(httpx.URL("http://files.example:8080/a"))


async def test_what_is_asked_has_no_scope(files: WebFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved(monkeypatch, **{"files.example": "2001:db8::1%1"})
    found = await files._addresses(httpx.URL("http://files.example/a"))
    assert list(map(str, found)) == ["2001:db8::1"]


async def test_the_address_that_was_judged_is_the_one_that_is_asked(
    web: WebServer, files: WebFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.put("/a", b"text")
    asked = resolved(monkeypatch, **{"files.example": "127.0.0.1"})

    assert await files.fetch(web.url("/a", host="files.example"), LIMIT) == b"text"

    assert asked == ["files.example"]
    assert web.asked[0]["host"] == f"files.example:{web.port}"


async def test_of_many_addresses_those_that_may_be_asked_are_left(
    files: WebFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved(monkeypatch, **{"files.example": "169.254.169.254,127.0.0.1"})
    found = await files._addresses(httpx.URL("http://files.example/a"))
    assert list(map(str, found)) == ["127.0.0.1"]


async def test_an_address_where_nobody_is_leads_to_the_next(
    web: WebServer, files: WebFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.put("/a", b"text")
    resolved(monkeypatch, **{"files.example": "127.0.0.2,127.0.0.1"})

    assert await files.fetch(web.url("/a", host="files.example"), LIMIT) == b"text"


async def test_the_managers_own_listeners_are_not_asked(web: WebServer) -> None:
    own: set[int] = set()
    files = WebFiles(timeout=10, own_ports=own)
    web.put("/a", b"text")
    assert await files.fetch(web.url("/a"), LIMIT) == b"text"

    own.add(web.port)

    assert f"not fetched from 127.0.0.1 port {web.port}" in await refusal(files, web.url("/a"))
    assert len(web.asked) == 1


async def test_a_proxy_of_the_environment_is_not_used(
    web: WebServer, files: WebFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:1")
    web.put("/a", b"text")

    assert await files.fetch(web.url("/a"), LIMIT) == b"text"


async def test_https_is_for_the_name_that_was_written(
    files: WebFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted, server_side = certificate(tmp_path, "files.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    resolved(monkeypatch, **{"files.example": "127.0.0.1", "other.example": "127.0.0.1"})
    async with asyncio.timeout(DEADLINE), a_web_server(server_side) as web:
        web.put("/a", b"text")

        right, wrong = (
            web.url("/a", host=f"{name}.example", scheme="https") for name in ("files", "other")
        )
        assert await files.fetch(right, LIMIT) == b"text"
        text = await refusal(files, wrong)

    assert text.startswith(f"{wrong}: the server's certificate is not valid: ")


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    files: WebFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, server_side = certificate(tmp_path, "files.example")
    resolved(monkeypatch, **{"files.example": "127.0.0.1"})
    async with asyncio.timeout(DEADLINE), a_web_server(server_side) as web:
        text = await refusal(files, web.url("/a", host="files.example", scheme="https"))

    assert "certificate is not valid: self-signed certificate" in text
