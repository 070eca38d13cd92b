"""netconf_client: the RFC's operations as they are, and raw messages where they must be odd."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import pytest
from lxml import etree
from netconf_client.connect import connect_ssh
from netconf_client.error import RpcError
from netconf_client.ncclient import Manager

from tests.clients.client_contract import (
    BASE,
    ESC,
    LOG_BEGIN,
    SECONDS,
    ClientContract,
    Connect,
    Door,
    Filter,
    NetconfClient,
    Refused,
    XPath,
    canonical,
    esc_datamodel,
    filter_element,
    is_end_of_replay,
)
from tests.programs import ROOT

WITH_DEFAULTS = "urn:ietf:params:xml:ns:netconf:default:1.0"
MONITORING = "urn:ietf:params:xml:ns:yang:ietf-netconf-monitoring"


class NetconfClientManager:
    def __init__(self, manager: Manager) -> None:
        self.manager = manager

    def capabilities(self) -> Collection[str]:
        return list(self.manager.session.server_capabilities)

    def edit(self, config: str) -> None:
        try:
            self.manager.edit_config(f"<config>{config}</config>")
        except RpcError as error:
            raise Refused.by(error.reply_ele) from error

    def get(self, wanted: Filter) -> etree._Element:
        return self.manager.get(filter=filter_element(wanted)).data_ele

    def get_config(self, wanted: Filter) -> etree._Element:
        return self.manager.get_config(filter=filter_element(wanted)).data_ele

    def replay(self, chosen: XPath) -> list[etree._Element]:
        self.manager.create_subscription(
            stream="escEvent", filter=filter_element(chosen), start_time=LOG_BEGIN
        )
        told = []
        while True:
            notification = self.manager.take_notification(timeout=SECONDS)
            assert notification is not None, f"no end of the replay after {told}"
            message = notification.notification_ele
            if is_end_of_replay(message):
                return told
            told.append(message[1])

    def close(self) -> None:
        self.manager.close_session()


@pytest.fixture(scope="class")
def connect(door: Door) -> Connect:
    @contextmanager
    def log_in() -> Iterator[NetconfClient]:
        session = connect_ssh(
            host=door.host,
            port=door.port,
            username=door.user,
            password=door.password,
            initial_timeout=SECONDS,
        )
        with Manager(session, timeout=SECONDS) as manager:
            yield NetconfClientManager(manager)

    return log_in


class TestNetconfClient(ClientContract):
    pass


@pytest.fixture
def manager(client: NetconfClientManager) -> Manager:
    return client.manager


@pytest.fixture
def other(connect: Connect) -> Iterator[Manager]:
    with connect() as client:
        assert isinstance(client, NetconfClientManager)
        yield client.manager


def tag_of_refusal(ask, *arguments) -> str:
    with pytest.raises(RpcError) as refused:
        ask(*arguments)
    return refused.value.tag


def an_rpc(message_id: str, body: str) -> bytes:
    return f'<rpc xmlns="{BASE}" message-id="{message_id}">{body}</rpc>'.encode()


class TestWhatTheRfcAllows:
    def test_requests_that_do_not_wait_for_each_other_are_answered_in_order_under_any_id(
        self,
        manager: Manager,
    ) -> None:
        ids = [f"die {number}. Frage: größer" for number in range(100)]
        found = [
            manager.session.send_rpc(
                an_rpc(each, "<get-config><source><running/></source></get-config>")
            )
            for each in ids
        ]
        assert [reply.result(SECONDS)[1].get("message-id") for reply in found] == ids

    def test_white_space_before_the_declaration_and_prefixes_everywhere_are_understood(
        self,
        manager: Manager,
    ) -> None:
        message = (
            f'\n \t<?xml version="1.0" encoding="UTF-8"?>\n<nc:rpc xmlns:nc="{BASE}" '
            'xmlns:my="urn:my" my:mark="7" message-id="p"><nc:get-config><nc:source><nc:running/>'
            "</nc:source></nc:get-config></nc:rpc>\n"
        )
        _, reply = manager.session.send_rpc(message.encode()).result(SECONDS)
        assert dict(reply.attrib) == {"message-id": "p", "{urn:my}mark": "7"}
        assert reply[0].tag == f"{{{BASE}}}data"

    def test_prefixes_that_the_filter_declares_may_be_used_in_its_path(
        self, manager: Manager, tenant: str
    ) -> None:
        with_prefixes = f'/x:esc_datamodel/x:tenants/x:tenant[x:name="{tenant}"]/x:name'
        bare = f'/esc_datamodel/tenants/tenant[name="{tenant}"]/name'
        found = manager.get_config(filter=filter_element(XPath(with_prefixes), x=ESC)).data_ele
        assert [name.text for name in found.iter(f"{{{ESC}}}name")] == [tenant]
        same = manager.get_config(filter=filter_element(XPath(bare))).data_ele
        assert canonical(found) == canonical(same)

    def test_get_schema_gives_the_module_as_it_is_shipped(self, manager: Manager) -> None:
        asked = f'<get-schema xmlns="{MONITORING}"><identifier>esc</identifier></get-schema>'
        reply = etree.fromstring(manager.dispatch(asked).xml)
        assert reply.findtext(f"{{{MONITORING}}}data") == (ROOT / "yang" / "esc.yang").read_text()

    def test_defaults_are_reported_and_tagged_on_request(
        self, manager: Manager, tenant: str
    ) -> None:
        select = f'/esc_datamodel/tenants/tenant[name="{tenant}"]'
        explicit = manager.get_config(filter=filter_element(XPath(select))).data_ele
        tagged = manager.get_config(
            filter=filter_element(XPath(select)), with_defaults="report-all-tagged"
        ).data_ele
        leaves = [leaf for leaf in tagged.iter() if not len(leaf)]
        set_by_us = [leaf.text for leaf in leaves if not leaf.get(f"{{{WITH_DEFAULTS}}}default")]
        assert len(set_by_us) < len(leaves)
        assert set_by_us == [leaf.text for leaf in explicit.iter() if not len(leaf)]

    def test_a_lock_keeps_others_out_until_it_is_given_back(
        self, manager: Manager, other: Manager
    ) -> None:
        nothing = f"<config>{esc_datamodel('')}</config>"
        manager.lock("running")
        assert tag_of_refusal(other.lock, "running") == "lock-denied"
        assert tag_of_refusal(other.edit_config, nothing) == "in-use"
        manager.edit_config(nothing)
        manager.unlock("running")
        other.edit_config(nothing)

    def test_a_killed_session_leaves_its_lock(self, manager: Manager, other: Manager) -> None:
        other.lock("running")
        manager.kill_session(other.session_id)
        manager.lock("running")
        manager.unlock("running")
        assert tag_of_refusal(manager.kill_session, manager.session_id) == "invalid-value"

    def test_running_or_a_config_of_ones_own_is_validated(self, manager: Manager) -> None:
        manager.validate("running")
        wrong = f'<config xmlns="{BASE}">{esc_datamodel("<nonsense/>")}</config>'
        assert tag_of_refusal(manager.validate, etree.fromstring(wrong)) == "unknown-element"

    def test_a_copy_of_what_there_is_changes_nothing(self, manager: Manager, tenant: str) -> None:
        before = manager.get_config().data_ele
        copied = "".join(etree.tostring(child, encoding="unicode") for child in before)
        manager.copy_config(target="running", source=f"<config>{copied}</config>")
        assert canonical(manager.get_config().data_ele) == canonical(before)

    def test_an_edit_can_be_tried_without_being_made(self, manager: Manager) -> None:
        tenants = esc_datamodel("<tenants><tenant><name>only-tried</name></tenant></tenants>")
        manager.edit_config(f"<config>{tenants}</config>", test_option="test-only")
        select = '/esc_datamodel/tenants/tenant[name="only-tried"]'
        assert len(manager.get_config(filter=filter_element(XPath(select))).data_ele) == 0

    def test_a_candidate_is_prepared_in_steps_and_committed_whole(
        self, manager: Manager, tenant: str
    ) -> None:
        names = [f"{tenant}-{step}" for step in ("first", "second")]
        running = XPath(f'/esc_datamodel/tenants/tenant[starts-with(name, "{tenant}-")]/name')
        manager.lock("candidate")
        for name in names:
            step = esc_datamodel(f"<tenants><tenant><name>{name}</name></tenant></tenants>")
            manager.edit_config(f"<config>{step}</config>", target="candidate")
        assert len(manager.get_config(filter=filter_element(running)).data_ele) == 0
        manager.validate("candidate")
        manager.commit()
        manager.unlock("candidate")
        found = manager.get_config(filter=filter_element(running)).data_ele
        assert [name.text for name in found.iter(f"{{{ESC}}}name")] == names

    def test_a_commit_that_is_not_confirmed_is_taken_back(
        self, manager: Manager, tenant: str
    ) -> None:
        name = f"{tenant}-unsure"
        running = filter_element(XPath(f'/esc_datamodel/tenants/tenant[name="{name}"]'))
        unsure = esc_datamodel(f"<tenants><tenant><name>{name}</name></tenant></tenants>")
        manager.edit_config(f"<config>{unsure}</config>", target="candidate")
        manager.commit(confirmed=True, confirm_timeout=60, persist="mine")
        assert len(manager.get_config(filter=running).data_ele) == 1
        manager.cancel_commit("mine")
        assert len(manager.get_config(filter=running).data_ele) == 0

    def test_what_is_not_announced_is_refused_as_the_rfc_wants(self, manager: Manager) -> None:
        for ask, *arguments in (
            (manager.validate, "startup"),
            (manager.copy_config, "startup", "running"),
            (manager.get_data,),
        ):
            assert tag_of_refusal(ask, *arguments) == "operation-not-supported", ask
        for ask, *arguments in (
            (manager.delete_config, "running"),
            (manager.copy_config, "running", "running"),
        ):
            assert tag_of_refusal(ask, *arguments) == "invalid-value", ask

    def test_a_session_that_listens_reads_and_edits(self, manager: Manager, tenant: str) -> None:
        name = f"{tenant}-beside"
        chosen = filter_element(XPath(f'/escEvent[tenant="{name}"]'))
        manager.create_subscription(stream="escEvent", filter=chosen)
        tenants = esc_datamodel(f"<tenants><tenant><name>{name}</name></tenant></tenants>")
        manager.edit_config(f"<config>{tenants}</config>")
        event = manager.take_notification(timeout=SECONDS).notification_ele[1]
        assert event.findtext("{*}event/{*}type") == "CREATE_TENANT"
        assert (
            len(manager.get(filter=filter_element(XPath("netconf-state/sessions"))).data_ele) == 1
        )
