"""Who may read and change what, asked of the manager by two users (RFC 8341)."""

import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from lxml import etree

from esc_daemon.access.control import AccessControl
from esc_daemon.access.rights import Rights
from esc_daemon.datamodel.entries import EMPTY, RULES
from esc_daemon.datamodel.schema import Schema
from esc_daemon.netconf.errors import RpcError, RpcErrors
from esc_daemon.netconf.messages import (
    WITH_CANDIDATE,
    Commit,
    CopyConfig,
    Datastore,
    EditConfig,
    Get,
    GetConfig,
    parse_request,
)
from esc_daemon.netconf.xml import NACM_NS, WITH_DEFAULTS_NS, YANG_NS
from esc_daemon.northbound import answers
from esc_daemon.northbound.first_rules import first_rules
from esc_daemon.vault import is_sealed
from tests.northbound.managed import ESC, Managed, config, errors_of, managed, operation

BASE = "urn:ietf:params:xml:ns:netconf:base:1.0"
SECRET = "canary"
DENIED = "access-denied"
FILE = f"<configuration><dst>f</dst><data>{SECRET}</data></configuration>"
VARIABLES = (
    f"<configuration><dst>v</dst><file>http://u:{SECRET}@192.0.2.1/x</file>"
    f"<variable><name>PW</name><val>{SECRET}</val></variable></configuration>"
)
PROPERTY = (
    f"<properties><property><name>login</name><value>{SECRET}</value></property></properties>"
)
SCRIPT = PROPERTY.replace(
    "</properties>",
    "<property><name>script_filename</name><value>/s</value></property></properties>",
)
POLICIES = (
    "<policies><policy><name>p</name><conditions><condition><name>LCS::POST_DEPLOY_ALIVE</name>"
    "</condition></conditions><actions><action><name>a</name><type>SCRIPT</type>"
    f"{SCRIPT}</action></actions></policy></policies>"
)
EXTENSIONS = f"<extensions><extension><name>ext</name>{PROPERTY}</extension></extensions>"
LICENCES = (
    "<static_license_pool><license><license_key_value>a</license_key_value>"
    f"<license_data>{SECRET}</license_data></license><license><license_key_value>b"
    f"</license_key_value><license_file>http://u:{SECRET}@192.0.2.1/l</license_file></license>"
    "</static_license_pool>"
)
GROUP = (
    "<vm_group><name>g</name><image>i</image><flavor>f</flavor><bootup_time>60</bootup_time>"
    f"<scaling><min_active>1</min_active><max_active>1</max_active>{LICENCES}</scaling>"
    f"<properties><property><prop_key>k</prop_key><prop_value>{SECRET}</prop_value></property>"
    f"</properties><config_data>{FILE}{VARIABLES}</config_data>{EXTENSIONS}</vm_group>"
)
SERVICE = f"<deployments><deployment><name>d</name>{GROUP}{POLICIES}</deployment></deployments>"
IMAGES = (
    f"<images><image><name>i</name><src>http://u:{SECRET}@192.0.2.1/i</src>"
    "<disk_format>raw</disk_format></image></images>"
)
SERVER = (
    "<file_servers><file_server><id>s</id><base_url>http://192.0.2.1</base_url>"
    f"<file_server_password>{SECRET}</file_server_password></file_server></file_servers>"
)
TENANTS = (
    f"<tenants><tenant><name>t</name>{SERVICE}</tenant><tenant><name>u</name></tenant></tenants>"
)
PASSWORD = (
    f"<properties><property><name>os_password</name><value>{SECRET}</value></property></properties>"
)
VIM = (
    f'<esc_system_config xmlns="{ESC}"><vim_connectors><vim_connector><id>spare</id>'
    f"<type>SIMULATOR</type>{PASSWORD}</vim_connector></vim_connectors></esc_system_config>"
)
OWNER = (
    f'<nacm xmlns="{NACM_NS}" xmlns:e="{ESC}"><rule-list><name>owners</name><group>owners</group>'
    "<rule><name>own</name><path>/e:esc_datamodel/e:tenants/e:tenant[e:name=$USER]</path>"
    "<action>permit</action></rule>"
    "<rule><name>others</name><path>/e:esc_datamodel/e:tenants/e:tenant</path>"
    "<action>deny</action></rule></rule-list></nacm>"
)


@pytest.fixture
async def it(schema: Schema) -> AsyncIterator[Managed]:
    """Return a manager as a first start leaves it, with something in it and rules for owners."""
    async with managed(schema, groups={"t": {"owners"}, "w": {"owners"}}) as everything:
        await everything.engine.apply(first_rules(everything.datastore))
        await edit(everything, "admin", IMAGES + SERVER + TENANTS, VIM, OWNER)
        yield everything


def whole(body: str, *roots: str) -> str:
    text = config(body) if body else "<config></config>"
    return text.replace("</config>", "".join((*roots, "</config>")))


async def edit(
    it: Managed, user: str, body: str, *roots: str, target: str = "running", options: str = ""
) -> None:
    text = f"<edit-config><target><{target}/></target>{options}{whole(body, *roots)}</edit-config>"
    request = parse_request(operation(text), now=datetime.now(UTC), datastores=WITH_CANDIDATE)
    assert isinstance(request, EditConfig)
    await it.configuration.edit_config(request, user)


async def refusal(it: Managed, user: str, body: str, *roots: str, **how: str) -> str:
    """Return the error-path of what is denied; nothing changes."""
    before = it.datastore.get_config(), it.configuration.candidate.configuration.get_config()
    with pytest.raises((RpcError, RpcErrors)) as refused:
        await edit(it, user, body, *roots, **how)
    after = it.datastore.get_config(), it.configuration.candidate.configuration.get_config()
    assert after == before
    ((tag, path),) = errors_of(refused.value)
    assert tag == DENIED
    return path


async def get(it: Managed, user: str, parameters: str = "") -> str:
    request = parse_request(operation(f"<get>{parameters}</get>"), now=datetime.now(UTC))
    assert isinstance(request, Get)
    pieces = await it.manager.get(request.filter, user, request.with_defaults)
    return b"".join(pieces).decode()


async def get_config(it: Managed, user: str, parameters: str = "", source: str = "running") -> str:
    text = f"<get-config><source><{source}/></source>{parameters}</get-config>"
    request = parse_request(operation(text), now=datetime.now(UTC), datastores=WITH_CANDIDATE)
    assert isinstance(request, GetConfig)
    pieces = await it.manager.get_config(
        request.filter, user, request.with_defaults, source=request.source
    )
    return b"".join(pieces).decode()


def xpath(select: str) -> str:
    return f'<filter type="xpath" xmlns:e="{ESC}" xmlns:n="{NACM_NS}" select="{select}"/>'


def tenant(name: str, body: str = "", attributes: str = "") -> str:
    return f"<tenants><tenant {attributes}><name>{name}</name>{body}</tenant></tenants>"


def away(element: str, inside: str, how: str = "delete") -> str:
    return f'<{element} nc:operation="{how}" xmlns:nc="{BASE}">{inside}</{element}>'


# reading


@pytest.mark.parametrize("read", [get, get_config])
async def test_a_reader_sees_neither_secrets_nor_their_sealed_form(it: Managed, read) -> None:
    seen = await read(it, "reader")

    assert "<name>t</name>" in seen
    assert "<name>os_password</name>" in seen
    assert SECRET not in seen
    assert not any(is_sealed(leaf.text or "") for leaf in etree.fromstring(f"<d>{seen}</d>").iter())
    places = ("data", "file", "src", "val", "value", "prop_value", "license_data", "license_file")
    for leaf in (*places, "file_server_password"):
        assert f"<{leaf}>" not in seen


async def test_a_reader_of_the_candidate_sees_no_more(it: Managed) -> None:
    await edit(it, "admin", tenant("new"), target="candidate")
    seen = await get_config(it, "reader", source="candidate")

    assert "<name>new</name>" in seen
    assert SECRET not in seen
    assert "$esc1$" not in seen


@pytest.mark.parametrize("read", [get, get_config])
@pytest.mark.parametrize(
    "filter_",
    [xpath("nacm"), xpath("/nacm/rule-list"), xpath("//n:rule"), xpath("/n:nacm/n:rule-list")],
)
async def test_an_administrator_asks_for_the_rules_by_name(it: Managed, read, filter_: str) -> None:
    seen = await read(it, "admin", filter_)

    assert "<name>owners</name>" in seen or "<name>own</name>" in seen
    assert "tenant>" not in seen


@pytest.mark.parametrize("read", [get, get_config])
async def test_whose_rights_count_is_found_out_on_the_loop(
    it: Managed, read, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given answers that are all made in a thread
    asked: list[int] = []
    rights = AccessControl.rights

    def watched(self: AccessControl, user: str) -> Rights:
        asked.append(threading.get_ident())
        return rights(self, user)

    monkeypatch.setattr(answers, "SMALL", 0)
    monkeypatch.setattr(AccessControl, "rights", watched)
    # when
    seen = await read(it, "reader")
    # then
    assert "<name>t</name>" in seen
    assert SECRET not in seen
    assert set(asked) == {threading.get_ident()}


async def test_an_administrator_sees_everything(it: Managed) -> None:
    seen = await get_config(it, "admin")

    assert f"<data>{SECRET}</data>" in seen
    assert seen.count("$esc1$") == 2
    assert "<rule-list><name>esc-admin</name>" in seen


@pytest.mark.parametrize(
    "filter_",
    [
        xpath("//e:tenant[.//e:data='canary']"),
        xpath("//tenant[.//val='canary']"),
        xpath("/e:esc_system_config//e:property[starts-with(e:value,'$esc1$')]"),
        xpath("//n:rule"),
        xpath("/nacm"),
        f'<filter><nacm xmlns="{NACM_NS}"/></filter>',
        (
            f'<filter><esc_datamodel xmlns="{ESC}"><file_servers><file_server><id/>'
            "<file_server_password>canary</file_server_password></file_server></file_servers>"
            "</esc_datamodel></filter>"
        ),
    ],
)
@pytest.mark.parametrize("read", [get, get_config])
async def test_no_filter_finds_what_may_not_be_read(it: Managed, read, filter_: str) -> None:
    assert "<name>" not in await read(it, "reader", filter_)


@pytest.mark.parametrize("read", [get, get_config])
async def test_defaults_do_not_stand_in_for_what_is_hidden(it: Managed, read) -> None:
    await edit(
        it,
        "admin",
        "",
        f'<nacm xmlns="{NACM_NS}" xmlns:e="{ESC}" xmlns:yang="{YANG_NS}">'
        '<rule-list yang:insert="first"><name>a</name><group>owners</group>'
        "<rule><name>r</name><path>/e:esc_datamodel/e:tenants/e:tenant/e:deployments/e:deployment"
        "/e:vm_group/e:scaling/e:elastic</path><action>deny</action></rule></rule-list></nacm>",
    )
    await edit(it, "admin", tenant("t", SERVICE.replace("d</name>", "e</name>", 1)))
    defaults = f'<with-defaults xmlns="{WITH_DEFAULTS_NS}">report-all</with-defaults>'

    assert "<elastic>" in await read(it, "admin", defaults)
    assert "<elastic>" not in await read(it, "t", defaults)


async def test_an_owner_sees_his_tenant_and_no_other(it: Managed) -> None:
    seen = await get_config(it, "t")

    assert "<name>t</name>" in seen
    assert f"<data>{SECRET}</data>" in seen
    assert "<name>u</name>" not in seen
    assert "<name>u</name>" not in await get_config(it, "t", xpath("//tenant[name='u']"))


async def test_who_may_read_nothing_gets_nothing(it: Managed) -> None:
    await edit(it, "admin", "", f'<nacm xmlns="{NACM_NS}"><read-default>deny</read-default></nacm>')

    assert await get(it, "reader") == ""
    assert await get_config(it, "reader", xpath("//*")) == ""
    assert "<name>t</name>" in await get(it, "esc-nc-admin")


async def test_the_counters_are_shown_to_administrators(it: Managed) -> None:
    await refusal(it, "reader", tenant("x"))
    it.manager._access.may_hear("reader", (ESC, "escEvent"))

    for parameters in ("", xpath("/nacm"), f'<filter><nacm xmlns="{NACM_NS}"/></filter>'):
        seen = await get(it, "admin", parameters)
        assert "<denied-data-writes>1</denied-data-writes>" in seen
        assert "<denied-operations>0</denied-operations>" in seen
        assert "<denied-notifications>0</denied-notifications>" in seen
    assert "denied-" not in await get_config(it, "admin")
    assert "denied-" not in await get(it, "reader")


# writing


@pytest.mark.parametrize("target", ["running", "candidate"])
async def test_a_reader_changes_nothing(it: Managed, target: str) -> None:
    assert await refusal(it, "reader", tenant("x"), target=target) == (
        "/esc:esc_datamodel/esc:tenants/esc:tenant[esc:name='x']"
    )
    await refusal(it, "reader", tenant("t", attributes='nc:operation="remove"'), target=target)
    assert it.manager._access.denied.data_writes == 2


async def test_a_test_is_denied_too(it: Managed) -> None:
    await refusal(it, "reader", tenant("x"), options="<test-option>test-only</test-option>")


@pytest.mark.parametrize("operation_", ["merge", "replace", "remove", "none"])
async def test_an_edit_without_effect_needs_no_right(it: Managed, operation_: str) -> None:
    name = "x" if operation_ == "remove" else "u"
    default = "none" if operation_ == "none" else "merge"
    attributes = "" if operation_ == "none" else f'nc:operation="{operation_}"'
    options = f"<default-operation>{default}</default-operation>"

    await edit(it, "reader", tenant(name, attributes=attributes), options=options)


async def test_a_replace_that_drops_something_is_a_deletion(it: Managed) -> None:
    path = await refusal(it, "reader", tenant("t", attributes='nc:operation="replace"'))

    assert path.startswith("/esc:esc_datamodel/esc:tenants/esc:tenant[esc:name='t']")


@pytest.mark.parametrize(
    "body",
    [
        SERVER,
        SERVER.replace(SECRET, "another guess"),
        SERVER.replace(
            "<file_server_password>",
            f'<file_server_password xmlns:nc="{BASE}" nc:operation="create">',
        ),
        tenant("t", SERVICE),
        tenant("t", SERVICE.replace(SECRET, "another guess")),
    ],
)
@pytest.mark.parametrize("target", ["running", "candidate"])
async def test_a_guess_at_a_secret_is_not_answered(it: Managed, target: str, body: str) -> None:
    path = await refusal(it, "reader", body, target=target)

    assert not path.endswith(("esc:data", "esc:val", "esc:file_server_password"))


@pytest.mark.parametrize("how", ["create", "delete", "remove", "merge", "replace"])
async def test_what_is_hidden_answers_no_edit(it: Managed, how: str) -> None:
    for name in ("u", "x"):  # there, and not there
        path = await refusal(it, "t", tenant(name, attributes=f'nc:operation="{how}"'))
        assert path == "/esc:esc_datamodel/esc:tenants"


async def test_hidden_rules_answer_no_edit(it: Managed) -> None:
    for how in ("create", "delete", "remove"):
        assert (
            await refusal(
                it, "reader", "", away("nacm", "", how).replace("<nacm", f'<nacm xmlns="{NACM_NS}"')
            )
            == ""
        )
    assert await refusal(it, "reader", "", OWNER) == ""


async def test_an_owner_changes_his_tenant_and_no_other(it: Managed) -> None:
    await edit(it, "t", tenant("t", "<networks><network><name>n</name></network></networks>"))
    await refusal(it, "t", "<flavors><flavor><name>x</name></flavor></flavors>")
    # all or nothing
    both = tenant("t", "<networks><network><name>m</name></network></networks>")
    await refusal(it, "t", both + "<flavors><flavor><name>x</name></flavor></flavors>")

    assert "<name>n</name>" in await get_config(it, "t")


async def test_an_owner_may_make_his_tenant(it: Managed) -> None:
    await edit(it, "w", tenant("w", SERVICE))
    await edit(it, "w", tenant("w", attributes='nc:operation="delete"'))

    assert "<name>w</name>" not in await get_config(it, "admin")


async def test_a_commit_is_judged_by_what_it_changes_and_who_commits(it: Managed) -> None:
    await edit(it, "admin", tenant("x"), target="candidate")
    with pytest.raises(RpcError) as refused:
        await it.configuration.commit(Commit(), 1, "reader")
    assert errors_of(refused.value)[0][0] == DENIED
    assert "<name>x</name>" not in await get_config(it, "admin")

    await it.configuration.commit(Commit(), 1, "admin")
    await it.configuration.commit(Commit(), 1, "reader")  # nothing is left to be changed
    assert "<name>x</name>" in await get_config(it, "admin")


async def test_what_nobody_confirms_is_taken_back_without_a_question(it: Managed) -> None:
    await edit(it, "t", tenant("t", "<vim_mapping>false</vim_mapping>"), target="candidate")
    with pytest.raises(RpcError):
        await it.configuration.commit(Commit(confirm_timeout=60), 1, "w")
    await edit(it, "admin", tenant("x"), target="candidate")
    it.configuration.discard_changes()
    await edit(
        it,
        "t",
        tenant("t", "<networks><network><name>n</name></network></networks>"),
        target="candidate",
    )
    await it.configuration.commit(Commit(confirm_timeout=60), 1, "t")
    await edit(
        it,
        "admin",
        "",
        away("rule-list", "<name>owners</name>").join((f'<nacm xmlns="{NACM_NS}">', "</nacm>")),
    )

    await it.configuration.cancel_commit(None, 1, "t")

    assert "<name>n</name>" not in await get_config(it, "admin")


async def test_a_copy_takes_what_its_author_may_read_and_change(it: Managed) -> None:
    from_candidate = CopyConfig(target=Datastore.RUNNING, source=Datastore.CANDIDATE)
    to_candidate = CopyConfig(target=Datastore.CANDIDATE, source=Datastore.RUNNING)
    await edit(it, "admin", tenant("x"), target="candidate")

    for copy in (from_candidate, to_candidate):
        with pytest.raises(RpcError) as refused:
            await it.configuration.copy_config(copy, 1, "reader")
        assert errors_of(refused.value)[0][0] == DENIED
    assert "<name>x</name>" not in await get_config(it, "admin")

    await it.configuration.copy_config(from_candidate, 1, "admin")
    assert "<name>x</name>" in await get_config(it, "admin")
    assert SECRET in await get_config(it, "admin")


async def test_a_faulty_datastore_tells_a_reader_only_that_it_is_one(it: Managed) -> None:
    wrong = "<file_servers><file_server><id>z</id></file_server></file_servers>"

    await edit(it, "admin", wrong, target="candidate", options="<test-option>set</test-option>")

    for user, tag in (("admin", "data-missing"), ("reader", "operation-failed")):
        with pytest.raises(RpcError) as wrong_:
            await it.configuration.validate(Datastore.CANDIDATE, user)
        assert errors_of(wrong_.value)[0][0] == tag


# the rules themselves


async def test_a_change_of_rules_counts_at_once(it: Managed) -> None:
    off = f'<nacm xmlns="{NACM_NS}"><enable-nacm>false</enable-nacm></nacm>'
    await refusal(it, "reader", tenant("x"))
    await edit(it, "admin", "", off)
    await edit(it, "reader", tenant("x"))

    assert SECRET in await get_config(it, "reader")


async def test_who_locked_himself_out_is_helped_by_the_local_client(it: Managed) -> None:
    gone = away("nacm", "").replace("<nacm", f'<nacm xmlns="{NACM_NS}"')
    await edit(it, "admin", "", gone)
    await refusal(it, "admin", tenant("x"))
    assert it.datastore.entry(RULES).xml == EMPTY
    assert first_rules(it.datastore) is None

    await edit(
        it,
        "esc-nc-admin",
        "",
        OWNER.replace("owners", "esc-admin").replace(
            "<path>/e:esc_datamodel/e:tenants/e:tenant[e:name=$USER]</path>", ""
        ),
    )
    await edit(it, "admin", tenant("x"))


async def test_moving_a_rule_is_a_change(it: Managed) -> None:
    guarded = (
        f'<nacm xmlns="{NACM_NS}" xmlns:n="{NACM_NS}"><rule-list><name>keepers</name>'
        "<group>owners</group><rule><name>r</name><path>/n:nacm</path>"
        "<access-operations>read create</access-operations><action>permit</action></rule>"
        "</rule-list></nacm>"
    )
    await edit(it, "admin", "", guarded)
    moved = (
        f'<nacm xmlns="{NACM_NS}" xmlns:yang="{YANG_NS}">'
        '<rule-list yang:insert="first"><name>keepers</name></rule-list></nacm>'
    )

    path = await refusal(it, "t", "", moved)

    assert path.startswith("/nacm:nacm/nacm:rule-list")
