"""HTTP pings against a real server on loopback."""

import asyncio
from collections.abc import AsyncIterator
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import pytest

from esc_daemon.monitor.base import CollectorError, Question, Sample
from esc_daemon.monitor.collectors import http as module
from esc_daemon.monitor.collectors.http import HttpPing
from tests.dayzero.web_server import WebServer, a_web_server, certificate
from tests.monitor.questions import a_question, until


@pytest.fixture
async def ping() -> AsyncIterator[HttpPing]:
    ping = HttpPing()
    yield ping
    await ping.close()


@pytest.fixture
async def web() -> AsyncIterator[WebServer]:
    async with a_web_server() as web:
        yield web


def at(web: WebServer, metric: str = "HTTPPing", **properties: Any) -> Question:
    return a_question(metric, "127.0.0.1", port=str(web.port), **properties)


async def sampled(ping: HttpPing, question: Question) -> Sample:
    async with asyncio.timeout(30):
        return await ping.sample(question)


@pytest.mark.parametrize(
    ("status", "expected", "alive"),
    [
        ("200 OK", "", True),
        ("204 No Content", "", True),
        ("302 Found", "", True),
        ("401 Unauthorized", "", False),
        ("500 Internal Server Error", "", False),
        ("401 Unauthorized", "200-299, 401", True),
        ("200 OK", "401", False),
    ],
)
async def test_alive_is_who_answers_with_a_status_that_is_expected(
    ping: HttpPing, web: WebServer, status: str, expected: str, *, alive: bool
) -> None:
    # given: a redirection to somewhere else, too
    web.put("/health", b"", "Location: http://127.0.0.1:1/other", status=status)
    # when
    sample = await sampled(ping, at(web, path="/health", status=expected))
    # then
    assert sample.value == (100.0 if alive else None)
    assert [each["path"] for each in web.asked] == ["/health"]
    if not alive:
        assert sample.detail == f"127.0.0.1 answers {status[:3]}"


async def test_the_host_is_asked_by_its_name_at_the_vm_s_address(
    ping: HttpPing, web: WebServer
) -> None:
    web.put("/", b"")
    await sampled(ping, at(web, host="vnf.example"))
    await sampled(ping, at(web))
    assert [each["host"] for each in web.asked] == [
        f"vnf.example:{web.port}",
        f"127.0.0.1:{web.port}",
    ]


async def test_cookies_are_not_kept_proxies_not_asked_and_connections_not_used_twice(
    ping: HttpPing, web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", "/nonexistent")
    web.put("/", b"", "Set-Cookie: session=1")
    # when
    for _ in range(3):
        assert (await sampled(ping, at(web))).value == 100.0
    # then
    assert not any("cookie" in each or "authorization" in each for each in web.asked)
    assert {each["connection"] for each in web.asked} == {"close"}


async def test_a_body_without_end_is_not_read(ping: HttpPing, web: WebServer) -> None:
    # given: more is promised than comes
    web.answers["/"] = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\nx"
    # when, then
    assert (await sampled(ping, at(web))).value == 100.0


@pytest.mark.parametrize(
    "lie",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 999 What\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 3,
        b"\x00\xff" * 1000,
    ],
    ids=["nothing", "ssh", "999", "2000", "header", "100", "noise"],
)
async def test_what_is_no_answer_is_no_life(ping: HttpPing, web: WebServer, lie: bytes) -> None:
    web.answers["/"] = lie
    sample = await sampled(ping, at(web))
    assert sample.value is None
    assert len(sample.detail) < 300


async def test_who_refuses_the_connection_is_not_alive(ping: HttpPing) -> None:
    async with a_web_server() as web:
        pass
    sample = await sampled(ping, at(web))
    assert sample.value is None
    assert sample.detail


async def test_a_server_that_hangs_leaves_no_connection(ping: HttpPing, web: WebServer) -> None:
    # given
    web.answers["/"] = None
    # when
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await ping.sample(at(web))
    # then
    await until(lambda: not web.at_once)


async def test_a_certificate_is_checked_unless_the_property_says_not_to(
    ping: HttpPing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: a certificate that this machine trusts, for a name
    public, tls = certificate(tmp_path, "vnf.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(public))
    async with a_web_server(tls) as web:
        web.put("/", b"")
        # when
        by_name = await sampled(ping, at(web, "HTTPSPing", host="vnf.example"))
        by_address = await sampled(ping, at(web, "HTTPSPing"))
        unchecked = await sampled(ping, at(web, "HTTPSPing", verify="false"))
    # then
    assert by_name.value == 100.0
    assert by_address.value is None
    assert "certificate" in by_address.detail.lower()
    assert unchecked.value == 100.0


async def test_the_url_is_made_of_the_address_that_was_judged(
    ping: HttpPing, web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: a judge that lets pass what a URL takes for the name of a user
    sly = IPv6Address("fd00::1%x]@127.0.0.1")
    monkeypatch.setattr(module, "address_of", lambda _: sly)
    # when, then
    with pytest.raises(CollectorError, match="by a URL"):
        await sampled(ping, at(web))
    assert web.asked == []


@pytest.mark.parametrize(
    ("path", "asked"),
    [("/a?b=c&d=/", "/a?b=c&d=/"), ("//x@y/z", "//x@y/z"), ("/a#b", "/a"), ("/%41", "/%41")],
)
async def test_the_path_is_sent_as_it_is_without_a_fragment(
    ping: HttpPing, web: WebServer, path: str, asked: str
) -> None:
    web.put(asked, b"")
    assert (await sampled(ping, at(web, path=path))).value == 100.0
    assert [each["path"] for each in web.asked] == [asked]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("scheme", value) for value in ("ftp", "http:", "file")],
        *[("path", value) for value in ("health", "/a b", "/\r\nX: y", "/é", "/" + "a" * 2000)],
        *[("host", value) for value in ("a b", "a\r\nX: y", "a:80", "é", "[::1]", "a@b")],
        *[("status", value) for value in ("ok", "99", "600", "200-", "200,", "٢٠٠", "1" * 5000)],
        *[("verify", value) for value in ("no", "0")],
        *[("port", value) for value in ("0", "x")],
    ],
)
async def test_a_property_that_is_wrong_is_told_by_its_name(
    ping: HttpPing, web: WebServer, name: str, value: str
) -> None:
    properties: dict[str, Any] = {"port": "80", name: value}
    with pytest.raises(CollectorError, match=f"property {name} should be"):
        await sampled(ping, a_question("HTTPPing", "127.0.0.1", **properties))
    assert web.asked == []
