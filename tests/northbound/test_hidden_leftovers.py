"""Leftovers of tenants: who sees them, and who may act upon them (the rules of docs/access.md)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from esc_daemon.datamodel.schema import Schema
from esc_daemon.domain.leftovers import LeftoverRef, leftovers_of
from esc_daemon.domain.policy import Policy
from esc_daemon.netconf.errors import RpcError
from esc_daemon.netconf.messages import EditConfig, Get, parse_request
from esc_daemon.netconf.xml import NACM_NS
from esc_daemon.northbound.first_rules import first_rules
from esc_daemon.vim.simulator.faults import Fault, Rule, Verb
from tests.northbound.managed import BASE, ESC, GROUP, Managed, errors_of, managed, operation

OWNED = "/e:esc_datamodel/e:tenants/e:tenant"
STATE = "/e:esc_datamodel/e:opdata/e:tenants/e:tenant"
ACT = (
    "<rule><name>act</name><module-name>esc</module-name><rpc-name>leftoverAction</rpc-name>"
    "<action>permit</action></rule>"
)


def rule(name: str, path: str, action: str, accesses: str = "*") -> str:
    return (
        f"<rule><name>{name}</name><path>{path}</path>"
        f"<access-operations>{accesses}</access-operations><action>{action}</action></rule>"
    )


def rules(group: str, *rules: str) -> str:
    return f"<rule-list><name>{group}</name><group>{group}</group>{''.join(rules)}{ACT}</rule-list>"


RULES = (
    f'<nacm xmlns="{NACM_NS}" xmlns:e="{ESC}">'
    + rules(
        "owners",
        rule("own", f"{OWNED}[e:name=$USER]", "permit"),
        rule("others", OWNED, "deny"),
        rule("own-state", f"{STATE}[e:name=$USER]", "permit", "read"),
        rule("state-of-others", STATE, "deny"),
    )
    + rules("readers")
    + rules("blind", rule("d", f"{OWNED}/e:deployments/e:deployment[e:name='d']", "deny"))
    + rules("operators", rule("all", "/e:esc_datamodel/e:tenants", "permit"))
    + "</nacm>"
)
LEFT = ["", "t", "t", "u", "u", "u"]
"""The tenants of the leftovers: of the root, t with its network, u with its network and VM."""
GROUPS = {
    "t": {"owners"},
    "w": {"owners"},
    "rita": {"readers"},
    "ben": {"blind"},
    "otto": {"operators"},
}


DELETED = f'xmlns:nc="{BASE}" nc:operation="delete"'


def tenants(attributes: str = "") -> str:
    """Return a network of the root, one of t and one of u, and a deployment of u."""
    network = "<networks><network><name>n</name></network></networks>"
    deployment = f"<deployments><deployment><name>d</name>{GROUP}</deployment></deployments>"
    entries = (
        f"<tenant {attributes}><name>{name}</name>{network}{inside}</tenant>"
        for name, inside in (("t", ""), ("u", deployment))
    )
    shared = f"<networks><network {attributes}><name>shared</name></network></networks>"
    return f"{shared}<tenants>{''.join(entries)}</tenants>"


@pytest.fixture(scope="module")
def schema() -> Schema:
    return Schema.load()


@pytest.fixture
async def it(schema: Schema) -> AsyncIterator[Managed]:
    """Given leftovers of the tenants t and u, and one of the root; w owns nothing."""
    policy = Policy(removal_tries=1)
    async with managed(schema, groups=GROUPS, policy=policy) as everything:
        await everything.engine.apply(first_rules(everything.datastore))
        text = f"<edit-config><target><running/></target><config>{RULES}</config></edit-config>"
        request = parse_request(operation(text), now=datetime.now(UTC))
        assert isinstance(request, EditConfig)
        await everything.configuration.edit_config(request, "admin")
        await everything.edit(tenants())
        await until(everything, "<status>ACTIVE</status>", 3)
        await until(everything, "<vm_id>", 1)
        stubborn = (Verb.REMOVE_NETWORK, Verb.REMOVE_SERVER)
        everything.cloud.faults.replace([Rule(fault=Fault.REFUSE, verb=each) for each in stubborn])
        await everything.edit(tenants(DELETED))
        await until(everything, "<leftover>", len(LEFT))
        yield everything


async def until(it: Managed, text: str, times: int) -> None:
    async with asyncio.timeout(20):
        while (await get(it, "admin")).count(text) < times:  # noqa: ASYNC110  no event tells of all
            await asyncio.sleep(0.01)


async def get(it: Managed, user: str, below: str = "") -> str:
    chosen = f'<esc_datamodel xmlns="{ESC}"><opdata>{below}</opdata></esc_datamodel>'
    text = f"<get><filter>{chosen if below else chosen.replace('></opdata>', '/>')}</filter></get>"
    request = parse_request(operation(text), now=datetime.now(UTC))
    assert isinstance(request, Get)
    pieces = await it.manager.get(request.filter, user, request.with_defaults)
    return b"".join(pieces).decode()


async def act(it: Managed, user: str, words: str) -> None:
    body = f"<actionType>PURGE</actionType>{words}"
    await it.manager.act(operation(f'<leftoverAction xmlns="{ESC}">{body}</leftoverAction>'), user)


async def refusal(it: Managed, user: str, words: str) -> tuple[str, str]:
    """Return how it is refused; nothing changes."""
    before = left(it)
    with pytest.raises(RpcError) as caught:
        await act(it, user, words)
    assert left(it) == before
    return errors_of(caught.value)[0][0], str(caught.value)


def left(it: Managed) -> list[LeftoverRef]:
    return [each for record in it.engine.records() for each in leftovers_of(record)]


def owners(it: Managed) -> list[str]:
    return sorted(each.of_tenant for each in left(it))


async def test_an_owner_sees_what_his_tenant_and_the_root_left_and_no_other(it: Managed) -> None:
    told = await get(it, "t", "<leftovers/>")

    assert "<tenant>t</tenant>" in told
    assert told.count("<leftover>") == 3
    assert "<name>shared</name>" in told
    assert "<name>u</name>" not in told
    assert "<tenant>u</tenant>" not in told
    assert (await get(it, "rita", "<leftovers/>")).count("<leftover>") == len(LEFT)


async def test_hidden_tenants_leave_no_trace_in_state(it: Managed) -> None:
    assert "<tenants" in await get(it, "admin", "<tenants/>")

    assert "<tenants" not in await get(it, "w")
    assert await get(it, "w", "<tenants/>") == await get(it, "w", "<tenants><x/></tenants>")


async def test_a_filter_finds_no_hidden_leftover(it: Managed) -> None:
    hidden = await get(it, "t", "<leftovers><leftover><tenant>u</tenant></leftover></leftovers>")
    absent = await get(it, "t", "<leftovers><leftover><tenant>x</tenant></leftover></leftovers>")

    assert hidden == absent


async def test_hidden_leftovers_answer_like_those_that_there_are_not(it: Managed) -> None:
    hidden = await refusal(it, "w", "<tenantName>u</tenantName>")
    absent = await refusal(it, "w", "<tenantName>xx</tenantName>")

    assert hidden == absent
    tag, text = hidden
    assert tag == "data-missing"
    assert "of t" not in text
    assert "of u" not in text
    assert "network shared" in text


async def test_who_sees_a_leftover_but_may_not_update_its_tenant_is_denied(it: Managed) -> None:
    assert (await refusal(it, "rita", "<tenantName>t</tenantName>"))[0] == "access-denied"


@pytest.mark.parametrize("user", ["t", "w", "rita", "otto"])
async def test_what_the_root_left_is_for_who_may_change_everything(it: Managed, user: str) -> None:
    assert (await refusal(it, user, "<name>shared</name>"))[0] == "access-denied"

    await act(it, "admin", "<name>shared</name>")
    assert owners(it) == LEFT[1:]


async def test_an_owner_purges_what_his_own_tenant_left_and_nothing_hidden(it: Managed) -> None:
    await act(it, "t", "<name>n</name>")

    assert owners(it) == ["", "t", "u", "u", "u"]


async def test_a_rule_about_one_deployment_hides_what_it_left(it: Managed) -> None:
    told = await get(it, "ben", "<leftovers/>")

    assert told.count("<leftover>") == len(LEFT) - 1
    assert "<kind>vm</kind>" not in told


async def test_who_may_not_act_upon_all_that_is_meant_acts_upon_none(it: Managed) -> None:
    assert (await refusal(it, "otto", "<vimId>sim</vimId>"))[0] == "access-denied"

    await act(it, "admin", "<vimId>sim</vimId>")
    assert left(it) == []


async def test_an_operator_of_all_tenants_purges_what_any_of_them_left(it: Managed) -> None:
    await act(it, "otto", "<tenantName>u</tenantName>")

    assert owners(it) == ["", "t", "t", "u"]  # tenantName says nothing of the tenant itself
