"""Whose rights count, from when on, and what is counted."""

from pathlib import Path

import pytest

from esc_daemon.access.control import AccessControl, groups_in
from esc_daemon.access.first_start import ADMIN, LOCAL_CLIENT, USERS_FILE, prepare
from esc_daemon.access.passwords import Passwords
from esc_daemon.access.users import User, Users
from esc_daemon.datamodel.schema import Schema
from esc_daemon.netconf.errors import ErrorTag, RpcError
from esc_daemon.netconf.xml import BASE_NS, NACM_NS
from tests.access_control import modules_of

ESC = "http://www.cisco.com/esc/esc"
ADMINS = (
    f'<nacm xmlns="{NACM_NS}"><rule-list><name>l</name><group>esc-admin</group><rule><name>r</name>'
    "<action>permit</action></rule></rule-list></nacm>"
).encode()
KILL = (BASE_NS, "kill-session")


class World:
    """Users in a file, rules in a variable, and a clock."""

    def __init__(self, schema: Schema, folder: Path) -> None:
        self.users = Users(folder / USERS_FILE)
        self.rules: bytes | None = ADMINS
        self.now = 0.0
        self.control = AccessControl(
            rules=lambda: self.rules,
            groups_of=groups_in(self.users),
            model=schema,
            modules=modules_of(schema),
            clock=lambda: self.now,
        )

    def may_kill(self, user: str) -> bool:
        return self.control.rights(user).may_call(*KILL)


@pytest.fixture
def it(schema: Schema, tmp_path: Path) -> World:
    return World(schema, tmp_path)


def test_groups_come_from_the_users_file_and_count_within_a_second(it: World) -> None:
    it.users.add("op", User(groups=()))
    assert not it.may_kill("op")

    it.users.set_groups("op", ["esc-admin"])
    assert not it.may_kill("op")
    it.now += 1
    assert it.may_kill("op")

    it.users.delete("op")
    it.now += 1
    assert not it.may_kill("op")


def test_rules_count_at_once(it: World) -> None:
    it.users.add("op", User(groups=("esc-admin",)))
    assert it.may_kill("op")

    it.rules = None
    assert not it.may_kill("op")


def test_the_local_client_may_do_everything_whatever_the_rules(it: World) -> None:
    for rules in (None, ADMINS.replace(b"permit", b"deny"), b"<nacm><nonsense/></nacm>"):
        it.rules = rules
        rights = it.control.rights(LOCAL_CLIENT)
        assert rights.reads_all
        assert rights.writes_all
        assert it.may_kill(LOCAL_CLIENT)
        assert it.control.write_check(LOCAL_CLIENT) is None


def test_a_damaged_users_file_puts_everybody_out_of_all_groups(it: World, tmp_path: Path) -> None:
    it.users.add("op", User(groups=("esc-admin",)))
    (tmp_path / USERS_FILE).write_text("{")

    assert not it.may_kill("op")
    assert it.may_kill(LOCAL_CLIENT)


def test_rules_that_cannot_be_read_close_every_door_but_one(it: World) -> None:
    it.users.add("op", User(groups=("esc-admin",)))
    it.rules = ADMINS.replace(b"<action>", b"<path>//all</path><action>")

    rights = it.control.rights("op")
    assert not rights.may_call(BASE_NS, "get")
    assert rights.may_call(BASE_NS, "close-session")
    assert not rights.may_hear(ESC, "escEvent")
    assert it.may_kill(LOCAL_CLIENT)


def test_what_is_denied_is_counted_and_told(it: World) -> None:
    with pytest.raises(RpcError) as refused:
        it.control.check_call("op", KILL)
    it.rules = f'<nacm xmlns="{NACM_NS}"><read-default>deny</read-default></nacm>'.encode()
    assert not it.control.may_hear("op", (ESC, "escEvent"))

    assert refused.value.tag is ErrorTag.ACCESS_DENIED
    assert "kill-session" in refused.value.message
    assert (it.control.denied.operations, it.control.denied.notifications) == (1, 1)
    it.control.check_call("op", (BASE_NS, "get"))
    assert it.control.denied.operations == 1


def test_rights_of_many_names_are_not_kept_for_ever(it: World) -> None:
    for number in range(1100):
        it.control.rights(f"user{number}")

    assert len(it.control._known) <= 1024


def test_who_is_made_at_the_first_start_is_an_administrator(tmp_path: Path) -> None:
    passwords = Passwords()
    prepare(tmp_path, passwords, admin_password="pw")
    Users(tmp_path / USERS_FILE).set_groups(ADMIN, ["readers"])
    prepare(tmp_path, passwords, admin_password="other")  # a reset changes the password alone
    passwords.close()

    users = Users(tmp_path / USERS_FILE)
    assert users.find(ADMIN).groups == ("readers",)
    assert users.find(LOCAL_CLIENT).groups == ("esc-admin",)
