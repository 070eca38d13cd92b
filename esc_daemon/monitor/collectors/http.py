"""
HTTP: alive is who answers a GET with a status that is expected.

The request goes to the VM's address, whatever the property `host` says: that is only the name that
the server is asked by, and that its certificate is checked for. Redirections are an answer and are
not followed, bodies are not read, cookies are not kept, no connection is used twice, and proxies of
the environment are not asked.
"""

import re
import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy
from time import perf_counter
from typing import Final

import httpx

from esc_daemon.domain.errors import excerpt
from esc_daemon.monitor.base import CollectorError, Question, Sample
from esc_daemon.monitor.catalogue import ANSWERED
from esc_daemon.monitor.collectors.connections import AT_A_TIME
from esc_daemon.monitor.filling import address_of, port_of

_PORTS: Final = {"http": 80, "https": 443}
_USUAL_STATUS: Final = "200-399"
_STATUS: Final = re.compile(r"\s*([1-5][0-9]{2})(?:\s*-\s*([1-5][0-9]{2}))?\s*", re.ASCII)
_PATH: Final = re.compile(r"/[!-~]{0,1023}", re.ASCII)
_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}", re.ASCII)
_LONGEST_REASON: Final = 120


class HttpPing:
    """Asks for a page and looks at the status (Collector)."""

    at_a_time = AT_A_TIME

    def __init__(self) -> None:
        self._clients: dict[bool, httpx.AsyncClient] = {}

    async def sample(self, question: Question) -> Sample:
        """See Collector."""
        expected = _expected(question)
        request, checked = _request(question)
        began = perf_counter()
        try:
            response = await self._client(verify=checked).send(request, stream=True)
            await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            reason = excerpt(str(error), _LONGEST_REASON) or type(error).__name__
            return Sample(value=None, detail=f"{request.url.host}: {reason}")
        status = response.status_code
        if not any(status in range(first, last + 1) for first, last in expected):
            return Sample(value=None, detail=f"{request.url.host} answers {status}")
        return Sample(value=ANSWERED, took=perf_counter() - began)

    async def close(self) -> None:
        """Close the clients."""
        clients = tuple(self._clients.values())
        self._clients.clear()
        for client in clients:
            await client.aclose()

    def _client(self, *, verify: bool) -> httpx.AsyncClient:
        """Return the client; the certificate authorities are read once."""
        if verify not in self._clients:
            self._clients[verify] = httpx.AsyncClient(
                verify=_trust(verify=verify),
                trust_env=False,
                timeout=None,  # noqa: S113  # the monitor's time-out is around each sample
                limits=httpx.Limits(max_keepalive_connections=0),
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            )
        return self._clients[verify]


def _trust(*, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _request(question: Question) -> tuple[httpx.Request, bool]:
    """Return what is sent, and whether the server's certificate is checked."""
    properties = question.properties
    scheme = properties.get("scheme", "").strip().lower() or "http"
    if scheme not in _PORTS:
        raise CollectorError("property scheme should be http or https")
    address, port = address_of(question), port_of(question, _PORTS[scheme])
    path = properties.get("path", "").strip() or "/"
    if not _PATH.fullmatch(path):
        raise CollectorError("property path should begin with / and have no space, such as /health")
    host = properties.get("host", "").strip()
    if host and not _HOST.fullmatch(host):
        raise CollectorError("property host should be the name of a server, such as vnf.example")
    verify = properties.get("verify", "").strip().lower() or "true"
    if verify not in {"true", "false"}:
        raise CollectorError("property verify should be true or false")
    url = httpx.URL(scheme=scheme, host=str(address), port=port)
    literal = f"[{address}]" if address.version == 6 else str(address)
    request = httpx.Request(
        "GET",
        url.copy_with(raw_path=path.partition("#")[0].encode()),
        headers={
            "Host": host or literal if port == _PORTS[scheme] else f"{host or literal}:{port}",
            "User-Agent": "esc_daemon",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
        },
        extensions={"sni_hostname": host} if host else {},
    )
    if request.url.host != str(address):  # whatever a URL's reader makes of it
        raise CollectorError(f"{address} cannot be asked by a URL")
    return request, verify == "true"


def _expected(question: Question) -> list[tuple[int, int]]:
    """Return the first and the last of each range of statuses in the property `status`."""
    given = question.properties.get("status", "").strip() or _USUAL_STATUS
    found = [_STATUS.fullmatch(part) for part in given.split(",", maxsplit=32)]
    ranges = [(int(each[1]), int(each[2] or each[1])) for each in found if each is not None]
    if len(ranges) < len(found):
        raise CollectorError("property status should be statuses, such as 200-299,401")
    return ranges
