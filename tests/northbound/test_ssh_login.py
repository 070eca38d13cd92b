import asyncio
import stat
from collections.abc import Iterable
from pathlib import Path

import asyncssh
import pytest
from asyncssh.packet import Boolean, String, UInt32
from structlog.testing import capture_logs

from esc_daemon.access.login import Login, Verdict
from esc_daemon.access.users import User
from esc_daemon.northbound.ssh.hostkeys import host_keys
from esc_daemon.northbound.ssh.transport import BEFORE_LOGIN
from tests.northbound.netconf_server import Server, Serving
from tests.northbound.raw_client import PATIENCE, connected

CLOSE = "<close-session/>"
UNIMPLEMENTED = 3
"""RFC 4253 section 12."""
USERAUTH_REQUEST = 50
"""RFC 4252 section 6."""
AS_NOBODY = String("nobody"), String("ssh-connection"), String("password"), Boolean(False)
A_GUESS = *AS_NOBODY, String("guess")


async def test_a_wrong_password_is_refused_and_the_right_one_still_works(server: Server):
    refused = server.registry.get_sample_value("esc_netconf_logins_total", {"result": "refused"})
    assert refused == 0  # and not: no such counter, of which Prometheus misses the first step
    with pytest.raises(asyncssh.PermissionDenied):
        async with connected(server.port, password="wrong"):
            pass
    async with connected(server.port) as client:
        await client.ok(CLOSE)
    assert server.figure("esc_netconf_logins_total", result="refused") == 1
    assert server.figure("esc_netconf_logins_total", result="ok") == 1


async def test_an_unknown_user_is_refused_like_a_wrong_password(server: Server):
    with pytest.raises(asyncssh.PermissionDenied):
        async with connected(server.port, username="nobody"):
            pass


async def test_after_too_many_wrong_passwords_the_right_one_has_to_wait_and_the_log_says_so(
    server: Server,
):
    with capture_logs() as lines:
        for password in ("wrong", "wrong", "wrong", "pw"):
            with pytest.raises(asyncssh.PermissionDenied):
                async with connected(server.port, password=password):
                    pass
    why = [line["why"] for line in lines if line["event"] == "login.refused"]
    assert why == ["wrong user or password"] * 3 + ["held off after too many wrong passwords"]


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256"])
async def test_an_authorized_key_lets_in_and_another_does_not(server: Server, kind: str):
    mine, other = (asyncssh.generate_private_key(kind) for _ in range(2))
    server.users.add("robot", User())
    server.users.authorize_key("robot", mine.export_public_key().decode())
    async with connected(
        server.port, username="robot", client_keys=[mine], password=None
    ) as client:
        await client.ok(CLOSE)
    with pytest.raises(asyncssh.PermissionDenied):
        async with connected(server.port, username="robot", client_keys=[other], password=None):
            pass


async def test_a_user_without_a_password_cannot_log_in_by_one(server: Server):
    server.users.add("robot", User())
    for password in ("", "robot", "pw"):
        with pytest.raises(asyncssh.PermissionDenied):
            async with connected(server.port, username="robot", password=password):
                pass


async def test_a_user_who_was_deleted_does_not_come_in_again(server: Server):
    server.users.delete("admin")
    with pytest.raises(asyncssh.PermissionDenied):
        async with connected(server.port):
            pass


async def test_a_damaged_file_of_users_lets_nobody_in_and_ends_nothing(
    server: Server, tmp_path: Path
):
    before = (tmp_path / "users.json").read_bytes()
    async with connected(server.port) as client:
        (tmp_path / "users.json").write_text("{")
        with pytest.raises(asyncssh.PermissionDenied):
            async with connected(server.port):
                pass
        await client.ok(CLOSE)
        (tmp_path / "users.json").write_bytes(before)
    async with connected(server.port) as client:
        await client.ok(CLOSE)


async def test_who_does_not_log_in_in_time_is_cut_off(serving: Serving):
    async with serving(pre_auth_seconds=0.05) as server, asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert (await reader.readline()).startswith(b"SSH-2.0-")
        await reader.read()
        writer.close()
        assert server.figure("esc_limits_reached_total", limit="pre_auth_seconds") == 1


async def test_the_stranger_who_came_first_makes_room_for_the_one_too_many(serving: Serving):
    async with serving(sessions=1) as server, asyncio.timeout(PATIENCE):
        strangers = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(101)]
        for reader, _ in strangers:
            await reader.readline()
        # when somebody comes who has an account
        async with connected(server.port) as client:
            # then the first one is hung up on
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await strangers[0][0].readuntil(b"never")
            # and however many come then, who has logged in stays
            for _ in range(120):
                strangers.append(await asyncio.open_connection("127.0.0.1", server.port))  # noqa: PERF401
            await client.ok(CLOSE)
        assert server.figure("esc_limits_reached_total", limit="connections") > 0
        assert server.figure("esc_limits_reached_total", limit="pre_auth_seconds") == 0
        for _, writer in strangers:
            writer.close()


async def test_wrong_passwords_on_one_connection_have_an_end(serving: Serving):
    tried = 0

    class Guesser(asyncssh.SSHClient):
        def password_auth_requested(self) -> str:
            nonlocal tried
            tried += 1
            return f"guess {tried}"

    async with serving(passwords_per_connection=2) as server:
        with pytest.raises(asyncssh.PermissionDenied):
            await asyncssh.connect(
                "127.0.0.1", server.port, username="admin", client_factory=Guesser,
                known_hosts=None, client_keys=None, agent_path=None, config=None,
            )  # fmt: skip
    assert tried == 2


class Raw(asyncssh.SSHClient):
    """Sends *packets* in place of a password."""

    def __init__(self, packets: Iterable[tuple[int, tuple[bytes, ...]]]) -> None:
        self._packets = packets

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self._connection = conn

    async def password_auth_requested(self) -> None:
        for kind, parts in self._packets:
            self._connection.send_packet(kind, *parts)
        await self._connection.wait_closed()


async def sent(port: int, packets: Iterable[tuple[int, tuple[bytes, ...]]]) -> asyncssh.Error:
    """Return by what error a connection ended that sent *packets* before its login."""
    with pytest.raises(asyncssh.Error) as caught:
        async with asyncio.timeout(PATIENCE):
            await asyncssh.connect(
                "127.0.0.1", port, username="admin", client_factory=lambda: Raw(packets),
                known_hosts=None, client_keys=None, agent_path=None, config=None,
            )  # fmt: skip
    return caught.value


async def test_passwords_behind_each_other_are_as_many_as_those_one_by_one(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
):
    # given
    asked = []
    by_password = Login.by_password

    async def counted(self: Login, name: str, password: str, peer: str) -> Verdict:
        asked.append(password)
        return await by_password(self, name, password, peer)

    monkeypatch.setattr(Login, "by_password", counted)

    # when
    guesses = [(*AS_NOBODY, String(f"guess {number}")) for number in range(30)]
    async with serving(passwords_per_connection=2) as server:
        await sent(server.port, [(USERAUTH_REQUEST, guess) for guess in guesses])
    # then no more of them cost a hash, which others would have to wait behind
    assert len(asked) == 2


async def test_a_guess_whose_author_hung_up_is_told_as_well(
    server: Server, monkeypatch: pytest.MonkeyPatch
):
    # given: a password is being looked at
    looking = asyncio.Event()

    async def slow(*_: object) -> Verdict:
        looking.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(Login, "by_password", slow)
    with capture_logs() as lines:
        login = asyncio.create_task(sent(server.port, [(USERAUTH_REQUEST, A_GUESS)]))
        await asyncio.wait_for(looking.wait(), PATIENCE)
        # when
        login.cancel()
        # then
        await server.until(lambda: server.figure("esc_netconf_logins_total", result="refused"))
    (line,) = [line for line in lines if line["event"] == "login.refused"]
    assert (line["user"], line["why"]) == ("nobody", "did not wait for the answer")


async def test_a_stranger_may_send_so_much_and_no_more(server: Server):
    # when
    error = await sent(server.port, ((UNIMPLEMENTED, (UInt32(0),)) for _ in range(10_000)))
    # then
    assert "before the login" in str(error)
    await server.until(lambda: server.figure("esc_limits_reached_total", limit="pre_auth_bytes"))
    # and who has logged in may send more
    async with connected(server.port) as client:
        for _ in range(2):
            await client.rpc(f"<!--{'x' * BEFORE_LOGIN}--><get/>")


@pytest.mark.parametrize(("length", "ends"), [(1024, "wrong"), (1025, "1024 bytes at most")])
async def test_a_password_that_cannot_be_one_is_refused_before_it_is_prepared(
    serving: Serving, length: int, ends: str
):
    words = String("admin"), String("ssh-connection"), String("password"), Boolean(False)
    async with serving(passwords_per_connection=1) as server:
        password = String("x" * length)
        assert ends in str(await sent(server.port, [(USERAUTH_REQUEST, (*words, password))]))


def _key_offered(kind: str, *parts: bytes) -> tuple[bytes, ...]:
    key = String(kind) + b"".join(String(part) for part in parts)
    words = map(String, ("admin", "ssh-connection", "publickey"))
    return (*words, Boolean(False), String(kind), String(key))


@pytest.mark.parametrize(
    "broken",
    [
        tuple(map(String, ("admin", "ssh-connection", "publickey"))),
        (*map(String, ("admin", "ssh-connection", "password")), Boolean(False), String("x"), b"x"),
        _key_offered("ssh-rsa", b"", b""),
        _key_offered("ecdsa-sha2-nistp256", b"nistp256", b"\x04" + bytes(64)),
    ],
    ids=["cut off", "too long", "an RSA key of 0", "no point of the curve"],
)
async def test_what_no_client_sends_is_a_warning_and_no_error_of_ours(
    server: Server, broken: tuple[bytes, ...]
):
    with capture_logs() as lines:
        await sent(server.port, [(USERAUTH_REQUEST, broken)])
        await server.until(lambda: lines)
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("connection.unreadable", "warning")
    assert line["error"]
    assert "exc_info" not in line


async def test_a_fault_of_ours_in_the_middle_of_a_login_is_an_error(
    server: Server, monkeypatch: pytest.MonkeyPatch
):
    def faulty(*_: object) -> bool:
        raise RuntimeError("ours")

    monkeypatch.setattr(Login, "by_key", faulty)
    key = asyncssh.generate_private_key("ssh-ed25519").public_data
    words = map(String, ("admin", "ssh-connection", "publickey"))
    offer = (*words, Boolean(False), String("ssh-ed25519"), String(key))
    with capture_logs() as lines:
        await sent(server.port, [(USERAUTH_REQUEST, offer)])
        await server.until(lambda: lines)
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("connection.failed", "error")


def test_host_keys_of_both_kinds_are_made_once_for_the_owner_only(tmp_path: Path):
    first = host_keys(tmp_path / "keys")
    assert [key.get_algorithm() for key in first] == ["ssh-ed25519", "ssh-rsa"]
    again = host_keys(tmp_path / "keys")
    assert [key.get_fingerprint() for key in first] == [key.get_fingerprint() for key in again]
    for file in (tmp_path / "keys").glob("*_key"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
