"""What a confirmed commit may do to those who did not send it, and what they may do to it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from managed import ESC, Managed, config, managed, operation, tenants

from esc_daemon.datamodel.entries import RULES
from esc_daemon.datamodel.schema import Schema
from esc_daemon.netconf.errors import RpcError, RpcErrors
from esc_daemon.netconf.messages import WITH_CANDIDATE, Commit, EditConfig, parse_request
from esc_daemon.netconf.xml import BASE_NS, NACM_NS
from esc_daemon.northbound.first_rules import first_rules

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


@pytest.fixture(scope="module")
def schema() -> Schema:
    return Schema.load()


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


def a_server(name: str, host: str = "old", how: str = "merge") -> str:
    leaf = "" if how == "delete" else f"<base_url>http://{host}</base_url>"
    operation_ = f'xmlns:nc="{BASE_NS}" nc:operation="{how}"'
    server = f"<file_server {operation_}><id>{name}</id>{leaf}</file_server>"
    return f"<file_servers>{server}</file_servers>"


async def commit(it: Managed, user: str, session: int = MINE, **parameters: object) -> None:
    await it.configuration.commit(Commit(**parameters), session, user)


async def refusal(awaitable: object) -> RpcError:
    with pytest.raises((RpcError, RpcErrors)) as caught:
        await awaitable
    assert isinstance(caught.value, RpcError)
    return caught.value


async def names(it: Managed) -> list[str]:
    return [entry.path.name for entry in it.datastore.entries() if entry.path != RULES]


# what a commit tells


async def test_who_may_not_remove_puts_no_removal_on_trial(it: Managed):
    await edit(it, "admin", tenants("t"))
    await edit(it, "admin", tenants("t", attributes='nc:operation="delete"'), target="candidate")

    error = await refusal(commit(it, "reader", confirm_timeout=60, persist="x"))

    assert error.tag.value == "access-denied"
    assert it.configuration.on_trial is None


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
