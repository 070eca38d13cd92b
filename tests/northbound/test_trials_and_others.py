"""What a confirmed commit may do to those who did not send it, and what they may do to it."""

import asyncio
import warnings
from collections.abc import AsyncIterator, Awaitable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from esc_daemon.access.first_start import LOCAL_CLIENT
from esc_daemon.datamodel.entries import RULES
from esc_daemon.datamodel.schema import Schema
from esc_daemon.netconf.errors import RpcError, RpcErrors
from esc_daemon.netconf.messages import WITH_CANDIDATE, Commit, EditConfig, parse_request
from esc_daemon.netconf.xml import BASE_NS, NACM_NS
from esc_daemon.northbound.configuration import Configuration
from esc_daemon.northbound.first_rules import first_rules
from esc_daemon.vim.simulator.faults import Fault, Rule, Verb
from tests.access_control import by_rules
from tests.northbound.managed import ESC, Managed, config, managed, operation, tenants

DAY = 86_400
MINE, YOURS = 1, 2
RULES_OF_BOB = (
    f'<nacm xmlns="{NACM_NS}" xmlns:n="{NACM_NS}" xmlns:e="{ESC}"><rule-list><name>players</name>'
    "<group>players</group>"
    "<rule><name>hidden</name>"
    "<path>/e:esc_datamodel/e:tenants/e:tenant[e:name='secretco']</path>"
    "<action>deny</action></rule>"
    "<rule><name>inside</name>"
    "<path>/e:esc_datamodel/e:tenants/e:tenant/e:networks/e:network[e:name='hidden']</path>"
    "<action>deny</action></rule>"
    "<rule><name>tenants</name><path>/e:esc_datamodel/e:tenants</path>"
    "<action>permit</action></rule>"
    "<rule><name>servers</name><path>/e:esc_datamodel/e:file_servers</path>"
    "<action>permit</action></rule>"
    "<rule><name>group</name><path>/n:nacm/n:groups/n:group[n:name='playground']</path>"
    "<action>permit</action></rule></rule-list></nacm>"
)
PLAYGROUND = (
    f'<nacm xmlns="{NACM_NS}"><groups><group><name>playground</name>'
    "<user-name>carol</user-name></group></groups></nacm>"
)


@pytest.fixture
async def it(schema: Schema) -> AsyncIterator[Managed]:
    async with managed(schema, groups={"bob": {"players"}}) as everything:
        await everything.engine.apply(first_rules(everything.datastore))
        await edit(everything, "admin", root=RULES_OF_BOB)
        yield everything


async def edit(
    it: Managed,
    user: str,
    body: str = "",
    *,
    root: str = "",
    target: str = "running",
    how: str = "",
) -> None:
    inside = (config(body) if body else "<config></config>").replace(
        "</config>", f"{root}</config>"
    )
    text = f"<edit-config><target><{target}/></target>{how}{inside}</edit-config>"
    request = parse_request(operation(text), now=datetime.now(UTC), datastores=WITH_CANDIDATE)
    assert isinstance(request, EditConfig)
    await it.configuration.edit_config(request, user)


def read_default(word: str) -> str:
    return f'<nacm xmlns="{NACM_NS}"><read-default>{word}</read-default></nacm>'


def a_network(name: str, tenant: str = "t", leaf: str = "") -> str:
    network = f"<networks><network><name>{name}</name>{leaf}</network></networks>"
    return f"<tenants><tenant><name>{tenant}</name>{network}</tenant></tenants>"


def a_volume(size: int) -> str:
    volume = f"<volumes><volume><name>disk</name><size>{size}</size></volume></volumes>"
    return f"<tenants><tenant><name>t</name>{volume}</tenant></tenants>"


NO_VOLUME = a_volume(2).replace("<volume>", f'<volume xmlns:nc="{BASE_NS}" nc:operation="delete">')


def a_server(name: str, host: str = "old", how: str = "merge") -> str:
    leaf = "" if how == "delete" else f"<base_url>http://{host}</base_url>"
    operation_ = f'xmlns:nc="{BASE_NS}" nc:operation="{how}"'
    server = f"<file_server {operation_}><id>{name}</id>{leaf}</file_server>"
    return f"<file_servers>{server}</file_servers>"


async def commit(it: Managed, user: str, session: int = MINE, **parameters: Any) -> None:
    await it.configuration.commit(Commit(**parameters), session, user)


async def refusal(awaitable: Awaitable[object]) -> RpcError:
    with pytest.raises((RpcError, RpcErrors)) as caught:
        await awaitable
    assert isinstance(caught.value, RpcError)
    return caught.value


async def names(it: Managed) -> list[str]:
    return [entry.path.name for entry in it.datastore.entries() if entry.path != RULES]


# a trial that stands in the way of others


async def test_a_commit_that_changes_nothing_leaves_nothing_waiting(it: Managed):
    await commit(it, "reader", confirm_timeout=DAY, persist="x")

    assert it.configuration.on_trial is None
    await edit(it, "admin", tenants("t"), target="candidate")
    await commit(it, "admin", YOURS)
    assert await names(it) == ["t"]


async def test_who_confirms_a_commit_that_changed_nothing_is_told_ok(it: Managed):
    # scripts confirm by the word that they gave, whether there was a difference or not
    await commit(it, "admin", confirm_timeout=60, persist="word")

    await commit(it, "admin", YOURS, persist_id="word")
    error = await refusal(commit(it, "admin", YOURS, persist_id="guess"))

    assert error.tag.value == "invalid-value"


async def test_who_may_not_remove_puts_no_removal_on_trial(it: Managed):
    await edit(it, "admin", tenants("t"))
    await edit(it, "admin", tenants("t", attributes='nc:operation="delete"'), target="candidate")

    error = await refusal(commit(it, "reader", confirm_timeout=60, persist="x"))

    assert error.tag.value == "access-denied"
    assert it.configuration.on_trial is None


async def test_what_cannot_be_taken_back_is_not_tried(it: Managed):
    # given: a volume that is to grow, which no VIM makes smaller again
    await edit(it, "admin", a_volume(2))
    await asyncio.sleep(1)
    await edit(it, "admin", a_volume(3), target="candidate")

    error = await refusal(commit(it, "admin", confirm_timeout=60, persist="x"))

    assert error.tag.value == "operation-not-supported"
    assert error.path.endswith("/esc:volume[esc:name='disk']/esc:size")
    assert "commit it without confirmation" in str(error)
    assert it.configuration.on_trial is None
    await commit(it, "admin")
    assert b"<size>3</size>" in b"".join(entry.xml for entry in it.datastore.entries())


async def test_what_waits_to_be_made_anew_is_as_hard_to_take_back(it: Managed):
    # given: a volume that comes again as soon as the one of before has gone
    await edit(it, "admin", a_volume(2))
    await asyncio.sleep(1)
    it.cloud.faults.add(Rule(fault=Fault.UNREACHABLE, verb=Verb.REMOVE_VOLUME))
    await edit(it, "admin", NO_VOLUME)
    await edit(it, "admin", a_volume(2))
    await edit(it, "admin", a_volume(3), target="candidate")

    error = await refusal(commit(it, "admin", confirm_timeout=60, persist="x"))

    assert error.tag.value == "operation-not-supported"
    assert it.configuration.on_trial is None


async def test_what_goes_with_its_trial_may_grow_by_another_one(it: Managed):
    # given: a volume that is taken away altogether if nobody confirms it
    await edit(it, "admin", a_volume(2), target="candidate")
    await commit(it, "admin", confirm_timeout=60, persist="x")
    await asyncio.sleep(1)
    await edit(it, "admin", a_volume(3), target="candidate")

    await commit(it, "admin", confirm_timeout=60, persist="x", persist_id="x")
    await commit(it, "admin", persist_id="x")
    assert b"<size>3</size>" in b"".join(entry.xml for entry in it.datastore.entries())


async def test_a_trial_may_not_last_for_longer_than_the_setting_says(it: Managed):
    await edit(it, "bob", tenants("t"), target="candidate")

    error = await refusal(commit(it, "bob", confirm_timeout=DAY + 1, persist="x"))

    assert error.tag.value == "invalid-value"
    assert error.path == "/nc:rpc/nc:commit/nc:confirm-timeout"
    assert "limits.confirm_seconds" in str(error)
    assert it.configuration.on_trial is None
    await commit(it, "bob", confirm_timeout=DAY, persist="x")
    assert it.configuration.on_trial == 0


@pytest.mark.parametrize("user", ["admin", LOCAL_CLIENT])
async def test_who_may_change_everything_cancels_what_outlives_its_session(it: Managed, user: str):
    await edit(it, "bob", tenants("t"), target="candidate")
    await commit(it, "bob", confirm_timeout=DAY, persist="x")

    for other in ("bob", "reader"):
        error = await refusal(it.configuration.cancel_commit(None, YOURS, other))
        assert error.tag.value == "invalid-value"
    await it.configuration.cancel_commit(None, YOURS, user)

    assert await names(it) == []
    assert it.configuration.on_trial is None


async def test_what_ends_with_its_session_is_ended_by_the_end_of_that(it: Managed):
    # a client that cleans up after its own commit was refused must not hit another's
    await edit(it, "bob", tenants("t"), target="candidate")
    await commit(it, "bob", confirm_timeout=60)

    error = await refusal(it.configuration.cancel_commit(None, YOURS, "admin"))

    assert error.tag.value == "in-use"
    assert "kill-session" in str(error)


# edits of what is on trial


async def test_nothing_that_others_changed_is_undone_with_a_trial(it: Managed):
    await edit(it, "bob", root=PLAYGROUND, target="candidate")
    await commit(it, "bob", confirm_timeout=60, persist="p")

    error = await refusal(edit(it, "admin", root=read_default("deny")))
    assert (error.tag.value, error.path) == ("in-use", "/nacm:nacm")
    await it.configuration.cancel_commit(None, YOURS, "admin")
    await edit(it, "admin", root=read_default("deny"))

    rules = it.datastore.entry(RULES)
    assert rules is not None
    assert b"<read-default>deny<" in rules.xml
    assert b"carol" not in rules.xml


async def test_an_edit_that_came_during_the_commit_is_refused_as_well(it: Managed):
    await edit(it, "bob", root=PLAYGROUND, target="candidate")
    under_way = asyncio.create_task(commit(it, "bob", confirm_timeout=60, persist="p"))
    await asyncio.sleep(0)

    error = await refusal(edit(it, "admin", root=read_default("deny")))
    await under_way

    assert error.tag.value == "in-use"


async def test_nothing_is_put_into_a_tenant_on_trial(it: Managed):
    await edit(it, "bob", tenants("t"), target="candidate")
    await commit(it, "bob", confirm_timeout=60, persist="p")

    error = await refusal(edit(it, "admin", a_network("n")))

    assert error.tag.value == "in-use"
    assert error.path.endswith("tenant[esc:name='t']/esc:networks/esc:network[esc:name='n']")


async def test_what_stood_in_the_tenant_before_does_not_hinder_others(it: Managed):
    await edit(it, "admin", tenants("t"))
    await edit(it, "bob", a_network("n"), target="candidate")
    await commit(it, "bob", confirm_timeout=60, persist="p")
    await edit(it, "admin", a_network("m"))

    await it.configuration.cancel_commit("p", YOURS, "bob")

    assert await names(it) == ["t", "m"]


@pytest.mark.parametrize("restarted", [False, True])
async def test_what_others_removed_is_not_brought_back(
    it: Managed, schema: Schema, *, restarted: bool
):
    # given two entries that a trial changed, one of which is removed meanwhile
    for name in "ab":
        await edit(it, "admin", a_server(name))
        await edit(it, "bob", a_server(name, "new"), target="candidate")
    await commit(it, "bob", confirm_timeout=60, persist="p")
    await edit(it, "admin", a_server("a", how="delete"))

    if restarted:
        await it.configuration.close()
        access = by_rules(schema, it.datastore, {})
        next_one = Configuration(datastore=it.datastore, engine=it.engine, access=access)
        await next_one.take_back(await it.store.undo())
    else:
        await it.configuration.cancel_commit("p", YOURS, "bob")

    assert await names(it) == ["b"]
    assert b"http://old" in b"".join(it.datastore.get_config())
    assert await it.store.undo() == []


async def test_what_a_trial_made_anew_after_a_removal_goes_altogether(it: Managed):
    await edit(it, "admin", a_server("a"))
    await edit(it, "bob", a_server("a", "new"), target="candidate")
    await commit(it, "bob", confirm_timeout=60, persist="p")
    await edit(it, "admin", a_server("a", how="delete"))
    await edit(it, "bob", a_server("a", "newer"), target="candidate")
    await commit(it, "bob", confirm_timeout=60, persist="p", persist_id="p")

    await it.configuration.cancel_commit("p", YOURS, "bob")

    assert await names(it) == []


# what a commit tells


async def test_a_commit_tells_no_name_that_its_author_may_not_see(it: Managed):
    await edit(it, "admin", tenants("secretco"))
    await edit(it, "admin", a_network("n", "secretco"), target="candidate")
    await edit(it, "admin", a_network("n", "secretco", "<vlanid>7</vlanid>"))

    error = await refusal(commit(it, "bob"))

    assert error.tag.value == "access-denied"
    assert "secretco" not in error.path + str(error)


async def test_the_removal_of_a_tenant_tells_no_name_of_what_came_into_it(it: Managed):
    await edit(it, "admin", tenants("t"))
    await edit(it, "bob", tenants("t", attributes='nc:operation="delete"'), target="candidate")
    await edit(it, "admin", a_network("hidden"))

    error = await refusal(commit(it, "bob"))

    assert error.tag.value == "access-denied"
    assert "hidden" not in error.path + str(error)
    assert (await refusal(commit(it, "admin"))).tag.value == "in-use"


async def test_a_test_of_the_candidate_tells_no_name_either(it: Managed):
    await edit(it, "admin", tenants("secretco"))
    await edit(it, "admin", a_network("n", "secretco"), target="candidate")
    await edit(it, "admin", a_network("n", "secretco", "<vlanid>7</vlanid>"))

    for option in ("test-only", "test-then-set"):
        how = f"<test-option>{option}</test-option>"
        error = await refusal(edit(it, "bob", tenants("t"), target="candidate", how=how))
        assert error.tag.value == "operation-failed"
        assert "secretco" not in error.path + str(error)


# rights that are taken away meanwhile


@pytest.mark.parametrize("way", ["edit", "commit"])
async def test_an_edit_that_waited_is_judged_by_the_rules_of_then(it: Managed, way: str):
    # given an edit of the rules by who loses the right to, behind one that takes it from him
    if way == "commit":
        await edit(it, "bob", root=PLAYGROUND, target="candidate")
    taken = (
        f'<nacm xmlns="{NACM_NS}" xmlns:nc="{BASE_NS}">'
        '<rule-list nc:operation="delete"><name>players</name></rule-list></nacm>'
    )
    first = asyncio.create_task(edit(it, "admin", root=taken))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    second = commit(it, "bob") if way == "commit" else edit(it, "bob", root=PLAYGROUND)
    error = await refusal(second)
    await first

    assert error.tag.value == "access-denied"
    rules = it.datastore.entry(RULES)
    assert rules is not None
    assert b"carol" not in rules.xml


async def test_a_removal_that_was_taken_out_of_the_commit_does_not_come_back_with_a_discard(
    it: Managed,
):
    # given a removal that waits, and that its client has put a change in place of
    await edit(it, "admin", a_server("a"))
    await edit(it, "bob", a_server("a", how="delete"), target="candidate")
    await commit(it, "bob", confirm_timeout=60)
    await edit(it, "bob", a_server("a", "new"), target="candidate")
    # when the candidate is discarded while that is confirmed
    confirming = asyncio.create_task(commit(it, "bob"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # it is being stored
    it.configuration.discard_changes()
    await confirming
    # then nothing of it is left in the candidate
    await edit(it, "admin", a_server("a", "newer"))
    it.configuration.discard_changes()
    await commit(it, "admin", YOURS)
    assert await names(it) == ["a"]


async def test_a_session_that_is_cleaned_up_without_a_loop_begins_nothing(it: Managed):
    # given
    await it.edit(tenants("t"), target="candidate")
    await it.configuration.commit(Commit(confirm_timeout=60), MINE, "admin")

    def ends() -> None:
        with suppress(RuntimeError):  # there is no loop
            it.configuration.session_ended(MINE)

    # when: as at the end of a process whose loop is gone
    with ThreadPoolExecutor(1) as elsewhere, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        elsewhere.submit(ends).result()
    # then
    assert warned == []
