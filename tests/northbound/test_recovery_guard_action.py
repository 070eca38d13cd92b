"""recoveryGuardAction and opdata/recovery_guard: what is held is shown and can be let go."""

import asyncio
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from esc_daemon.datamodel.schema import Schema
from esc_daemon.domain.commands import Permit
from esc_daemon.domain.ids import Key, Kind, ServerKey, TenantName, VmId
from esc_daemon.netconf.errors import RpcError, RpcErrors
from esc_daemon.netconf.xml import name_of, parse, serialise
from tests.northbound.managed import ESC, VIM, Managed, operation

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
SHOP = Key(Kind.DEPLOYMENT, TenantName("t"), "shop")
NOT_ALLOWED = {
    "<actionType>HOLD</actionType>": "invalid-value",
    "<vimId>sim</vimId>": "missing-element",
    "<actionType>RELEASE</actionType><depName>d</depName>": "unknown-element",
}


def lose(it: Managed, vms: int) -> None:
    for number in range(vms):
        server = ServerKey(VmId(f"vm-{number}"), 1)
        permit = Permit(vim=VIM, host="host-1", server=server, since=SINCE, window=600)
        it.engine.guard.ask(SHOP, permit)


async def act(it: Managed, body: str) -> None:
    rpc = operation(f'<recoveryGuardAction xmlns="{ESC}">{body}</recoveryGuardAction>')
    assert not await it.manager.act(rpc, "anna")


async def holds(it: Managed, schema: Schema) -> list[dict[str, str]]:
    """Return the entries of recovery_guard; all that is shown is as the YANG has it."""
    data = parse(b"<data>%b</data>" % b"".join(await it.manager.get(None, "anna")))
    (model,) = data.findall(f"{{{ESC}}}esc_datamodel")
    assert schema.validate_state(serialise(model)) == []
    found = model.findall(f".//{{{ESC}}}recovery_guard/{{{ESC}}}hold")
    return [{name_of(leaf)[1]: leaf.text for leaf in hold} for hold in found]


@pytest.mark.parametrize("body", NOT_ALLOWED)
async def test_an_input_that_says_too_little_or_too_much_is_refused(it: Managed, body: str):
    with pytest.raises(RpcErrors) as caught:
        await act(it, body)
    assert [error.tag.value for error in caught.value.errors] == [NOT_ALLOWED[body]]


async def test_where_nothing_is_held_nothing_is_released(it: Managed, schema: Schema):
    assert await holds(it, schema) == []
    with pytest.raises(RpcError, match=r"holds no recovery \(nothing is held\)") as caught:
        await act(it, "<actionType>RELEASE</actionType>")
    assert caught.value.tag.value == "data-missing"


async def test_what_is_held_is_shown_and_let_go(it: Managed, schema: Schema):
    # given
    lose(it, 6)
    await asyncio.sleep(0.05)
    # then
    (hold,) = await holds(it, schema)
    assert datetime.fromisoformat(hold.pop("since")) > SINCE
    assert hold == {"reason": "share", "monitored": "true", "lost": "6", "vms": "6"}
    # and what is held everywhere is not held in one VIM alone
    with pytest.raises(RpcError, match=r"in VIM connector sim alone \(share: everywhere\)"):
        await act(it, f"<actionType>RELEASE</actionType><vimId>{VIM}</vimId>")
    # when
    with capture_logs() as lines:
        await act(it, "<actionType>RELEASE</actionType>")
    # then
    assert await holds(it, schema) == []
    assert [(line["event"], line.get("user"), line.get("vms")) for line in lines] == [
        ("guard.released", None, None),
        ("guard.release_asked", "anna", 6),
    ]
