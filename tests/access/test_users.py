import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from esc_daemon.access.errors import (
    BadPublicKey,
    BadUserName,
    DamagedKey,
    DamagedUsersFile,
    UserExists,
    UserUnknown,
)
from esc_daemon.access.files import replace_file
from esc_daemon.access.keys import KeyKind, ensure_key_pair, normal_public_key, public_half
from esc_daemon.access.users import User, Users


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "users.json"


def a_public_key(tmp_path: Path, name: str = "key") -> str:
    ensure_key_pair(tmp_path / name, KeyKind.ED25519)
    return public_half(tmp_path / name)


def test_what_one_process_adds_another_sees_without_a_restart(path: Path):
    daemon, cli = Users(path), Users(path)
    assert daemon.all() == {}
    cli.add("operator", User(password="$hash"))
    assert daemon.find("operator") == User(password="$hash")
    cli.set_password("operator", "$other")
    assert daemon.find("operator") == User(password="$other")
    cli.delete("operator")
    assert daemon.find("operator") is None


def test_the_file_is_read_again_only_when_it_changed(path: Path):
    users = Users(path)
    users.add("a", User())
    assert users.all() is users.all()


def test_only_the_owner_may_read_the_file(path: Path):
    Users(path).add("a", User())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_user_is_added_once(path: Path):
    users = Users(path)
    users.add("a", User(password="1"))
    with pytest.raises(UserExists, match="user passwd"):
        users.add("a", User(password="2"))
    assert users.find("a") == User(password="1")


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "a" * 65, "a\n"])
def test_a_name_that_cannot_be_one_is_refused(path: Path, name: str):
    with pytest.raises(BadUserName):
        Users(path).add(name, User())


def test_an_unknown_user_cannot_be_changed(path: Path):
    users = Users(path)
    with pytest.raises(UserUnknown):
        users.set_password("nobody", "1")
    with pytest.raises(UserUnknown):
        users.delete("nobody")
    assert not path.exists()


def test_a_key_authorized_twice_stands_once_and_without_its_comment(path: Path, tmp_path: Path):
    users = Users(path)
    users.add("a", User())
    key = a_public_key(tmp_path)
    users.authorize_key("a", f"{key} a@laptop")
    users.authorize_key("a", key)
    assert users.all()["a"].keys == (normal_public_key(key),)


@pytest.mark.parametrize(
    "line", ["", "ssh-ed25519", "ssh-ed25519 !!!", "ssh-ed25519 AAAA", "ssh-ed25519 é"]
)
def test_what_is_no_key_is_refused(line: str):
    with pytest.raises(BadPublicKey):
        normal_public_key(line)


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b'{"version":1,"users":{"a":{"pasword":"x"}}}', b'{"version":2,"users":{}}'],
    ids=["cut", "no object", "unknown field", "newer version"],
)
def test_a_damaged_file_is_told_and_left_alone(path: Path, content: bytes):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(DamagedUsersFile, match=r"users\.json (cannot.*backup|has version 2)"):
        Users(path).all()
    with pytest.raises(DamagedUsersFile):
        Users(path).add("a", User())
    assert path.read_bytes() == content


def test_a_failed_replace_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    target = tmp_path / "directory"
    (target / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="irectory"):
        replace_file(target, b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["directory"]


def test_the_file_is_json_that_a_person_can_read(path: Path):
    Users(path).add("a", User(password="h", groups=("g",)))
    text = path.read_text()
    stored = {"password": "h", "keys": [], "groups": ["g"]}
    assert json.loads(text) == {"version": 1, "users": {"a": stored}}
    assert text.count("\n") > 4


def test_users_that_may_not_be_read_are_told_as_such(path: Path):
    path.mkdir(parents=True)
    with pytest.raises(DamagedUsersFile, match="directory"):
        Users(path).all()


def test_two_processes_that_add_users_lose_none(path: Path):
    script = (
        "import sys; from pathlib import Path; from esc_daemon.access.users import User, Users\n"
        "for n in range(20): Users(Path(sys.argv[1])).add(f'{sys.argv[2]}{n}', User())"
    )
    adding = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(path), letter], cwd=Path(__file__).parents[2]
        )
        for letter in "ab"
    ]
    assert [process.wait(timeout=30) for process in adding] == [0, 0]
    assert len(Users(path).all()) == 40


def test_what_is_written_belongs_to_the_owner_of_the_directory(path: Path):
    path.parent.mkdir()
    if os.geteuid() == 0:  # only root can give files away; others own what they write
        os.chown(path.parent, 4711, 4712)
    Users(path).add("a", User())
    owner = path.parent.stat()
    assert (path.stat().st_uid, path.stat().st_gid) == (owner.st_uid, owner.st_gid)
    assert [entry.name for entry in path.parent.iterdir()] == ["users.json"]


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff\xfe", None])
def test_a_damaged_public_half_is_told_with_its_name(tmp_path: Path, content: bytes | None):
    ensure_key_pair(tmp_path / "key", KeyKind.ED25519)
    public = tmp_path / "key.pub"
    public.unlink()
    if content is not None:
        public.write_bytes(content)

    with pytest.raises(DamagedKey) as caught:
        public_half(tmp_path / "key")

    assert str(public) in str(caught.value)


def test_who_stands_in_a_file_of_before_groups_is_an_administrator(path: Path):
    path.parent.mkdir()
    path.write_text('{"version": 1, "users": {"old": {"password": "h", "keys": []}}}')
    users = Users(path)
    assert users.find("old").member_of == ("esc-admin",)

    users.set_password("old", "other")
    users.add("new", User())
    users.set_groups("new", ["a", "b", "a"])

    assert Users(path).find("old").member_of == ("esc-admin",)
    assert Users(path).find("new").member_of == ("a", "b")
