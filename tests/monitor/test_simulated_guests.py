"""Guests of a simulator VIM: what their answer is worth in the words of a KPI."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from esc_daemon.domain.ids import ServerKey, VimId, VmId
from esc_daemon.domain.intent import Condition, Kpi
from esc_daemon.domain.kpi import compare
from esc_daemon.monitor.base import (
    BatchCollector,
    CollectorError,
    Question,
    Sample,
    Target,
    question_of,
    select,
)
from esc_daemon.monitor.catalogue import Catalogue
from esc_daemon.monitor.collectors.simulated import REMEMBERED_METRICS, SimulatedGuests
from tests.monitor.monitor_bench import PING, VIM, Bench, a_watch

CATALOGUE = Catalogue()
SERVER = ServerKey(VmId("vm-1"), 0)


class OneVim:
    """A simulator whose guests answer within the time that stands beside their address."""

    def __init__(self, times: Mapping[str, float]) -> None:
        self.times = times

    async def answers(self, key: ServerKey, address: str) -> float | None:
        return self.times.get(address) if key == SERVER else None


class OwnVim(OneVim):
    """A simulator in this process."""

    def answers_now(self, key: ServerKey, address: str) -> float | None:
        return self.times.get(address) if key == SERVER else None


GUESTS = SimulatedGuests({VIM: OneVim({"10.0.0.1": 0.4, "10.0.1.1": 0.0})}.get)


def a_target(**addresses: str) -> Target:
    return Target(
        server=SERVER,
        vim=VIM,
        server_id="server-1",
        addresses={int(nic.removeprefix("nic")): (ip,) for nic, ip in addresses.items()},
    )


def a_kpi(metric: str, condition: Condition, threshold: str, nicid: int = 0) -> Kpi:
    collector = replace(PING.collector, type=metric, nicid=nicid)
    return replace(PING, condition=condition, threshold=threshold, collector=collector)


async def asked(guests: SimulatedGuests, target: Target, kpi: Kpi) -> Sample:
    return await guests.sample(question_of(target, kpi, CATALOGUE.get(kpi.collector.type)))


@pytest.mark.parametrize("metric", ["ICMPPing", "ICMPPING", "icmp4_ping", "http_ping", "UDPPing"])
@pytest.mark.parametrize("threshold", ["0", "1", "50"])
async def test_a_ping_of_any_kind_and_case_holds_on_an_answer(metric: str, threshold: str) -> None:
    kpi = a_kpi(metric, Condition.GT, threshold)
    sample = await asked(GUESTS, a_target(nic0="10.0.0.1"), kpi)
    assert sample.value == 100.0
    assert compare(kpi, sample.value)


async def test_a_guest_that_does_not_answer_gives_no_value() -> None:
    sample = await asked(GUESTS, a_target(nic0="10.9.9.9"), PING)
    assert (sample.value, sample.detail) == (None, "10.9.9.9 does not answer")


async def test_the_address_of_the_kpi_s_nicid_is_asked() -> None:
    target = a_target(nic0="10.9.9.9", nic1="10.0.1.1")
    sample = await asked(GUESTS, target, a_kpi("ICMPPing", Condition.GT, "1", nicid=1))
    assert sample.value == 100.0


async def test_a_nicid_without_an_address_is_an_error_that_names_it() -> None:
    with pytest.raises(CollectorError, match=r"VM_ALIVE polls nicid 0"):
        await asked(GUESTS, a_target(), PING)


async def test_a_vim_that_is_gone_is_an_error_that_names_it() -> None:
    gone = replace(a_target(nic0="10.0.0.1"), vim=VimId("csp-1"))
    with pytest.raises(CollectorError, match="csp-1"):
        await asked(GUESTS, gone, PING)


@pytest.mark.parametrize(
    ("condition", "threshold"),
    [(Condition.EQ, "0"), (Condition.GT, "1"), (Condition.GE, "100")],
)
async def test_an_unknown_metric_is_a_life_probe_in_the_words_of_its_kpi(
    condition: Condition, threshold: str
) -> None:
    kpi = a_kpi("ftdv_up.sh", condition, threshold)
    sample = await asked(GUESTS, a_target(nic0="10.0.0.1"), kpi)
    assert sample.value is not None
    assert compare(kpi, sample.value)


async def test_an_unknown_metric_under_a_limit_is_not_taken_for_an_exit_status() -> None:
    sample = await asked(GUESTS, a_target(nic0="10.0.0.1"), a_kpi("load", Condition.LT, "20"))
    assert sample.value == 100.0


async def test_an_unknown_metric_is_named_in_the_log_once() -> None:
    # given
    guests = SimulatedGuests({VIM: OneVim({"10.0.0.1": 0.4})}.get)
    # when
    with capture_logs() as lines:
        for n in range(2 * REMEMBERED_METRICS):
            for _ in range(2):
                kpi = a_kpi(f"metric-{n}", Condition.EQ, "0")
                await asked(guests, a_target(nic0="10.0.0.1"), kpi)
        await asked(guests, a_target(nic0="10.0.0.1"), PING)
    # then: and what users invent cannot fill the memory
    assert [line["metric"] for line in lines] == [f"metric-{n}" for n in range(REMEMBERED_METRICS)]


def test_only_vms_of_simulators_are_served() -> None:
    chosen = select(GUESTS)
    target, kpi = a_target(nic0="10.0.0.1"), a_kpi("icmpping", Condition.GT, "1")
    served = chosen(target, kpi)
    assert served is not None
    assert served.collector is GUESTS
    assert chosen(replace(target, vim=VimId("csp-1")), kpi) is None


def test_the_first_offer_that_serves_is_chosen() -> None:
    offers = (SimulatedGuests(dict[VimId, OneVim]().get), GUESTS, SimulatedGuests(lambda _: None))
    served = select(*offers)(a_target(nic0="10.0.0.1"), a_kpi("x", Condition.GT, "1"))
    assert served is not None
    assert served.collector is GUESTS


@pytest.mark.looptime(start=0)
async def test_the_monitor_asks_the_guests_of_its_simulator(bench: Bench) -> None:
    # given
    monitor = bench.monitor_of(select(GUESTS))
    # when
    monitor.arm(a_watch("vm-1"))
    monitor.arm(a_watch("vm-2"))  # no such guest
    await asyncio.sleep(10)
    # then
    assert (bench.outcomes("vm-1"), bench.outcomes("vm-2")) == ([True], [False])


@pytest.mark.looptime(start=0, end=3600)
async def test_each_kpi_of_a_group_asks_at_its_own_nicid(bench: Bench) -> None:
    # given: the guest answers at one of its three addresses
    guests = SimulatedGuests({VIM: OneVim({"10.0.1.1": 0.0})}.get)
    kpis = [
        replace(a_kpi("ICMPPing", Condition.GT, "1", nicid), event_name=f"NIC_{nicid}")
        for nicid in range(3)
    ]
    addresses = tuple((nicid, f"10.0.{nicid}.1") for nicid in range(3))
    # when
    bench.monitor_of(select(guests)).arm(replace(a_watch("vm-1", *kpis), addresses=addresses))
    await asyncio.sleep(2)
    # then
    outcomes = {name: holds for _, _, name, holds, _ in bench.crossings}
    assert outcomes == {"NIC_0": False, "NIC_1": True, "NIC_2": False}


def at_hand(times: Mapping[str, float]) -> SimulatedGuests:
    vims = {VIM: OwnVim(times)}
    return SimulatedGuests(vims.get, at_hand=vims.get)


@pytest.mark.looptime(start=0)
async def test_guests_of_this_process_are_asked_alike_without_a_task(bench: Bench) -> None:
    # given
    monitor = bench.monitor_of(select(at_hand({"10.0.0.1": 0.4})))
    # when
    monitor.arm(a_watch("vm-1"))
    monitor.arm(a_watch("vm-2"))  # no such guest
    tasks = len(asyncio.all_tasks())
    await asyncio.sleep(10)
    # then
    assert (bench.outcomes("vm-1"), bench.outcomes("vm-2")) == ([True], [False])
    assert len(asyncio.all_tasks()) == tasks


class ATurn:
    """One question that keeps what it was answered."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.answers: list[Sample | Exception] = []

    def answer(self, outcome: Sample | Exception) -> None:
        self.answers.append(outcome)


@pytest.mark.looptime(start=0)
async def test_many_guests_at_hand_leave_others_a_turn_and_each_is_answered_once() -> None:
    # given
    good, lost = a_target(nic0="10.0.0.1"), a_target()
    choice = at_hand({"10.0.0.1": 0.4}).choice(good, PING)
    assert choice is not None
    assert isinstance(choice.collector, BatchCollector)
    turns = [ATurn(question_of(each, PING, None)) for each in (good, lost) * 1000]
    # when
    choice.collector.start(turns)
    at_first = sum(len(turn.answers) for turn in turns)
    await asyncio.sleep(0.001)
    # then: the errors are those of the lost alone
    assert 0 < at_first < len(turns)
    assert all(len(turn.answers) == 1 for turn in turns)
    assert [isinstance(turn.answers[0], CollectorError) for turn in turns] == [False, True] * 1000


async def test_a_vim_that_is_no_longer_at_hand_is_an_error_that_names_it() -> None:
    vims = {VIM: OwnVim({"10.0.0.1": 0.4})}
    guests = SimulatedGuests(vims.get, at_hand=vims.get)
    question = question_of(a_target(nic0="10.0.0.1"), PING, None)
    vims.clear()
    with pytest.raises(CollectorError, match=VIM):
        guests.sample_now(question)
