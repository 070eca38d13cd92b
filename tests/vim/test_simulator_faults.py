"""Faults strike where their rules say, and nowhere else."""

import asyncio
import json

import pytest

from esc_daemon.domain.ids import Kind, ServerKey, VimId
from esc_daemon.domain.intent import Network
from esc_daemon.domain.specs import (
    Power,
    ServerStatus,
    VimStatus,
)
from esc_daemon.vim.base import (
    VimRefused,
    VimUnanswered,
    VimUnknown,
    VimUnreachable,
)
from esc_daemon.vim.simulator.cloud import Cloud
from esc_daemon.vim.simulator.driver import SimulatorDriver
from esc_daemon.vim.simulator.faults import (
    Fault,
    FaultFileError,
    Faults,
    Rule,
    Verb,
    load_rules,
)
from esc_daemon.vim.simulator.settings import CloudSettings
from tests.vim.vim_contract import a_key, a_port, a_server, a_vm, deploy, listed

pytestmark = pytest.mark.looptime

CALM = CloudSettings(build_seconds=0, boot_seconds=0, delete_seconds=0)


def a_driver(*rules: Rule, settings: CloudSettings = CALM) -> SimulatorDriver:
    return SimulatorDriver(Cloud(settings, rules=rules), vim=VimId("sim"))


async def make(driver: SimulatorDriver, name: str = "web"):
    return await driver.ensure_server(ServerKey(a_vm(), 1), a_server(name=name), ())


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.REFUSE, VimRefused),
        (Fault.QUOTA, VimRefused),
        (Fault.UNREACHABLE, VimUnreachable),
        (Fault.UNKNOWN_BEFORE, VimUnanswered),
    ],
)
async def test_a_fault_before_the_effect_leaves_nothing_behind(fault, error):
    driver = a_driver(Rule(fault=fault, verb=Verb.ENSURE_SERVER, count=1))
    with pytest.raises(error, match=r"sim: ensure_server of vm-\d+: ") as caught:
        await make(driver)
    assert type(caught.value) is error
    assert await listed(driver) == []
    assert await make(driver)


async def test_a_lost_answer_leaves_its_effect_behind():
    driver = a_driver(Rule(fault=Fault.UNKNOWN_AFTER, verb=Verb.ENSURE_SERVER, count=1))
    key = ServerKey(a_vm(), 1)
    with pytest.raises(VimUnknown):
        await driver.ensure_server(key, a_server(), ())
    found = await driver.find_server(key)
    assert await driver.ensure_server(key, a_server(), ()) == found


async def test_a_lost_refusal_is_unknown_too():
    driver = a_driver(Rule(fault=Fault.UNKNOWN_AFTER, verb=Verb.SET_POWER))
    with pytest.raises(VimUnknown):
        await driver.set_power(ServerKey(a_vm(), 1), Power.ON)


@pytest.mark.parametrize("takes_effect", [True, False])
async def test_a_call_that_hangs_is_never_answered(takes_effect):
    rule = Rule(fault=Fault.HANG, verb=Verb.ENSURE_SERVER, takes_effect=takes_effect)
    driver = a_driver(rule)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3600):
            await make(driver)
    assert len(await listed(driver)) == takes_effect


async def test_closing_the_driver_answers_what_hangs():
    driver = a_driver(Rule(fault=Fault.HANG))
    call = asyncio.create_task(make(driver))
    await asyncio.sleep(1)
    await driver.close()
    with pytest.raises(VimUnreachable, match="closed"):
        await call


async def test_a_removal_that_comes_late_leaves_what_was_made_of_the_same_key_meanwhile():
    driver = a_driver(Rule(fault=Fault.LATENCY, seconds=6, verb=Verb.REMOVE_NETWORK, count=1))
    key, want = a_key(Kind.NETWORK, "net"), Network(name="net")
    first = await driver.ensure_network(key, want, project="")
    late = asyncio.create_task(driver.remove_network(key))
    await asyncio.sleep(1)
    await driver.remove_network(key)
    second = await driver.ensure_network(key, want, project="")
    await late
    assert first.resource_id != second.resource_id
    assert await driver.ensure_network(key, want, project="") == second


async def test_latencies_add_up_and_do_not_hide_the_next_rule():
    driver = a_driver(
        Rule(fault=Fault.LATENCY, seconds=5),
        Rule(fault=Fault.LATENCY, seconds=7, verb=Verb.ENSURE_SERVER),
        Rule(fault=Fault.REFUSE, verb=Verb.ENSURE_SERVER),
    )
    began = asyncio.get_running_loop().time()
    with pytest.raises(VimRefused):
        await make(driver)
    assert asyncio.get_running_loop().time() - began == 12
    assert (await driver.check()).status is VimStatus.CONNECTION_SUCCESSFUL
    assert asyncio.get_running_loop().time() - began == 17


async def test_a_rule_is_about_names_that_match():
    driver = a_driver(Rule(fault=Fault.REFUSE, verb=Verb.ENSURE_SERVER, match="*_g2_*"))
    assert await make(driver, "dep_g1_0")
    with pytest.raises(VimRefused):
        await make(driver, "dep_g2_0")


async def test_a_call_by_key_is_matched_by_the_name_of_its_server():
    driver = a_driver(Rule(fault=Fault.REFUSE, verb=Verb.REMOVE_SERVER, match="sticky"))
    server = await make(driver, "sticky")
    with pytest.raises(VimRefused):
        await driver.remove_server(server.key)
    assert await driver.find_server(server.key) == server


async def test_a_resource_is_matched_by_its_last_name():
    driver = a_driver(Rule(fault=Fault.REFUSE, verb=Verb.REMOVE_NETWORK, match="net"))
    key = a_key(Kind.NETWORK, "dep/net")
    await driver.ensure_network(key, Network(name="net"), project="")
    with pytest.raises(VimRefused, match="remove_network of net: refused"):
        await driver.remove_network(key)


async def test_skip_and_count_bound_a_rule():
    driver = a_driver(Rule(fault=Fault.REFUSE, verb=Verb.ENSURE_SERVER, skip=2, count=2))
    outcomes = []
    for _ in range(6):
        try:
            await make(driver)
            outcomes.append("made")
        except VimRefused:
            outcomes.append("refused")
    assert outcomes == ["made", "made", "refused", "refused", "made", "made"]


def test_probability_repeats_under_a_seed():
    def strikes(seed: int) -> list[bool]:
        faults = Faults([Rule(fault=Fault.REFUSE, probability=0.5)], seed=seed)
        return [faults.judge(Verb.CHECK, (), 0.0).rule is not None for _ in range(200)]

    assert strikes(1) == strikes(1)
    assert strikes(1) != strikes(2)
    assert 60 < sum(strikes(1)) < 140


def test_a_rule_that_stays_keeps_its_count_when_others_come():
    once = Rule(fault=Fault.REFUSE, verb=Verb.CHECK, count=1)
    faults = Faults([once])
    assert faults.judge(Verb.CHECK, (), 0.0).rule == once
    faults.replace([Rule(fault=Fault.HANG, verb=Verb.SERVERS), once])
    assert faults.judge(Verb.CHECK, (), 0.0).rule is None
    faults.replace([once, once])
    assert faults.judge(Verb.CHECK, (), 0.0).rule == once


async def test_a_build_can_end_in_error():
    driver = a_driver(
        Rule(fault=Fault.ERROR, match="bad*", text="No valid host"),
        settings=CloudSettings(build_seconds=10),
    )
    bad, good = await make(driver, "bad"), await make(driver, "good")
    assert bad.status is ServerStatus.BUILD
    await asyncio.sleep(10)
    bad, good = await driver.find_server(bad.key), await driver.find_server(good.key)
    assert bad is not None
    assert good is not None
    assert (bad.status, bad.fault) == (ServerStatus.ERROR, "No valid host")
    assert (good.status, good.fault) == (ServerStatus.ACTIVE, "")
    with pytest.raises(VimRefused, match="No valid host"):
        await driver.set_power(bad.key, Power.HARD_REBOOT)


async def test_a_silent_boot_is_mended_by_the_next_one():
    driver = a_driver(Rule(fault=Fault.SILENT, count=1))
    server = await deploy(driver, a_vm())
    address = server.ports[0].ip_address or ""
    await asyncio.sleep(100)
    assert await driver.answers(server.key, address) is None
    await driver.set_power(server.key, Power.HARD_REBOOT)
    assert await driver.answers(server.key, address) is not None


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault.REFUSE, VimStatus.AUTHENTICATION_FAILED),
        (Fault.UNREACHABLE, VimStatus.CONNECTION_FAILED),
    ],
)
async def test_a_check_never_raises_and_says_why(fault, status):
    driver = a_driver(Rule(fault=fault, text="maintenance"))
    found = await driver.check()
    assert found.status is status
    assert found.detail.endswith("check: maintenance")


async def test_an_unexpected_failure_reaches_the_caller():
    driver = a_driver(Rule(fault=Fault.LATENCY, seconds=1))
    with pytest.raises(AttributeError):
        await driver.ensure_port(a_port(a_vm(), network=None, mac_address=5))


TOML = """
[[rule]]
fault = "refuse"
verb = "ensure_server"
match = "*_g2_*"
count = 1
text = "No valid host was found"

[[rule]]
fault = "silent"
probability = 0.25
"""
RULES = (
    Rule(
        fault=Fault.REFUSE,
        verb=Verb.ENSURE_SERVER,
        match="*_g2_*",
        count=1,
        text="No valid host was found",
    ),
    Rule(fault=Fault.SILENT, probability=0.25),
)


def test_rules_are_read_from_toml_and_from_json(tmp_path):
    toml, as_json = tmp_path / "faults.toml", tmp_path / "faults.json"
    toml.write_text(TOML)
    as_json.write_text(
        json.dumps(
            {
                "rule": [
                    {
                        "fault": "refuse",
                        "verb": "ensure_server",
                        "match": "*_g2_*",
                        "count": 1,
                        "text": "No valid host was found",
                    },
                    {"fault": "silent", "probability": 0.25},
                ]
            }
        )
    )
    assert load_rules(toml) == load_rules(as_json) == RULES


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[rule", "faults.toml: "),
        ("rules = []", "faults.toml: field rule: "),
        ("rule = 3", "faults.toml: field rule: "),
        ("[[rule]]\nverb = 'check'", "faults.toml: rule 1: field fault: "),
        (
            "[[rule]]\nfault = 'hang'\n[[rule]]\nfault = 'fire'",
            "rule 2: field fault: .*fire.*one of latency, .*vanish",
        ),
        ("[[rule]]\nfault = 'hang'\nverb = 'make'", "rule 1: field verb: .*make"),
        ("[[rule]]\nfault = 'hang'\nprobability = 2", "rule 1: field probability: .*1.0"),
        ("[[rule]]\nfault = 'hang'\ncount = -1", "rule 1: field count: "),
        ("[[rule]]\nfault = 'hang'\nwhen = 1", "rule 1: field when: .*unknown"),
        ("[[rule]]\nfault = 'error'\nverb = 'boot'", "rule 1: field verb: .*build"),
        ("[[rule]]\nfault = 'hang'\nverb = 'boot'", "rule 1: field fault: .*boot"),
        ("[[rule]]\nfault = 'latency'", "rule 1: field seconds: "),
        ("[[rule]]\nfault = 'hang'\nseconds = 4.0", "rule 1: field seconds: "),
    ],
)
def test_a_bad_file_is_refused_by_file_rule_and_field(tmp_path, text, message):
    path = tmp_path / "faults.toml"
    path.write_text(text)
    with pytest.raises(FaultFileError, match=message):
        load_rules(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FaultFileError, match=r"none\.toml: No such file"):
        load_rules(tmp_path / "none.toml")
