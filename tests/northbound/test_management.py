import asyncio
from collections import Counter
from dataclasses import replace

import pytest
from lxml import etree
from structlog.testing import capture_logs

from esc_daemon.datamodel.datastore import PendingEdit
from esc_daemon.datamodel.entries import Entry, EntryPath
from esc_daemon.domain.ids import Kind
from esc_daemon.domain.states import ResourceState, ServiceState
from esc_daemon.engine.edit import Edit
from esc_daemon.netconf.defaults import TAG
from esc_daemon.netconf.errors import RpcError, RpcErrors
from esc_daemon.netconf.xml import WITH_DEFAULTS_NS
from tests.northbound.managed import ESC, GROUP, Managed, errors_of, service, tenants

TEST_ONLY = "<test-option>test-only</test-option>"
NO_GROUP_NAME = "<vm_group><bootup_time>60</bootup_time></vm_group>"


async def test_an_edit_that_is_taken_is_logged_with_its_first_paths(it: Managed):
    with capture_logs() as lines:
        await it.edit(tenants(*"abcdefg"))
        async with asyncio.timeout(5):  # it may come after the answer
            while not (accepted := [each for each in lines if each["event"] == "edit.accepted"]):  # noqa: ASYNC110
                await asyncio.sleep(0)

    (line,) = accepted
    assert line["entries"] == 7
    assert len(line["paths"]) == 5
    assert line["paths"][0] == "/esc:esc_datamodel/esc:tenants/esc:tenant[esc:name='a']"


async def test_an_edit_is_answered_before_the_vim_is_asked_for_what_it_wants(it: Managed):
    it.cloud.settings = replace(it.cloud.settings, latency_seconds=0)
    await it.edit(tenants("t"))
    await at_rest(it)
    await it.edit(service())
    asked = {kind for _, kind, _, _ in it.engine.vim_calls()}
    await at_rest(it)

    assert "EnsureServer" not in asked
    assert "EnsureServer" in {kind for _, kind, _, _ in it.engine.vim_calls()}


async def at_rest(it: Managed) -> None:
    async with asyncio.timeout(5):
        while not it.engine.at_rest:  # noqa: ASYNC110
            await asyncio.sleep(0)


@pytest.mark.parametrize("turns", range(8))
async def test_an_edit_whose_caller_leaves_is_carried_out_whole(it: Managed, turns: int):
    # given an edit whose caller leaves while it is being stored, or right after
    it.cloud.settings = replace(it.cloud.settings, latency_seconds=0)
    caller = asyncio.create_task(it.edit(service()))
    for _ in range(turns):
        await asyncio.sleep(0)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)

    # when the next one has been taken, which waits for it, and all has ended
    await it.edit(tenants("t", "next"))
    await at_rest(it)

    # then it is there as a whole, but where its caller left before he had asked
    states = {record.key: getattr(record, "state", "") for record in it.engine.records()}
    whole = {Kind.TENANT: 2, Kind.DEPLOYMENT: 1} if turns else {Kind.TENANT: 2}
    assert Counter(key.kind for key in states) == whole
    assert set(states.values()) <= {ResourceState.ACTIVE, ServiceState.ACTIVE}
    assert ("<deployment>" in await it.get_config()) == bool(turns)


async def test_what_breaks_when_an_edit_is_stored_keeps_it_not_from_being_followed(
    it: Managed, monkeypatch: pytest.MonkeyPatch
):
    it.cloud.settings = replace(it.cloud.settings, latency_seconds=0)
    committed = it.datastore.commit

    def breaks(pending: PendingEdit) -> None:
        committed(pending)
        raise RuntimeError("a bug")

    monkeypatch.setattr(it.datastore, "commit", breaks)
    with capture_logs() as lines, pytest.raises(RuntimeError, match="a bug"):
        await it.edit(service())
    await at_rest(it)

    states = {getattr(record, "state", None) for record in it.engine.records()}
    assert states == {ResourceState.ACTIVE, ServiceState.ACTIVE}
    assert [line["event"] for line in lines if line.get("user")] == ["edit.broke_after_commit"]


async def test_an_acknowledged_edit_that_breaks_afterwards_is_told_in_the_log(
    it: Managed, monkeypatch: pytest.MonkeyPatch
):
    apply = it.engine.apply

    async def breaks(edit: Edit) -> None:
        await apply(edit)
        raise RuntimeError("a bug")

    monkeypatch.setattr(it.engine, "apply", breaks)
    with capture_logs() as lines:
        await it.edit(tenants("t"))
        async with asyncio.timeout(5):
            while not (broken := [each for each in lines if "broke" in each["event"]]):  # noqa: ASYNC110
                await asyncio.sleep(0)

    (line,) = broken
    assert (line["event"], line["user"]) == ("edit.broke_after_commit", "admin")
    assert line["paths"] == ["/esc:esc_datamodel/esc:tenants/esc:tenant[esc:name='t']"]
    assert line["exc_info"]


# RFC 6241 section 7.2, test-option


async def test_test_only_finds_nothing_wrong_and_changes_nothing(it: Managed):
    await it.edit(service(), TEST_ONLY)

    assert list(it.datastore.entries()) == []
    assert list(it.engine.records()) == []
    assert (await it.get_config(), await it.events()) == ("", 0)


async def test_test_only_tells_what_the_data_model_forbids(it: Managed):
    with pytest.raises((RpcError, RpcErrors)) as caught:
        await it.edit(service(NO_GROUP_NAME), TEST_ONLY)

    ((tag, path),) = errors_of(caught.value)
    assert tag == "missing-element"
    assert path.startswith("/esc:esc_datamodel/esc:tenants/esc:tenant[esc:name='t']")


@pytest.mark.parametrize("options", ["", TEST_ONLY])
async def test_test_only_refuses_what_the_engine_would_refuse(it: Managed, options: str):
    # given: a deployment that is still being deployed, so that it takes no update
    await it.edit(service())

    with pytest.raises(RpcError) as caught:
        await it.edit(service(GROUP.replace(">60<", ">61<")), options)

    assert caught.value.tag.value == "in-use"
    assert "<bootup_time>60<" in await it.get_config()


@pytest.mark.parametrize("word", ["set", "test-then-set"])
async def test_the_other_test_options_set(it: Managed, word: str):
    await it.edit(tenants("t"), f"<test-option>{word}</test-option>")

    assert "<name>t</name>" in await it.get_config()


# RFC 6241 section 8.6, validate


async def test_running_is_valid(it: Managed):
    await it.edit(tenants(*(f"t{number}" for number in range(60))))

    await it.validate()


async def test_an_entry_of_an_older_data_model_makes_running_invalid(it: Managed):
    path = EntryPath(Kind.TENANT, None, "old")
    it.datastore.load([Entry(path=path, xml=b"<tenant><name>old</name><x/></tenant>", revision=1)])

    with pytest.raises(RpcErrors) as caught:
        await it.validate()

    ((tag, path_told),) = errors_of(caught.value)
    assert tag == "unknown-element"
    assert path_told.endswith("esc:tenant[esc:name='old']")


async def test_a_config_is_validated_by_itself_whatever_is_running(it: Managed):
    await it.edit(service())

    # an edit with this would be refused: see above
    await it.validate(service(GROUP.replace(">60<", ">61<")))

    assert "<bootup_time>60<" in await it.get_config()


async def test_a_wrong_config_is_told_with_the_path(it: Managed):
    with pytest.raises((RpcError, RpcErrors)) as caught:
        await it.validate(service(GROUP.replace(">60<", ">soon<")))

    ((tag, path),) = errors_of(caught.value)
    assert (tag, path.rpartition("/")[2]) == ("invalid-value", "esc:bootup_time")


# RFC 6241 section 7.3, copy-config: an edit with replace for its default operation


async def test_a_replaced_configuration_keeps_what_is_the_same(it: Managed):
    await it.edit(service())
    await it.edit(tenants("u"))
    kept = it.datastore.entry(EntryPath(Kind.DEPLOYMENT, "t", "d"))

    await it.replace(service())

    assert it.datastore.entry(EntryPath(Kind.DEPLOYMENT, "t", "d")) is kept
    assert [entry.path.name for entry in it.datastore.entries()] == ["t", "d"]


async def test_a_configuration_replaced_by_nothing_is_empty(it: Managed):
    await it.edit(service())

    await it.replace("")

    assert await it.get_config() == ""


# RFC 6243, basic mode explicit


def defaults(mode: str) -> str:
    return f'<with-defaults xmlns="{WITH_DEFAULTS_NS}">{mode}</with-defaults>'


def elastic(word: str) -> str:
    """Return a group that sets a leaf whose default is true."""
    return GROUP.replace("</scaling>", f"<elastic>{word}</elastic></scaling>")


async def test_what_a_client_has_set_is_reported_as_it_was_set(it: Managed):
    await it.edit(service(elastic("true")))

    assert await it.get_config(defaults("explicit")) == await it.get_config()
    assert "<elastic>true</elastic>" in await it.get_config()


async def test_trim_reports_no_value_that_is_the_default(it: Managed):
    await it.edit(service(elastic("true")))

    reply = await it.get_config(defaults("trim"))

    assert "<scaling" not in reply  # min_active and max_active are 1 by default, too
    assert "<bootup_time>60</bootup_time>" in reply


async def test_a_filter_compares_a_value_that_trim_does_not_report(it: Managed):
    await it.edit(service(elastic("true")))
    select = "//vm_group[scaling/elastic='true']/bootup_time"

    reply = await it.get_config(f'<filter type="xpath" select="{select}"/>{defaults("trim")}')

    assert "<bootup_time>60</bootup_time>" in reply


@pytest.mark.parametrize("how", ["get", "get_config"])
async def test_report_all_tells_the_defaults_of_what_is_there(it: Managed, how: str):
    await it.edit(service())

    reply = await getattr(it, how)(defaults("report-all"))

    assert "<elastic>true</elastic></scaling>" in reply
    assert "<managed_resource>true</managed_resource>" in reply
    assert "<recovery_policy>" in reply
    assert "<flavors>" not in reply


async def test_report_all_is_a_configuration_that_can_be_sent_back(it: Managed):
    await it.edit(service())
    told = [await it.get_config(defaults(mode)) for mode in ("report-all", "report-all-tagged")]
    plain, tagged = (
        b"".join(map(etree.tostring, etree.fromstring(each))).decode() for each in told
    )

    await it.validate(plain)
    await it.validate(tagged)
    # tagged, it says nothing new
    before = await it.get_config()
    await it.edit(tagged)
    assert await it.get_config() == before


async def test_a_filter_chooses_default_data_and_its_tag_comes_along(it: Managed):
    await it.edit(service())
    filter_ = '<filter type="xpath" select="esc_datamodel//scaling/elastic"/>'

    assert "elastic" not in await it.get_config(filter_)
    reply = await it.get_config(filter_ + defaults("report-all-tagged"))

    (leaf,) = etree.fromstring(reply).iter(f"{{{ESC}}}elastic")
    assert (leaf.text, leaf.get(TAG)) == ("true", "true")


async def test_an_empty_configuration_has_no_defaults(it: Managed):
    assert await it.get_config(defaults("report-all")) == ""


# Edits that collide


async def test_edits_of_one_entry_at_once_follow_each_other(it: Managed):
    subnet = "<subnet><name>{}</name><address>{}</address><netmask>255.255.255.0</netmask></subnet>"
    network = "<networks><network><name>n</name>{}</network></networks>"
    await it.edit(network.format(""))

    await asyncio.gather(
        *(
            it.edit(network.format(subnet.format(name, f"10.0.{at}.0")))
            for at, name in enumerate("abc")
        )
    )

    running = await it.get_config()
    assert [name for name in "abc" if f"<name>{name}</name>" in running] == ["a", "b", "c"]
    stored = [entry.xml for entry in await it.store.entries()]
    assert [stored[0].count(f"<name>{name}</name>") for name in "abc"] == [1, 1, 1]
