"""
A NETCONF session over ncclient, which no other module knows.

    ClientError
      + ConnectionFailed   unreachable, closed, or no NETCONF
          + LoginRefused   reached, but not let in
      + NoReply            the time is over
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from lxml import etree
from ncclient import NCClientError, manager
from ncclient.operations import RaiseMode, TimeoutExpiredError
from ncclient.transport import AuthenticationError, SSHSession, SSHUnknownHostError

from esc_nc_cli.discover import ELSEWHERE, Endpoint
from esc_nc_cli.events import STREAM
from esc_nc_cli.xmltree import BASE, NOTIFICATION, XmlRefused, leaf, parse, qname

_GOODBYE_SECONDS = 2
_KEEPALIVE_SECONDS = 30
_NO_BANNER = "SSH protocol banner"
"""In paramiko's words what another server than one of SSH does not begin with."""
_SLICE_SECONDS = 0.2  # how soon a closed session is noticed while waiting for events


class ClientError(Exception):
    """The conversation failed; an rpc-error is a reply, not one of these."""


class ConnectionFailed(ClientError):
    """No session, or no longer."""


class LoginRefused(ConnectionFailed):
    """The server does not let this user in with what was given."""


class NoReply(ClientError):
    """The server took the request and did not answer in time."""


@dataclass(kw_only=True, slots=True, frozen=True)
class RpcError:
    """RFC 6241 section 4.3; absent elements are None."""

    tag: str
    severity: str
    path: str | None
    message: str | None


@dataclass(kw_only=True, slots=True, frozen=True)
class Reply:
    """An rpc-reply; *errors* holds warnings too."""

    root: etree._Element
    errors: tuple[RpcError, ...]

    @property
    def refused(self) -> bool:
        return any(error.severity != "warning" for error in self.errors)


class Session:
    """One NETCONF session."""

    # ncclient's notification queue has no bound: a subscriber here prints or drops at once.

    def __init__(self, under: manager.Manager, where: str) -> None:
        self._under = under
        self._where = where

    def request(self, operation: etree._Element) -> Reply:
        """
        Send *operation* in an rpc and return its reply.

        Raises:
            ClientError: No reply, in time or at all.
        """
        try:
            raw = self._under.dispatch(operation).xml
        except TimeoutExpiredError as error:
            raise NoReply(f"{self._where} does not answer") from error
        except (NCClientError, OSError, etree.XMLSyntaxError) as error:
            text = (
                f"{self._where} closed the session before it answered: "
                "what was to change may have been taken"
            )
            raise ConnectionFailed(text) from error
        return read_reply(raw)

    def subscribe(self, since: str | None = None) -> Reply:
        """Subscribe to escEvent, with a replay from *since* (RFC 5277 section 2.1.1)."""
        operation = etree.Element(
            qname(NOTIFICATION, "create-subscription"), nsmap={None: NOTIFICATION}
        )
        etree.SubElement(operation, qname(NOTIFICATION, "stream")).text = STREAM
        if since is not None:
            etree.SubElement(operation, qname(NOTIFICATION, "startTime")).text = since
        return self.request(operation)

    def take(self, seconds: float) -> str | None:
        """
        Return the next notification, waiting *seconds* at most; None: there was none.

        Raises:
            ConnectionFailed: The session has ended.
        """
        left = seconds
        while True:
            was_open = self._under.connected
            slice_seconds = min(left, _SLICE_SECONDS)
            taken = self._under.take_notification(block=True, timeout=slice_seconds)
            if taken is not None:
                return str(taken.notification_xml)
            if not was_open:
                raise ConnectionFailed(f"{self._where} closed the session")
            left -= slice_seconds
            if left <= 0:
                return None

    def close(self) -> None:
        self._under.timeout = _GOODBYE_SECONDS
        with suppress(NCClientError, OSError):
            self._under.close_session()


@contextmanager
def connect(endpoint: Endpoint, *, timeout: float) -> Iterator[Session]:
    """
    Open a session, and close it at the end; *timeout* in seconds bounds each reply.

    Raises:
        ConnectionFailed: Unreachable, login refused, or no NETCONF there.
    """
    _hush()
    where = f"{endpoint.host}:{endpoint.port}"
    try:
        under = _manager(endpoint, timeout)
    except AuthenticationError as error:
        means = f"the key {endpoint.key}" if endpoint.key else "this password"
        refusal = f"{where} refuses {endpoint.user} with {means}{_no_key(endpoint)}"
        refusal += _guess(endpoint)
        raise LoginRefused(refusal) from error
    except SSHUnknownHostError as error:
        known = endpoint.known_hosts
        raise ConnectionFailed(f"the host key of {where} is not in {known}") from error
    except (NCClientError, OSError, EOFError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        if _NO_BANNER in reason:
            reason = f"no SSH server answers there{_other_port(endpoint)}"
        reason += _guess(endpoint) or _left_behind(endpoint)
        raise ConnectionFailed(f"cannot open a NETCONF session to {where}: {reason}") from error
    session = Session(under, where)
    try:
        yield session
    finally:
        session.close()


def _other_port(endpoint: Endpoint) -> str:
    """Return where NETCONF is likely to be: what was named may be the port of HTTP."""
    if endpoint.netconf_port is None:
        return ""
    return f" (is it HTTP?): NETCONF is on port {endpoint.netconf_port}"


def _no_key(endpoint: Endpoint) -> str:
    """Return what is the matter with the key's file: one that holds none is never offered."""
    if endpoint.key is None:
        return ""
    try:
        with endpoint.key.open("rb") as file:
            is_key = b"PRIVATE KEY-----" in file.readline(200)
    except OSError as error:
        return f", which cannot be read: {error.strerror}"
    return "" if is_key else ", which holds no private key"


def _guess(endpoint: Endpoint) -> str:
    """Return why it may be the wrong server: the port was a guess."""
    if endpoint.silent_directory is None:
        return ""
    silent = f"data directory {endpoint.silent_directory} has no ports.json; {ELSEWHERE}"
    return f"; is esc_daemon running? ({silent})"


def _left_behind(endpoint: Endpoint) -> str:
    """Return why nobody may be there: the port is that of a daemon which had no time to say so."""
    if endpoint.ports_file is None:
        return ""
    return f"; is esc_daemon running? ({endpoint.ports_file} stays behind when it is killed)"


def _manager(endpoint: Endpoint, timeout: float) -> manager.Manager:
    handler = manager.make_device_handler(None)
    session = SSHSession(handler)
    if endpoint.known_hosts is not None:
        # Only here: reading known_hosts takes a library that nothing else of the client needs.
        from esc_nc_cli.known_hosts import BadKnownHosts, KnownHosts  # noqa: PLC0415

        try:
            keys = KnownHosts(endpoint.known_hosts, endpoint.host, endpoint.port)
        except BadKnownHosts as error:
            raise ConnectionFailed(str(error)) from error
        session._host_keys = keys  # noqa: SLF001  ncclient has no other place for them
    try:
        session.connect(
            endpoint.host,
            port=endpoint.port,
            timeout=timeout,
            username=endpoint.user,
            password=endpoint.password,
            key_filename=None if endpoint.key is None else str(endpoint.key),
            allow_agent=False,
            look_for_keys=False,
            hostkey_verify=endpoint.known_hosts is not None,
            keepalive=_KEEPALIVE_SECONDS,
        )
    except BaseException:
        if session.transport is not None:
            session.close()
        raise
    return manager.Manager(session, handler, timeout=timeout, raise_mode=RaiseMode.NONE)


def _hush() -> None:
    # Both libraries would print tracebacks of what is reported in one line here.
    for name in ("ncclient", "paramiko"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def read_reply(raw: str) -> Reply:
    """
    Read an rpc-reply.

    Raises:
        ConnectionFailed: It is none.
    """
    try:
        root = parse(raw.encode(), blanks=False)
    except XmlRefused as error:
        raise ConnectionFailed(f"the server's answer is no rpc-reply: {error}") from error
    errors = tuple(
        RpcError(
            tag=leaf(element, "error-tag", namespace=BASE) or "operation-failed",
            severity=leaf(element, "error-severity", namespace=BASE) or "error",
            path=leaf(element, "error-path", namespace=BASE),
            message=leaf(element, "error-message", namespace=BASE),
        )
        for element in root.iter(qname(BASE, "rpc-error"))
    )
    return Reply(root=root, errors=errors)
