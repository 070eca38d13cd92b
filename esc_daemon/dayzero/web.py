"""
Files of HTTP servers: bounded in size and number, and in where they may come from.

The host is resolved once, each address is judged, and the connection goes to that address: a name
that means another host a moment later leads nowhere else. Proxies of the environment are not used,
since they would resolve the name again. Each request has a connection of its own, so that what was
found out about one server (its certificate, its cookies) says nothing about another.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Container
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import ip_address
from typing import Final

import httpx

from esc_daemon.dayzero.base import TOO_LONG, DayZeroError, DayZeroRefused, DayZeroUnknown
from esc_daemon.domain.addresses import Address, may_be_asked, plain, without_scope
from esc_daemon.domain.errors import excerpt

AT_A_TIME: Final = 16
"""Fetches under way; the others wait, within their time-out."""
_REDIRECTS: Final = 3
_ADDRESSES: Final = 4
"""Addresses of one host that are tried."""
_LONGEST_SHOWN: Final = 500
"""Characters of a URL in an error's text, so that what is said about it has its place too."""
_PORTS: Final = range(1, 0x10000)
_LATER: Final = frozenset({408, 425, 429})
"""Answers below 500 that mean: not now."""
_BROKE_OFF: Final = ("Server disconnected", "peer closed connection")
"""How httpx begins the texts by which it tells a connection that was lost from nonsense."""
_REMEDIES: Final = {
    401: "give the URL the right login",
    403: "let it be read, then {again}, or give the URL the right login",
    404: "put the file there, then {again}",
    410: "put the file there, then {again}",
}
"""What to do about an answer; *again* what comes after that."""
_ANOTHER_URL: Final = "correct the URL"
_PARTS_AT_A_TIME: Final = 100
"""Between two turns of the loop: a server may send a byte in each, and thousands at once."""


@dataclass(kw_only=True, slots=True, frozen=True)
class Login:
    """HTTP Basic (RFC 7617)."""

    user: str
    password: str = field(repr=False)


class WebFiles:
    """
    Fetches from HTTP servers.

    *own_ports* are those of the manager's own listeners, which are not asked; they may still
    become known. *timeout* bounds each wait for the network, and the time to the head
    of the answer, in seconds. *again* is what to do once
    a fault that a refusal names is mended.
    """

    def __init__(
        self, *, timeout: float, own_ports: Container[int] = (), again: str = "deploy anew"
    ) -> None:
        self._again = again
        self._to_answer = timeout
        self._timeout = httpx.Timeout(timeout, connect=timeout / _ADDRESSES)
        self._own_ports = own_ports
        self._turns = asyncio.Semaphore(AT_A_TIME)

    async def fetch(self, url: str, max_bytes: int, login: Login | None = None) -> bytes:
        """
        Return what *url* (http, https) answers; a *login* is told to its own server only.

        Raises:
            DayZeroRefused: The server says no, it may not be asked, or the file is too long.
            DayZeroUnknown: The server did not answer, or not well.

        """
        async with self.opened(url, login) as body:
            content = bytearray()
            async for part in body.parts():
                content += part
                if len(content) > max_bytes:
                    raise DayZeroRefused(f"{body.source}: {TOO_LONG}")
            return bytes(content)

    @asynccontextmanager
    async def opened(self, url: str, login: Login | None = None) -> AsyncIterator["Body"]:
        """
        Yield what *url* answers, as `fetch`, to be read part by part; it may be of any length.

        Raises:
            DayZeroRefused: As `fetch`.
            DayZeroUnknown: As `fetch`, also while it is read.

        """
        async with self._turns, AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self._to_answer):
                    body = await self._reached(stack, httpx.URL(url), login)
            except httpx.InvalidURL:  # its text may hold a password
                raise DayZeroRefused("this is no URL that can be fetched") from None
            except TimeoutError:  # it may drip its head, or 1xx without an end
                text = f"{shown(httpx.URL(url))}: no answer within {self._to_answer:g} s"
                raise DayZeroUnknown(text) from None
            yield body

    async def _reached(self, stack: AsyncExitStack, url: httpx.URL, login: Login | None) -> "Body":
        if login is None and url.userinfo:
            login = Login(user=url.username, password=url.password)
        for _ in range(_REDIRECTS + 1):
            response = await self._answer(stack, url, login)
            if not response.has_redirect_location:
                return self._body(response, url)
            answer = url.join(response.headers["Location"]).copy_with(userinfo=b"")
            await stack.aclose()  # of this connection nothing more is wanted
            if answer.scheme != url.scheme:
                raise DayZeroRefused(f"{shown(url)} leads to another scheme; name the right URL")
            if answer.netloc != url.netloc:
                login = None
            url = answer
        raise DayZeroRefused(f"{shown(url)}: more than {_REDIRECTS} redirections")

    async def _answer(
        self, stack: AsyncExitStack, url: httpx.URL, login: Login | None
    ) -> httpx.Response:
        """Return what the server says; the connection stays open as long as *stack*."""
        for address in await self._addresses(url):
            try:
                return await stack.enter_async_context(self._asked(url, address, login))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                _check_tls(error, url)
            except httpx.HTTPError as error:
                raise _told(error, shown(url)) from None
        text = "no connection; see that the server runs and that this machine can reach it"
        raise DayZeroUnknown(f"{shown(url)}: {text}")

    def _body(self, response: httpx.Response, url: httpx.URL) -> "Body":
        """Return the file that the *response* of *url* brings."""
        status = response.status_code
        if status >= 500 or status in _LATER:
            raise DayZeroUnknown(f"{shown(url)}: the server answers {status}; its log says why")
        if status != httpx.codes.OK:
            remedy = _REMEDIES.get(status, _ANOTHER_URL).format(again=self._again)
            raise DayZeroRefused(f"{shown(url)}: the server answers {status}; {remedy}")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            text = "the server packs the file although nobody asked it"
            raise DayZeroRefused(f"{shown(url)}: {text}")
        return Body(response, url)

    async def _addresses(self, url: httpx.URL) -> list[Address]:
        """Return where the server of *url* is, as far as it may be asked."""
        port = _port(url)
        if port not in _PORTS:  # the system would take its last 16 bits
            raise DayZeroRefused(f"{shown(url)}: there is no port {port}")
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                url.raw_host.decode(), port, type=socket.SOCK_STREAM
            )
        except (OSError, UnicodeError):
            text = "the name of the server is not known; correct it, or let DNS know it"
            raise DayZeroUnknown(f"{shown(url)}: {text}") from None
        addresses = [without_scope(ip_address(sockaddr[0])) for *_, sockaddr in found]
        allowed = [
            each
            for each in addresses
            if may_be_asked(each, loopback=True)
            and not (port in self._own_ports and _is_ours(plain(each)))
        ]
        if not allowed:
            text = f"{shown(url)}: files are not fetched from {addresses[0]} port {port}"
            raise DayZeroRefused(text)
        return allowed[:_ADDRESSES]

    @asynccontextmanager
    async def _asked(
        self, url: httpx.URL, address: Address, login: Login | None
    ) -> AsyncIterator[httpx.Response]:
        async with (
            httpx.AsyncClient(verify=self._trust, trust_env=False, timeout=self._timeout) as client,
            client.stream(
                "GET",
                url.copy_with(host=str(address), userinfo=b"", fragment=None),
                headers={"Host": url.netloc.decode(), "Accept-Encoding": "identity"},
                auth=httpx.BasicAuth(login.user, login.password) if login else None,
                extensions={"sni_hostname": url.raw_host.decode()},
            ) as response,
        ):
            yield response

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        """The certificate authorities of this machine (or of SSL_CERT_FILE)."""
        return ssl.create_default_context()


class Body:
    """
    What a server answers; *source* names it.

    *length* is in bytes where it was told, *media_type* in small letters, "" where it was not.
    """

    def __init__(self, response: httpx.Response, url: httpx.URL) -> None:
        self._response = response
        self.source = shown(url)
        length = response.headers.get("Content-Length", "")
        self.length = int(length) if length.isascii() and length.isdigit() else None
        media_type = response.headers.get("Content-Type", "").partition(";")[0]
        self.media_type = media_type.strip().lower()

    async def parts(self) -> AsyncGenerator[bytes, None]:
        """Iterate over it once, a few KiB at a time."""
        try:
            number = 0
            async for part in self._response.aiter_raw():
                number += 1
                if number % _PARTS_AT_A_TIME == 0:
                    await asyncio.sleep(0)
                yield part
        except httpx.HTTPError as error:
            raise _told(error, self.source) from None


def _is_ours(address: Address) -> bool:
    """Tell whether *address* is one of this machine: only these can be bound to."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True


def _port(url: httpx.URL) -> int:
    if url.port is not None:
        return url.port
    return 443 if url.scheme == "https" else 80


def shown(url: httpx.URL) -> str:
    """Return *url*, shortened, without what may be secret: its login and its query."""
    return excerpt(f"{url.scheme}://{url.netloc.decode()}{url.path}", _LONGEST_SHOWN)


def _check_tls(error: BaseException, url: httpx.URL) -> None:
    """
    Look whether it was TLS that kept us from connecting: the certificate, or there is none.

    Raises:
        DayZeroRefused: It was; asking again would not make it better.

    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            text = f"{shown(url)}: the server's certificate is not valid: {cause.verify_message}"
            raise DayZeroRefused(text) from None
        if isinstance(cause, ssl.SSLError) and cause.reason == "WRONG_VERSION_NUMBER":
            text = f"{shown(url)}: no TLS is spoken there; {_ANOTHER_URL}"
            raise DayZeroRefused(text) from None
        cause = cause.__cause__ or cause.__context__


def _told(error: httpx.HTTPError, source: str) -> DayZeroError:
    """Return what *error*, met after a connection was there, says of *source*."""
    if isinstance(error, httpx.TimeoutException):
        return DayZeroUnknown(f"{source}: the server sent nothing for too long")
    if isinstance(error, httpx.ProtocolError) and not str(error).startswith(_BROKE_OFF):
        return DayZeroRefused(f"{source}: the answer is no valid HTTP; {_ANOTHER_URL}")
    return DayZeroUnknown(f"{source}: the connection broke off")
