"""A commit that waits for its confirmation (RFC 6241 section 8.4; ruling 15)."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from esc_daemon.datamodel.schema import Schema
from esc_daemon.domain.ids import Kind
from esc_daemon.domain.record import DeploymentRecord
from esc_daemon.domain.states import ServiceState
from esc_daemon.netconf.errors import RpcError
from esc_daemon.netconf.messages import Commit, CopyConfig, Datastore
from esc_daemon.northbound.configuration import Configuration
from esc_daemon.store.base import StoreFull
from tests.access_control import open_to_all
from tests.northbound.managed import (
    ESC,
    GROUP,
    SPARE,
    Managed,
    operation,
    service,
    tenants,
)

pytestmark = pytest.mark.looptime(start=0, end=3600)

MINE, YOURS = 1, 2


GONE = tenants("t", attributes='nc:operation="delete"')


A_NETWORK = "<networks><network><name>n</name></network></networks>"
NO_NETWORK = A_NETWORK.replace("<network>", '<network nc:operation="delete">')
ITS_SUBNET = A_NETWORK.replace(
    "</network>",
    "<subnet><name>s</name><address>10.0.0.0</address><netmask>255.0.0.0</netmask></subnet>"
    "</network>",
)


def a_network_in(tenant: str) -> str:
    return f"<tenants><tenant><name>{tenant}</name>{A_NETWORK}</tenant></tenants>"


async def commit(it: Managed, session: int = MINE, **parameters: Any) -> None:
    await it.configuration.commit(Commit(**parameters), session, "admin")


async def names(it: Managed) -> list[str]:
    """Return the tenants of running."""
    return [entry.path.name for entry in it.datastore.entries()]


async def refused(it: Managed, session: int = MINE, **parameters: Any) -> str:
    with pytest.raises(RpcError) as caught:
        await commit(it, session, **parameters)
    return caught.value.tag.value


async def commit_a_service_elsewhere(it: Managed) -> None:
    """Let wait, on trial, a connector and a service that lives in it."""
    located = GROUP.replace("</name>", f"</name><locator><vim_id>{SPARE}</vim_id></locator>", 1)
    connector = f"<vim_connector><id>{SPARE}</id><type>SIMULATOR</type></vim_connector>"
    config = operation(
        f'<x><config><esc_datamodel xmlns="{ESC}">{service(located)}</esc_datamodel>'
        f'<esc_system_config xmlns="{ESC}"><vim_connectors>{connector}</vim_connectors>'
        "</esc_system_config></config></x>"
    )[0]
    request = CopyConfig(target=Datastore.CANDIDATE, source=config)
    await it.configuration.copy_config(request, MINE, "admin")
    await commit(it, confirm_timeout=60)


async def settled(it: Managed) -> None:
    """Let the way back, which nobody waits for, be gone."""
    await asyncio.sleep(1)


async def test_what_is_confirmed_in_time_stays(it: Managed):
    await it.edit(tenants("t"), target="candidate")
    await commit(it, confirm_timeout=60)
    assert await names(it) == ["t"]

    await asyncio.sleep(59)
    await commit(it)

    await asyncio.sleep(600)
    assert await names(it) == ["t"]
    assert await it.store.undo() == []


async def test_an_update_of_a_deployment_that_nobody_confirms_is_taken_back(it: Managed):
    # given
    await it.edit(service())
    await asyncio.sleep(60)
    two = GROUP.replace("_active>1<", "_active>2<")
    await it.edit(service(two), target="candidate")
    # when: the first try comes while the update is under way, and is refused
    await commit(it, confirm_timeout=1)
    assert "<max_active>2<" in await it.get_config()
    await asyncio.sleep(600)
    # then
    assert "<max_active>1<" in await it.get_config()
    (record,) = [each for each in it.engine.records() if each.key.kind is Kind.DEPLOYMENT]
    assert isinstance(record, DeploymentRecord)
    assert [vm.index for vm in record.vms.values()] == [0]
    assert record.state is ServiceState.ACTIVE


async def test_the_log_says_why_a_commit_was_taken_back(it: Managed):
    told = []
    for ending in ("time", "session", "cancel"):
        await it.edit(tenants("t"), target="candidate")
        await commit(it, confirm_timeout=60)
        with capture_logs() as lines:
            if ending == "session":
                it.configuration.session_ended(MINE)
            elif ending == "cancel":
                await it.configuration.cancel_commit(None, MINE, "admin")
            await asyncio.sleep(61)
        told += [line["why"] for line in lines if line["event"] == "commit.taken_back"]

    assert told == [
        "nobody confirmed it in time",
        "session 1 ended",
        "session 1 of admin cancelled it",
    ]


async def test_what_nobody_confirms_is_taken_back(it: Managed):
    await it.edit(tenants("old"))
    await it.edit(tenants("new"), target="candidate")
    await commit(it, confirm_timeout=60)
    assert await names(it) == ["old", "new"]

    await asyncio.sleep(61)

    assert await names(it) == ["old"]
    assert await it.store.undo() == []
    assert it.configuration.on_trial is None
    assert not it.configuration.candidate_changed


async def test_what_is_removed_goes_only_when_it_is_confirmed(it: Managed):
    # a service that was removed could not be brought back as it was
    await it.edit(tenants("t"))
    await it.edit(tenants("t", attributes='nc:operation="delete"'), target="candidate")

    await commit(it, confirm_timeout=60)
    assert await names(it) == ["t"]
    await commit(it)

    assert await names(it) == []


async def test_a_discarded_candidate_does_not_forget_what_is_to_be_removed(it: Managed):
    await it.edit(tenants("t"))
    await it.edit(tenants("t", attributes='nc:operation="delete"'), target="candidate")
    await commit(it, confirm_timeout=60)

    it.configuration.discard_changes()
    await commit(it)

    assert await names(it) == []


async def test_a_further_confirmed_commit_prolongs_the_trial(it: Managed):
    await it.edit(tenants("a"), target="candidate")
    await commit(it, confirm_timeout=60)
    await asyncio.sleep(50)
    await it.edit(tenants("b"), target="candidate")
    await commit(it, confirm_timeout=60)

    await asyncio.sleep(50)
    assert await names(it) == ["a", "b"]
    await asyncio.sleep(20)

    assert await names(it) == []


async def test_what_could_not_be_stored_stays_in_the_candidate_and_goes_with_the_confirmation(
    it: Managed, monkeypatch: pytest.MonkeyPatch
):
    # given a trial, and more that was to prolong it when the disk was full
    async def full(_: object) -> None:
        raise StoreFull("no room on the disk")

    await it.edit(tenants("a"), target="candidate")
    await commit(it, confirm_timeout=60)
    await it.edit(tenants("b"), target="candidate")
    with monkeypatch.context() as disk:
        disk.setattr(it.engine, "apply", full)
        assert await refused(it, confirm_timeout=60) == "resource-denied"
    assert await names(it) == ["a"]

    # when it is confirmed: an ordinary commit, of all that the candidate holds
    await commit(it)

    await asyncio.sleep(600)
    assert await names(it) == ["a", "b"]
    assert await it.store.undo() == []


async def test_what_was_made_anew_after_its_way_back_stays_when_the_daemon_dies(
    it: Managed, schema: Schema
):
    # given a trial whose tenant is back already, but not the connector that others use
    await commit_a_service_elsewhere(it)
    await asyncio.sleep(5)
    with pytest.raises(RpcError):
        await it.configuration.cancel_commit(None, MINE, "admin")
    await it.edit(tenants("t"))

    # when the daemon is started anew
    await it.configuration.close()
    again = Configuration(datastore=it.datastore, engine=it.engine, access=open_to_all(schema))
    await again.take_back(await it.store.undo())
    await asyncio.sleep(600)

    assert await names(it) == ["t"]
    await again.close()


async def test_the_end_of_the_session_takes_its_commit_back(it: Managed):
    await it.edit(tenants("t"), target="candidate")
    await commit(it, confirm_timeout=60)

    it.configuration.session_ended(YOURS)
    await settled(it)
    assert await names(it) == ["t"]
    it.configuration.session_ended(MINE)
    await settled(it)

    assert await names(it) == []


async def test_with_a_persist_any_session_may_confirm_that_knows_it(it: Managed):
    await it.edit(tenants("t"), target="candidate")
    await commit(it, confirm_timeout=60, persist="word")
    it.configuration.session_ended(MINE)
    await settled(it)
    assert it.configuration.on_trial == 0

    assert await refused(it, YOURS) == "invalid-value"
    assert await refused(it, YOURS, persist_id="guess") == "invalid-value"
    await commit(it, YOURS, persist_id="word")

    await asyncio.sleep(600)
    assert await names(it) == ["t"]


async def test_nobody_commits_over_a_commit_that_waits_for_another(it: Managed):
    await it.edit(tenants("t"), target="candidate")
    await commit(it, confirm_timeout=60)

    assert await refused(it, YOURS) == "in-use"
    assert await refused(it, MINE, persist_id="word") == "invalid-value"


async def test_a_commit_is_cancelled_by_its_owner(it: Managed):
    with pytest.raises(RpcError, match="no confirmed commit"):
        await it.configuration.cancel_commit(None, MINE, "admin")
    await it.edit(tenants("t"), target="candidate")
    await commit(it, confirm_timeout=60)

    with pytest.raises(RpcError):
        await it.configuration.cancel_commit(None, YOURS, "admin")
    await it.configuration.cancel_commit(None, MINE, "admin")

    assert await names(it) == []


async def test_a_persist_id_without_a_commit_that_waits_is_refused(it: Managed):
    await it.edit(tenants("t"), target="candidate")

    assert await refused(it, persist_id="word") == "invalid-value"
    assert await names(it) == []


async def test_what_was_on_trial_when_the_daemon_died_is_taken_back(it: Managed, schema: Schema):
    await it.edit(tenants("old"))
    await it.edit(tenants("new"), target="candidate")
    await commit(it, confirm_timeout=60)
    await it.configuration.close()

    # when another daemon finds it
    next_one = Configuration(datastore=it.datastore, engine=it.engine, access=open_to_all(schema))
    await next_one.take_back(await it.store.undo())

    assert await names(it) == ["old"]
    assert await it.store.undo() == []


async def test_what_is_put_into_a_tenant_on_trial_goes_with_it(it: Managed):
    await it.edit(tenants("t"), target="candidate")
    await commit(it, confirm_timeout=60)
    await it.edit(a_network_in("t"), target="candidate")
    await commit(it, confirm_timeout=60)

    await asyncio.sleep(61)

    assert await it.store.entries() == []
    assert list(it.engine.records()) == []


async def test_nothing_comes_into_a_tenant_that_is_to_go(it: Managed):
    await it.edit(tenants("t"))
    await it.edit(GONE, target="candidate")
    await commit(it, confirm_timeout=600)

    with pytest.raises(RpcError, match=r"network n is on trial .* of session 1:") as caught:
        await it.edit(a_network_in("t"))
    assert caught.value.tag.value == "in-use"
    it.configuration.discard_changes()
    await commit(it)

    assert await it.store.entries() == []
    await settled(it)
    assert list(it.engine.records()) == []


async def test_what_the_candidate_has_again_does_not_go(it: Managed):
    await it.edit(tenants("t"))
    await it.edit(GONE, target="candidate")
    await commit(it, confirm_timeout=60)

    await it.edit(tenants("t"), target="candidate")
    await commit(it)

    assert await names(it) == ["t"]


async def test_nobody_changes_what_is_to_go_so_that_it_is_removed_unseen(it: Managed):
    # discarded by a third session, the candidate would take what it is by now for what it was
    await it.edit(A_NETWORK)
    await it.edit(NO_NETWORK, target="candidate")
    await commit(it, confirm_timeout=60)

    with pytest.raises(RpcError, match=r"network n is on trial .* of session 1:") as caught:
        await it.edit(ITS_SUBNET)
    assert caught.value.tag.value == "in-use"
    it.configuration.discard_changes()
    await commit(it)

    assert await names(it) == []


async def test_a_change_that_came_during_the_commit_of_its_removal_is_refused_as_well(it: Managed):
    await it.edit(A_NETWORK)
    await it.edit(NO_NETWORK, target="candidate")
    under_way = asyncio.create_task(commit(it, confirm_timeout=60, persist="word"))
    await asyncio.sleep(0)

    with pytest.raises(RpcError, match="network n is on trial by a confirmed commit:"):
        await it.edit(ITS_SUBNET)
    await under_way


async def test_a_change_that_is_being_stored_when_its_removal_is_committed_is_not_removed_unseen(
    it: Managed,
):
    await it.edit(A_NETWORK)
    await it.edit(NO_NETWORK, target="candidate")
    changing = asyncio.create_task(it.edit(ITS_SUBNET))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert await refused(it, confirm_timeout=60) == "in-use"

    await changing
    assert it.configuration.on_trial is None


@pytest.mark.parametrize("confirmed", [False, True])
async def test_once_a_commit_has_ended_what_was_to_go_is_free(it: Managed, *, confirmed: bool):
    await it.edit(A_NETWORK)
    await it.edit(NO_NETWORK, target="candidate")
    await commit(it, confirm_timeout=60)
    if confirmed:
        await commit(it)
    else:
        await it.configuration.cancel_commit(None, MINE, "admin")

    await it.edit(ITS_SUBNET)

    assert "10.0.0.0" in await it.get_config()


async def test_what_is_to_go_may_be_removed_by_others_and_made_anew(it: Managed):
    await it.edit(A_NETWORK)
    await it.edit(NO_NETWORK, target="candidate")
    await commit(it, confirm_timeout=60)

    await it.edit(NO_NETWORK)
    await it.edit(ITS_SUBNET)
    await commit(it)

    assert await names(it) == ["n"]


async def test_what_was_to_go_is_in_the_candidate_again_once_the_commit_is_cancelled(it: Managed):
    await it.edit(tenants("t"))
    await it.edit(GONE, target="candidate")
    await commit(it, confirm_timeout=60)
    assert not it.configuration.candidate_changed

    await it.configuration.cancel_commit(None, MINE, "admin")

    assert await it.get_config(source="candidate") == await it.get_config()
    await commit(it)
    assert await names(it) == ["t"]


async def test_a_session_that_ends_during_its_commit_confirms_nothing(it: Managed):
    await it.edit(tenants("t"), target="candidate")
    under_way = asyncio.create_task(commit(it, confirm_timeout=600))
    await asyncio.sleep(0)

    it.configuration.session_ended(MINE)
    await under_way
    await settled(it)

    assert await names(it) == []
    assert it.configuration.on_trial is None


async def test_who_validates_during_a_commit_changes_nothing_for_who_edits(it: Managed):
    await it.edit(tenants("a"), target="candidate")
    under_way = asyncio.create_task(commit(it))
    await asyncio.sleep(0)
    await it.edit(a_network_in("a"), target="candidate")
    await it.configuration.validate(Datastore.CANDIDATE, "admin")
    await under_way

    await commit(it)

    assert await names(it) == ["a", "n"]


async def test_a_copy_is_no_confirmation(it: Managed):
    await it.edit(tenants("t"), target="candidate")
    await commit(it, confirm_timeout=60)

    request = CopyConfig(target=Datastore.RUNNING, source=Datastore.CANDIDATE)
    with pytest.raises(RpcError) as caught:
        await it.configuration.copy_config(request, MINE, "admin")

    assert caught.value.tag.value == "in-use"
    await asyncio.sleep(61)
    assert await names(it) == []


async def test_a_prolonged_commit_is_not_taken_back_for_the_end_of_its_first_session(it: Managed):
    await it.edit(tenants("t"), target="candidate")
    await commit(it, confirm_timeout=60)

    # when the session ends while it gives the commit a life of its own
    under_way = asyncio.create_task(commit(it, confirm_timeout=600, persist="word"))
    await asyncio.sleep(0)
    it.configuration.session_ended(MINE)
    await under_way
    await settled(it)

    assert await names(it) == ["t"]
    assert it.configuration.on_trial == 0


async def test_what_the_way_back_finds_gone_is_no_error(it: Managed):
    await it.edit(tenants("a", "b"), target="candidate")
    await commit(it, confirm_timeout=60)
    await it.edit(tenants("a", attributes='nc:operation="delete"'))

    await it.configuration.cancel_commit(None, MINE, "admin")

    assert await names(it) == []


async def test_what_cannot_be_taken_back_yet_is_taken_back_later(it: Managed):
    await commit_a_service_elsewhere(it)
    await asyncio.sleep(5)

    # when its VMs still have to leave
    with pytest.raises(RpcError) as caught:
        await it.configuration.cancel_commit(None, MINE, "admin")

    assert caught.value.tag.value == "rollback-failed"
    left = [(entry.path.kind, entry.path.name) for entry in it.datastore.entries()]
    assert left == [(Kind.VIM_CONNECTOR, SPARE)]
    assert [each.path.kind for each in await it.store.undo()] == [Kind.VIM_CONNECTOR]
    assert await refused(it) == "in-use"
    await asyncio.sleep(600)
    assert await names(it) == []
    assert await it.store.undo() == []
    assert it.configuration.on_trial is None
