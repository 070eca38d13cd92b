"""The candidate over the real manager: what is activated, and when (RFC 6241 section 8.3)."""

import asyncio
from typing import Any

import pytest

from esc_daemon.netconf.errors import RpcError, RpcErrors
from esc_daemon.netconf.messages import Commit, CopyConfig, Datastore
from tests.northbound.managed import GROUP, Managed, errors_of, operation, service, tenants

TEST = "<test-option>test-then-set</test-option>"
TEST_ONLY = "<test-option>test-only</test-option>"
CHANGED = service(GROUP.replace(">60<", ">61<"))
"""A change of a deployment that is still being deployed, which is refused."""

INCOMPLETE = GROUP.replace(
    "<scaling>", "<kpi_data><kpi><event_name>E</event_name></kpi></kpi_data><scaling>"
)
"""A KPI without what is measured."""


async def commit(it: Managed, session: int = 1, **parameters: Any) -> None:
    await it.configuration.commit(Commit(**parameters), session, "admin")


async def test_a_commit_activates_what_the_candidate_holds(it: Managed):
    # given a service, written in two steps
    await it.edit(tenants("t"), target="candidate")
    await it.edit(service(), target="candidate")
    assert (await it.get_config(), await it.events()) == ("", 0)
    assert "<name>d</name>" in await it.get_config(source="candidate")

    await commit(it)

    assert await it.get_config() == await it.get_config(source="candidate")
    assert {record.key.kind for record in it.engine.records()} == {"tenant", "deployment"}
    assert not it.configuration.candidate_changed


async def test_a_commit_that_the_engine_refuses_changes_nothing(it: Managed):
    await it.edit(service())
    await it.edit(CHANGED, target="candidate")

    for refused in (
        commit(it),
        it.configuration.validate(Datastore.CANDIDATE, "admin"),
    ):
        with pytest.raises(RpcError) as caught:
            await refused
        assert caught.value.tag.value == "in-use"

    assert ">60<" in await it.get_config()
    assert ">61<" in await it.get_config(source="candidate")


@pytest.mark.parametrize("option", [TEST, TEST_ONLY])
async def test_an_edit_of_the_candidate_is_tested_when_that_is_asked_for(it: Managed, option: str):
    await it.edit(service())

    with pytest.raises(RpcError):
        await it.edit(CHANGED, option, target="candidate")

    assert not it.configuration.candidate_changed


async def test_a_test_of_the_candidate_alone_changes_nothing(it: Managed):
    await it.edit(tenants("t"), TEST_ONLY, target="candidate")
    assert not it.configuration.candidate_changed

    await it.edit(tenants("t"), TEST, target="candidate")
    assert it.configuration.candidate_changed


async def test_a_candidate_may_be_wrong_until_it_is_committed(it: Managed):
    await it.edit(service(INCOMPLETE), target="candidate")

    with pytest.raises((RpcError, RpcErrors)) as caught:
        await commit(it)

    assert errors_of(caught.value)[0][0] == "data-missing"
    assert it.configuration.candidate_changed


async def test_two_commits_at_once_commit_once(it: Managed):
    await it.edit(tenants("t"), target="candidate")

    await asyncio.gather(commit(it), commit(it))

    assert await it.events() <= 1
    assert "<name>t</name>" in await it.get_config()


async def copy(it: Managed, target: Datastore, source: Datastore) -> None:
    await it.configuration.copy_config(CopyConfig(target=target, source=source), 1, "admin")


async def test_copied_to_running_the_candidate_is_committed(it: Managed):
    await it.edit(tenants("t"), target="candidate")

    await copy(it, Datastore.RUNNING, Datastore.CANDIDATE)

    assert "<name>t</name>" in await it.get_config()


async def test_running_copied_over_the_candidate_discards_its_changes(it: Managed):
    await it.edit(tenants("t"), target="candidate")

    await copy(it, Datastore.CANDIDATE, Datastore.RUNNING)

    assert await it.get_config(source="candidate") == ""


async def test_a_whole_configuration_copied_into_the_candidate_replaces_it(it: Managed):
    await it.edit(tenants("t"))
    config = operation(
        '<x><config><esc_datamodel xmlns="http://www.cisco.com/esc/esc">'
        f"{tenants('u')}</esc_datamodel></config></x>"
    )[0]

    request = CopyConfig(target=Datastore.CANDIDATE, source=config)
    await it.configuration.copy_config(request, 1, "admin")

    shown = await it.get_config(source="candidate")
    assert "<name>u</name>" in shown
    assert "<name>t</name>" not in shown
    assert "<name>t</name>" in await it.get_config()
