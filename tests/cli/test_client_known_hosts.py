"""Which host keys a known_hosts file lets through, against a server with two of them."""

from collections.abc import Callable
from pathlib import Path

import asyncssh
import pytest
from click.testing import Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from esc_nc_cli.known_hosts import BadKnownHosts, KnownHosts
from tests.cli.client_world import EMPTY, FakeServer

Esc = Callable[..., Result]
Write = Callable[..., str]


@pytest.fixture
def known(server: FakeServer, tmp_path: Path) -> Write:
    """Write a file of lines, in which the names stand for what the server has."""
    server.answers = {"get": [EMPTY]}
    other = asyncssh.generate_private_key("ssh-ed25519")
    names = {
        "at": f"[127.0.0.1]:{server.port}",
        "ed": server.host_key.export_public_key().decode().strip(),
        "rsa": server.rsa_host_key.export_public_key().decode().strip(),
        "other": other.export_public_key().decode().strip(),
    }

    def write(*lines: str) -> str:
        path = tmp_path / "known_hosts"
        path.write_text("".join(f"{line.format(**names)}\n" for line in lines))
        return str(path)

    return write


@pytest.mark.parametrize(
    "lines",
    [
        # ssh-keyscan's own order, and each of its lines alone
        ("# {at} SSH-2.0-x", "{at} {rsa}", "{at} {ed}"),
        ("{at} {rsa}",),
        ("{at} {ed}",),
        ("{at} {ed}", "{at} {rsa}"),
        # a changed key beside the old one, a pattern, a type of key that nobody knows
        ("{at} {other}", "{at} {ed}"),
        ("[127.0.0.*]:* {ed}",),
        ("{at} x-new AAAA", "{at} ssh-ed25519 AAAA", "{at} {rsa}"),
        ("127.0.0.1 {rsa}",),
    ],
)
def test_any_key_of_the_server_in_the_file_lets_it_through(
    esc: Esc, known: Write, lines: tuple[str, ...]
) -> None:
    result = esc("--known-hosts", known(*lines), "get")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    "lines",
    [
        ("{at} {other}",),
        ("[127.0.0.1]:1 {ed}",),
        ("192.0.2.1 {ed}",),
        ("@revoked {at} {ed}", "{at} {ed}"),
        ("@cert-authority {at} {ed}",),
        ("{at} ssh-ed25519 not!base64",),
    ],
)
def test_a_server_without_its_key_in_the_file_is_refused(
    esc: Esc, server: FakeServer, known: Write, lines: tuple[str, ...]
) -> None:
    # given
    file = known(*lines)
    # when
    result = esc("--known-hosts", file, "get")
    # then
    assert result.exit_code == 3
    assert result.stderr == (
        f"esc_nc_cli: the host key of 127.0.0.1:{server.port} is not in {file}\n"
    )
    assert server.received == []


@pytest.mark.parametrize("content", [b"nonsense\n", b"\xff\xfe", b"|1|x|y ssh-rsa AAAA\n@x y z\n"])
def test_a_file_that_is_none_ends_with_3_and_one_line(
    esc: Esc, tmp_path: Path, content: bytes
) -> None:
    # given
    file = tmp_path / "known_hosts"
    file.write_bytes(content)
    # when
    result = esc("--known-hosts", str(file), "get")
    # then
    assert result.exit_code == 3
    assert result.stderr == (
        f"esc_nc_cli: {file} is no known_hosts file; its lines are 'host type base64'\n"
    )


@given(st.binary(max_size=60))
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_content_crashes_the_reading_or_lets_a_server_through(
    tmp_path: Path, content: bytes
) -> None:
    # given
    file = tmp_path / "known_hosts"
    file.write_bytes(b"h ssh-ed25519 " + content)
    # when
    try:
        known = KnownHosts(file, "h", 2022)
    except BadKnownHosts:
        return
    # then
    assert not known.lookup("h")
