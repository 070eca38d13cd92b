import asyncio
import stat
from collections.abc import Coroutine, Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from esc_daemon.access.errors import BadPassword
from esc_daemon.access.first_start import first_password, password_from_file, prepare
from esc_daemon.access.keys import KeyKind, ensure_key_pair, public_half
from esc_daemon.access.login import Login, Verdict
from esc_daemon.access.passwords import Passwords
from esc_daemon.access.throttle import LoginThrottle
from esc_daemon.access.users import User, Users


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    passwords = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    yield passwords
    passwords.close()


@pytest.fixture
def users(tmp_path: Path) -> Users:
    return Users(tmp_path / "users.json")


@pytest.fixture
def login(users: Users, passwords: Passwords) -> Login:
    users.add("operator", User(password=passwords.hash("right")))
    return Login(users=users, passwords=passwords, throttle=LoginThrottle(failures=3))


async def test_the_right_password_lets_in(login: Login):
    assert await login.by_password("operator", "right", "::1") is Verdict.RIGHT
    assert await login.by_password("operator", "wrong", "::1") is Verdict.WRONG
    assert await login.by_password("nobody", "right", "::1") is Verdict.WRONG


async def test_after_three_wrong_ones_the_right_one_has_to_wait_but_not_from_elsewhere(
    login: Login,
):
    for _ in range(3):
        assert await login.by_password("operator", "wrong", "10.0.0.1") is Verdict.WRONG
    assert await login.by_password("operator", "right", "10.0.0.1") is Verdict.HELD_OFF
    assert await login.by_password("operator", "right", "10.0.0.2") is Verdict.RIGHT


async def test_guesses_side_by_side_do_not_outrun_the_brake(login: Login):
    # given as many wrong guesses under way as it takes, and the right one behind them
    wrong = [login.by_password("operator", f"guess {n}", "10.0.0.1") for n in range(8)]
    answers = await asyncio.gather(*wrong, login.by_password("operator", "right", "10.0.0.1"))
    assert Verdict.RIGHT not in answers
    assert answers.count(Verdict.WRONG) == 3


async def test_what_is_no_password_of_anybody_drives_nobody_out_of_the_memory_of_the_brake(
    login: Login, monkeypatch: pytest.MonkeyPatch
):
    # given one who is held off, and a brake that remembers a few
    monkeypatch.setattr("esc_daemon.access.throttle._MOST_PAIRS", 4)
    for _ in range(3):
        await login.by_password("operator", "wrong", "10.0.0.1")
    # when other names come with what costs no hash
    for number, nothing in enumerate(("", "x" * 1025) * 4):
        assert await login.by_password(f"name {number}", nothing, "10.0.0.1") is Verdict.WRONG
    # then
    assert await login.by_password("operator", "right", "10.0.0.1") is Verdict.HELD_OFF


async def _hang_up(*logins: Coroutine[object, object, object]) -> None:
    """Ask, and go away as soon as all that may begin has begun."""
    asked = [asyncio.create_task(login) for login in logins]
    await asyncio.sleep(0)
    for login in asked:
        login.cancel()
    assert all(
        isinstance(answer, asyncio.CancelledError)
        for answer in await asyncio.gather(*asked, return_exceptions=True)
    )


async def test_who_goes_away_before_the_answer_has_guessed_wrong_too(
    login: Login, users: Users, passwords: Passwords
):
    # given one who guesses and hangs up, or asks anew on the same connection (RFC 4252 section 5)
    for number in range(3):
        await _hang_up(login.by_password("operator", f"guess {number}", "10.0.0.1"))
        await passwords.verify(users.all()["operator"].password, f"guess {number}")
    # when, then: he has to wait, as if he had heard three times no
    assert await login.by_password("operator", "right", "10.0.0.1") is Verdict.HELD_OFF


async def test_who_goes_away_with_the_right_password_has_not_guessed(
    users: Users, passwords: Passwords
):
    # given a brake that one wrong password sets, and one who is cut off in the middle of his login
    users.add("operator", User(password=passwords.hash("right")))
    login = Login(users=users, passwords=passwords, throttle=LoginThrottle(failures=1))
    await _hang_up(login.by_password("operator", "right", "10.0.0.1"))
    # when, then
    assert await login.by_password("operator", "right", "10.0.0.1")


async def test_who_goes_away_with_the_right_password_takes_back_no_guess(
    login: Login, users: Users, passwords: Passwords
):
    # given two wrong ones of three, and the right one in between, whose answer nobody waited for
    assert not await login.by_password("operator", "guess 0", "10.0.0.1")
    await _hang_up(login.by_password("operator", "right", "10.0.0.1"))
    assert await passwords.verify(users.all()["operator"].password, "right")
    for number in (1, 2):
        assert not await login.by_password("operator", f"guess {number}", "10.0.0.1")
    # when, then
    assert not await login.by_password("operator", "right", "10.0.0.1")


async def test_a_guess_that_is_left_before_its_turn_is_neither_looked_at_nor_counted(
    login: Login, users: Users, passwords: Passwords
):
    # given three at once, of which two at a time are looked at
    guesses = [f"guess {number}" for number in range(3)]
    await _hang_up(*(login.by_password("operator", guess, "10.0.0.1") for guess in guesses))
    for guess in guesses[:2]:
        await passwords.verify(users.all()["operator"].password, guess)
    # when, then: there were two, so that the brake lets one more through
    assert await login.by_password("operator", "right", "10.0.0.1")


async def test_many_right_logins_side_by_side_all_come_in(login: Login):
    answers = await asyncio.gather(
        *(login.by_password("operator", "right", "10.0.0.1") for _ in range(20))
    )
    assert answers == [Verdict.RIGHT] * 20


def test_only_an_authorized_key_lets_in(login: Login, users: Users, tmp_path: Path):
    for name in ("mine", "other"):
        ensure_key_pair(tmp_path / name, KeyKind.ED25519)
    users.authorize_key("operator", public_half(tmp_path / "mine"))
    assert login.by_key("operator", public_half(tmp_path / "mine") + " comment")
    assert not login.by_key("operator", public_half(tmp_path / "other"))
    assert not login.by_key("nobody", public_half(tmp_path / "mine"))


def test_what_is_no_key_is_no_key(login: Login):
    for offered in ("nonsense", "ssh-ed25519 AAAA", ""):
        assert not login.by_key("operator", offered)
        assert not login.by_key("nobody", offered)


async def test_the_first_start_makes_a_password_once(tmp_path: Path, passwords: Passwords):
    prepare(tmp_path / "d", passwords, admin_password=None)
    made_up = first_password(tmp_path / "d", passwords)
    assert made_up is not None
    users = Users(tmp_path / "d" / "users.json")
    assert await passwords.verify(users.all()["admin"].password, made_up)
    assert first_password(tmp_path / "d", passwords) is None
    assert await passwords.verify(users.all()["admin"].password, made_up)


async def test_a_given_admin_password_is_set_and_reset(tmp_path: Path, passwords: Passwords):
    users = Users(tmp_path / "users.json")
    for password in ("first", "second"):
        prepare(tmp_path, passwords, admin_password=password)
        assert first_password(tmp_path, passwords) is None
        assert await passwords.verify(users.all()["admin"].password, password)


def test_no_password_is_made_up_when_there_are_users(tmp_path: Path, passwords: Passwords):
    Users(tmp_path / "users.json").add("operator", User())
    prepare(tmp_path, passwords, admin_password=None)
    assert first_password(tmp_path, passwords) is None
    assert "admin" not in Users(tmp_path / "users.json").all()


def test_the_local_client_gets_a_key_that_only_the_owner_reads(
    tmp_path: Path, passwords: Passwords
):
    data_dir = tmp_path / "d"
    prepare(data_dir, passwords, admin_password="x")
    key = data_dir / "keys" / "esc-nc-admin"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    user = Users(data_dir / "users.json").all()["esc-nc-admin"]
    assert user.password is None
    login = Login(
        users=Users(data_dir / "users.json"),
        passwords=passwords,
        throttle=LoginThrottle(failures=3),
    )
    assert login.by_key("esc-nc-admin", public_half(key))


def test_a_key_pair_is_made_once(tmp_path: Path):
    assert ensure_key_pair(tmp_path / "k", KeyKind.ED25519)
    before = (tmp_path / "k").read_bytes()
    assert not ensure_key_pair(tmp_path / "k", KeyKind.ED25519)
    assert (tmp_path / "k").read_bytes() == before


def test_a_password_is_handed_over_by_the_first_line_of_a_file(tmp_path: Path):
    file = tmp_path / "password"
    file.write_text("secret \r\nmore\n")
    assert password_from_file(file) == "secret "
    for bad in (b"", b"\n", b"\xff\n"):
        file.write_bytes(bad)
        with pytest.raises(BadPassword, match=str(file)):
            password_from_file(file)
    with pytest.raises(BadPassword, match="No such file"):
        password_from_file(tmp_path / "none")


def test_only_the_right_password_is_true() -> None:
    assert [verdict for verdict in Verdict if verdict] == [Verdict.RIGHT]
