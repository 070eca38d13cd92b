"""Secrets of every kind on their way through a whole daemon, and the users who may not see them."""

import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from lxml import etree
from ncclient import manager
from ncclient.operations.rpc import RPCError
from ncclient.transport.errors import AuthenticationError

from tests.programs import Program, a_daemon, run
from tests.witness import connected

ESC = "http://www.cisco.com/esc/esc"
NC = "urn:ietf:params:xml:ns:netconf:base:1.0"
ADMIN, WRONG, READER = "canary-of-admin", "canary-that-is-wrong", "canary-of-reader"
DAY_ZERO, VARIABLE = "canary-of-day-0", "canary-of-a-variable"
COMMUNITY = "canary-of-a-kpi"
SCRIPTS, EXTENSIONS, SOURCE = "canary-of-a-stage", "canary-of-an-extension", "canary-of-an-image"
SEALED = ("canary-of-the-vim", "canary-of-a-vim-user", "canary-of-a-server", "canary-of-a-token")
CANARY = "canary"

SYSTEM = f"""<esc_system_config xmlns="{ESC}"><vim_connectors><vim_connector><id>v</id>
<type>SIMULATOR</type><properties><property><name>os_password</name><value>{SEALED[0]}</value>
</property></properties><users><user><id>u</id><credentials><properties><property>
<name>PASSWORD</name><value>{SEALED[1]}</value></property></properties></credentials></user></users>
</vim_connector></vim_connectors></esc_system_config>"""
MODEL = f"""<esc_datamodel xmlns="{ESC}"><tenants><tenant><name>t</name><deployments><deployment>
<name>dep</name><vm_group><name>g</name><locator><vim_id>v</vim_id></locator><image>i</image>
<flavor>f</flavor><bootup_time>-1</bootup_time><interfaces><interface><nicid>0</nicid>
<network>n</network></interface></interfaces><kpi_data><kpi><event_name>LOAD</event_name>
<metric_value>90</metric_value><metric_cond>GT</metric_cond><metric_type>UINT32</metric_type>
<metric_collector><type>SNMPGetThreshold</type><nicid>0</nicid><poll_frequency>3</poll_frequency>
<polling_unit>seconds</polling_unit><properties><property><name>community</name>
<value>{COMMUNITY}</value></property></properties></metric_collector></kpi></kpi_data><config_data><configuration><dst>a</dst>
<data>{DAY_ZERO} $PW</data><variable><name>PW</name><val>{VARIABLE}</val></variable></configuration>
</config_data><scaling><min_active>1</min_active><max_active>1</max_active></scaling>
<extensions><extension><name>x</name><properties><property><name>p</name><value>{EXTENSIONS}</value>
</property></properties></extension></extensions></vm_group>
<policies><policy><name>p</name><conditions><condition><name>LCS::POST_DEPLOY_ALIVE</name></condition>
</conditions><actions><action><name>a</name><type>SCRIPT</type><properties><property>
<name>script_filename</name><value>/nowhere</value></property><property><name>login</name>
<value>{SCRIPTS}</value></property></properties></action></actions></policy></policies></deployment></deployments></tenant></tenants><file_servers><file_server><id>s</id>
<base_url>http://192.0.2.1</base_url><file_server_password>{SEALED[2]}</file_server_password>
<properties><property><name>api_token</name><value>{SEALED[3]}</value></property></properties>
</file_server></file_servers><images><image><name>other</name>
<src>http://u:{SOURCE}@127.0.0.1:9/i</src><disk_format>raw</disk_format></image></images>
</esc_datamodel>"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Program]:
    """Run a daemon that logs all it can, with an administrator and a reader."""
    data = tmp_path / "data"
    for name, password in (("admin", ADMIN), ("reader", READER)):
        (tmp_path / name).write_text(f"{password}\n")
    added = ("user", "add", "reader", "--password-file", str(tmp_path / "reader"))
    assert run("esc_daemon", *added, "--data-dir", str(data)).returncode == 0
    options = ("--admin-password-file", str(tmp_path / "admin"))
    limits = {"ESC_LIMITS__SUBSCRIPTIONS": "1", "ESC_LIMITS__LOGIN_FAILURES": "2"}
    with a_daemon(data, *options, ESC_LOG__LEVEL="debug", **limits) as program:
        yield program


def logged_in(daemon: Program, user: str, password: str) -> AbstractContextManager[manager.Manager]:
    return connected(daemon, username=user, password=password, key_filename=None)


def config(*roots: str) -> str:
    return f'<config xmlns="{NC}" xmlns:nc="{NC}">{"".join(roots)}</config>'


def refused(session: manager.Manager, *roots: str) -> str:
    """Return all that is told of an edit that is refused."""
    with pytest.raises(RPCError) as error:
        session.edit_config(target="running", config=config(*roots))
    return etree.tostring(error.value.xml).decode()


def pages(daemon: Program) -> str:
    base = f"http://127.0.0.1:{daemon.ports['http']}"
    found = (urllib.request.urlopen(f"{base}/{page}", timeout=30) for page in ("metrics", "readyz"))
    return "".join(page.read().decode() for page in found)


def test_no_secret_is_told_to_whom_it_is_not_for(daemon: Program) -> None:
    told: list[str] = []
    # when somebody guesses
    for _ in range(2):
        with pytest.raises(AuthenticationError) as wrong, logged_in(daemon, "reader", WRONG):
            pass
        told.append(str(wrong.value))
    with pytest.raises(AuthenticationError), logged_in(daemon, "reader", READER):
        pass  # limits.login_failures: now the right one has to wait
    # and secrets of every kind are taken, and refused
    with logged_in(daemon, "admin", ADMIN) as admin:
        admin.create_subscription()
        admin.edit_config(target="running", config=config(SYSTEM, MODEL))
        for _ in range(100):
            event = etree.tostring(admin.take_notification(timeout=20).notification_ele).decode()
            told.append(event)
            if "SERVICE_ALIVE" in event or "VM_DEPLOYED" in event:
                break
        told.append(refused(admin, SYSTEM.replace(SEALED[0], f"$esc1${CANARY}")))
        told.append(
            refused(
                admin,
                MODEL.replace(DAY_ZERO, f"{CANARY}\N{BELL}" * 9).replace(
                    "<flavor>", "<nothing/><flavor>"
                ),
            )
        )
        told.append(refused(admin, MODEL.replace("<bootup_time>-1", "<bootup_time>x")))
        seen = str(admin.get_config(source="running")) + str(admin.get())
        assert DAY_ZERO in seen
        assert COMMUNITY in seen
        assert all(each in seen for each in (SCRIPTS, EXTENSIONS, SOURCE))
        assert not [secret for secret in SEALED if secret in seen]
    # and somebody else looks, asks and guesses
    told += as_nobody_in_particular(daemon)
    told.append(pages(daemon))
    assert daemon.stop() == 0
    # then
    told.append(daemon.log.read_text())
    assert not [text for text in told if CANARY in text.replace(f"$esc1${CANARY}", "")]


def as_nobody_in_particular(daemon: Program) -> list[str]:
    """Return what is told to a user in no group who asks for everything."""
    added = daemon.folder / "second"
    added.write_text("pw\n")
    words = ("user", "add", "second", "--password-file", str(added))
    assert run("esc_daemon", *words, "--data-dir", str(daemon.folder)).returncode == 0
    with logged_in(daemon, "second", "pw") as second:
        found = [str(second.get_config(source=source)) for source in ("running", "candidate")]
        found.append(str(second.get()))
        assert all("<name>dep</name>" in each for each in found)
        assert not [each for each in found if "$esc1$" in each or "rule-list" in each]
        found += [refused(second, SYSTEM), refused(second, MODEL)]
        assert all("access-denied" in each for each in found[-2:])
        with pytest.raises(RPCError) as killed:
            second.kill_session("1")
        assert killed.value.tag == "access-denied"
        second.create_subscription()
        with logged_in(daemon, "second", "pw") as another, pytest.raises(RPCError) as full:
            another.create_subscription()
        assert full.value.tag == "resource-denied"
    return found
