"""Any order of loads, answers, losses, silences, restarts and time: what holds of scaling."""

from collections import Counter
from typing import Final

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from esc_daemon.domain.events import EventType
from esc_daemon.domain.ids import Key, ServerKey
from esc_daemon.domain.intent import RecoveryPolicy
from esc_daemon.domain.record import DeploymentRecord, ScaleDirection, VmRecord
from esc_daemon.domain.states import ServiceState, VmState
from esc_daemon.domain.triggers import KpiCrossed
from tests.domain.elastic import elastic, overload, underload, up
from tests.domain.lost import doubled, in_vim_but_unknown
from tests.domain.pure_world import Luck, World
from tests.domain.stories import SHOP

LEAST, MOST = 1, 3
POOL: Final = tuple(f"192.0.2.{host}" for host in range(10, 14))
GROUPS: Final = (
    elastic("net", least=LEAST, most=MOST, pool=POOL),
    elastic("net", least=LEAST, most=MOST, name="db", recovery=RecoveryPolicy(max_retries=1)),
)
PAUSES: Final = (0.5, 3.0, 30.0, 61.0, 301.0, 1300.0)
OUT: Final = (
    EventType.VM_SCALE_OUT_INIT,
    EventType.VM_SCALE_OUT_DEPLOYED,
    EventType.VM_SCALE_OUT_COMPLETE,
)
IN: Final = (EventType.VM_SCALE_IN_INIT, EventType.VM_SCALE_IN_COMPLETE)
an_index = st.integers(0, 40)


class Scaling(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.names: dict[str, str] = {}

    @initialize()
    def a_service_is_up(self) -> None:
        self.world = up(*GROUPS)

    @property
    def record(self) -> DeploymentRecord:
        return self.world.deployment(SHOP)

    @property
    def vms(self) -> list[VmRecord]:
        return list(self.record.vms.values())

    def slots(self) -> list[tuple[Key, str]]:
        return sorted((slot for slot in self.world.flights if "watch" not in slot[1]), key=str)

    @rule(which=an_index, out=st.booleans())
    def a_load_crosses(self, which: int, *, out: bool) -> None:
        (overload if out else underload)(self.world, self.vms[which % len(self.vms)])

    @rule(which=an_index, holds=st.booleans())
    def life_crosses(self, which: int, *, holds: bool) -> None:
        vm = self.vms[which % len(self.vms)]
        key = ServerKey(vm.id, vm.generation)
        self.world.tell(SHOP, KpiCrossed(server=key, event_name="VM_ALIVE", holds=holds))

    @rule(which=an_index)
    def a_vm_falls_silent(self, which: int) -> None:
        self.world.silent_vms.add(self.vms[which % len(self.vms)].id)

    @rule(which=an_index)
    def a_vm_cannot_be_built(self, which: int) -> None:
        self.world.bad_vms.add(self.vms[which % len(self.vms)].id)

    @precondition(lambda self: self.slots())
    @rule(which=an_index, luck=st.sampled_from(Luck), twice=st.booleans())
    def a_call_is_answered(self, which: int, luck: Luck, *, twice: bool) -> None:
        slot = self.slots()[which % len(self.slots())]
        if self.world.perform(slot, luck):
            self.world.deliver(slot, twice=twice)

    @precondition(lambda self: self.world.strays)
    @rule()
    def a_late_answer_comes(self) -> None:
        self.world.tell(*self.world.strays.pop(0))

    @rule(deeds=st.integers(1, 5))
    def all_goes_well_for_a_while(self, deeds: int) -> None:
        for _ in range(deeds):
            self.world._deed(strays=False)

    @rule(seconds=st.sampled_from(PAUSES), ghosts_act=st.booleans())
    def time_goes_by(self, seconds: float, *, ghosts_act: bool) -> None:
        self.world.sleep(seconds, ghosts_act=ghosts_act)

    @rule(lucks=st.lists(st.sampled_from(Luck), max_size=4))
    def the_daemon_restarts(self, lucks: list[Luck]) -> None:
        self.world.restart(dict(zip(self.slots(), lucks, strict=False)))

    @rule(on=st.booleans())
    def the_vim_keeps_what_it_has(self, *, on: bool) -> None:
        self.world.stuck = on

    @invariant()
    def nothing_is_doubled_or_forgotten(self) -> None:
        assert not doubled(self.world)
        assert not in_vim_but_unknown(self.world)

    @invariant()
    def each_group_has_as_many_vms_as_it_may_have(self) -> None:
        if SHOP not in self.world.records:
            return
        for group in GROUPS:
            kin = [vm for vm in self.vms if vm.group == group.name]
            leaving = [vm for vm in kin if vm.scale and vm.scale.direction is ScaleDirection.IN]
            assert len(kin) <= MOST
            assert len(kin) - len(leaving) >= LEAST
            assert sum(vm.scale is not None for vm in kin) <= 1

    @invariant()
    def no_two_vms_have_one_address_seat_or_number(self) -> None:
        if SHOP not in self.world.records:
            return
        there = [*self.vms, *(left.vm for left in self.record.leftovers)]
        web = [vm for vm in there if vm.group == "web"]
        held = [address.ip_address for vm in web for i in vm.interfaces for address in i.addresses]
        assert set(held) <= set(POOL)
        for each in (held, [vm.seat for vm in web], [vm.index for vm in web]):
            assert len(each) == len(set(each))
        free = [address for _, address in self.record.freed]
        assert len(free) == len(set(free))
        for vm in there:
            assert self.names.setdefault(vm.name, vm.id) == vm.id

    def teardown(self) -> None:
        world = self.world
        if SHOP not in world.records:
            return
        world.stuck = False
        world.rest()
        self.each_group_has_as_many_vms_as_it_may_have()
        assert not self.record.leftovers
        assert all(vm.scale is None for vm in self.vms)
        broken = any(vm.state is VmState.ERROR for vm in self.vms)
        assert self.record.state is (ServiceState.ERROR if broken else ServiceState.ACTIVE)
        there = {server.key.vm for server in world.vim.servers.values()}
        assert {vm.id for vm in self.vms if vm.state is VmState.ALIVE} <= there
        told = Counter(event.type for event in world.log)
        for kinds in (OUT, IN):
            assert len({told[kind] for kind in kinds}) == 1, told
        world.apply({SHOP: None})
        world.rest()
        assert not world.records
        assert not world.vim.servers
        assert not world.vim.ports


Scaling.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestScaling = Scaling.TestCase
