"""leftoverAction: who may, what it answers, and the line of the log about each leftover."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from esc_daemon.access.control import AccessControl
from esc_daemon.datamodel.schema import Schema
from esc_daemon.domain.policy import Policy
from esc_daemon.netconf.errors import RpcError, RpcErrors
from esc_daemon.netconf.xml import NACM_NS, name_of, parse
from esc_daemon.store.base import StoreFull
from esc_daemon.vim.simulator.faults import Fault, Rule, Verb
from tests.access_control import modules_of
from tests.northbound.managed import BASE, ESC, VIM, Managed, managed, operation, service

ACTION = (ESC, "leftoverAction")
DELETED = f'xmlns:nc="{BASE}" nc:operation="delete"'
LEAVES = {
    "kind": "kind",
    "name": "name",
    "vm_id": "id",
    "tenant": "tenantName",
    "deployment_name": "depName",
    "vim_id": "vimId",
}
"""The leaf of the input that stands for a leaf of opdata."""
NOT_ALLOWED = {
    "<actionType>FORGET</actionType><vimId>sim</vimId>": "invalid-value",
    "<vimId>sim</vimId>": "missing-element",
    "<actionType>PURGE</actionType>": "operation-failed",
    "<actionType>PURGE</actionType><kind>vm</kind>": "operation-failed",
    "<actionType>PURGE</actionType><vimId>sim</vimId><force/>": "unknown-element",
}


@pytest.fixture
async def it(schema: Schema) -> AsyncIterator[Managed]:
    async with managed(schema, policy=Policy(removal_tries=1)) as everything:
        yield everything


async def act(it: Managed, body: str) -> None:
    assert not await it.manager.act(
        operation(f'<leftoverAction xmlns="{ESC}">{body}</leftoverAction>'), "anna"
    )


@pytest.mark.parametrize("body", NOT_ALLOWED)
async def test_an_input_that_says_too_little_or_too_much_is_refused(it: Managed, body: str):
    with pytest.raises(RpcErrors) as caught:
        await act(it, body)

    assert [error.tag.value for error in caught.value.errors] == [NOT_ALLOWED[body]]


async def test_what_no_leftover_fits_is_missing(it: Managed):
    await it.edit(service())

    with pytest.raises(RpcError) as caught:
        await act(it, "<actionType>PURGE</actionType><depName>d</depName>")

    assert caught.value.tag.value == "data-missing"
    assert len(list(it.engine.records())) > 1


async def shown(it: Managed, text: str) -> None:
    """Wait until state has *text*."""
    async with asyncio.timeout(20):
        while text not in await it.get():  # noqa: ASYNC110  no event tells of all of it
            await asyncio.sleep(0.01)


async def left_behind(it: Managed) -> dict[str, str]:
    """Given a VM that the VIM would not remove; return what opdata says of it, as an input."""
    await it.edit(service())
    it.cloud.faults.replace([Rule(fault=Fault.REFUSE, verb=Verb.REMOVE_SERVER)])
    await shown(it, "<vm_id>")
    deployment = f"<deployments><deployment {DELETED}><name>d</name></deployment></deployments>"
    await it.edit(f"<tenants><tenant><name>t</name>{deployment}</tenant></tenants>")
    await shown(it, "<leftover>")
    entry = parse(f"<data>{await it.get()}</data>".encode()).find(".//{*}leftover")
    assert entry is not None
    told = {name_of(each)[1]: each.text or "" for each in entry}
    return {leaf: told[name] for name, leaf in LEAVES.items()}


def leaves(words: dict[str, str]) -> str:
    return "".join(f"<{name}>{word}</{name}>" for name, word in words.items())


async def test_all_words_of_opdata_fit_and_none_may_differ(it: Managed):
    words = await left_behind(it)

    await act(it, "<actionType>RETRY</actionType>" + leaves(words))
    for name, word in words.items():
        other = leaves({**words, name: f"{word}x"})
        with pytest.raises(RpcError) as caught:
            await act(it, "<actionType>PURGE</actionType>" + other)
        assert caught.value.tag.value == "data-missing"

    assert "<leftover>" in await it.get()


async def test_what_is_purged_is_logged_with_the_user(it: Managed):
    words = await left_behind(it)
    events = await it.events()

    with capture_logs() as lines:
        await act(it, "<actionType>PURGE</actionType><name>" + words["name"] + "</name>")

    assert "<leftover>" not in await it.get()
    assert await it.events() == events
    (line,) = (line for line in lines if line["event"] == "leftover.purged")
    assert line == {
        "event": "leftover.purged",
        "log_level": "info",
        "user": "anna",
        "kind": "vm",
        "name": words["name"],
        "id": words["id"],
        "tenant": "t",
        "deployment": "d",
        "vim": VIM,
    }


async def test_what_cannot_be_stored_is_told(it: Managed, monkeypatch: pytest.MonkeyPatch):
    async def full(_: object, __: object) -> None:
        raise StoreFull("no room on the disk")

    monkeypatch.setattr(it.engine, "act", full)

    with pytest.raises(RpcError, match="nothing was changed: no room on the disk") as caught:
        await act(it, "<actionType>PURGE</actionType><vimId>sim</vimId>")

    assert caught.value.tag.value == "resource-denied"


# RFC 8341 section 3.2.1: default-deny-all


def rules(*, action: str) -> bytes:
    rule = (
        "<rule-list><name>l</name><group>g</group><rule><name>r</name><module-name>esc</module-name>"
        f"<rpc-name>leftoverAction</rpc-name><action>{action}</action></rule></rule-list>"
    )
    return f'<nacm xmlns="{NACM_NS}">{rule}</nacm>'.encode()


@pytest.mark.parametrize(
    ("written", "may"),
    [(None, False), (rules(action="deny"), False), (rules(action="permit"), True)],
)
def test_only_who_has_a_rule_for_it_may_call_it(
    schema: Schema, written: bytes | None, *, may: bool
):
    control = AccessControl(
        rules=lambda: written,
        groups_of=lambda _: frozenset({"g"}),
        model=schema,
        modules=modules_of(schema),
    )

    assert control.rights("anna").may_call(*ACTION) is may
    assert not control.rights("anna").may_call(ESC, "vmAction")
