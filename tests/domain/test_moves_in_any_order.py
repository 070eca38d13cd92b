"""Any order of edits, answers, losses, restarts and time, where VMs move between two VIMs."""

from dataclasses import replace
from typing import Final

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import initialize, invariant, precondition, rule

from esc_daemon.domain.commands import call_slot
from esc_daemon.domain.ids import Key, VimId
from esc_daemon.domain.intent import Deployment, Locator
from esc_daemon.domain.placing import group_of
from esc_daemon.domain.record import DeploymentRecord
from esc_daemon.domain.states import VmState
from esc_daemon.domain.triggers import RecoveryAsked
from tests.domain.fake_vim import FakeVim
from tests.domain.pure_world import VIM, Luck
from tests.domain.stories import ACME, a_tenant
from tests.domain.test_any_order import (
    DEPLOYMENTS,
    OP,
    SHOPS,
    VOLUMES,
    AnyOrder,
    a_luck,
    an_index,
)

FAR: Final = VimId("far")
VIMS: Final = ("", VIM, FAR, FAR)


class Moves(AnyOrder):
    def __init__(self) -> None:
        super().__init__()
        self.world.others[FAR] = FakeVim()

    @initialize(what=st.sampled_from((0, 1, 6)))
    def another_stands(self, what: int) -> None:
        self.edit({ACME: a_tenant(), SHOPS[1]: DEPLOYMENTS[what]})
        self.world.rest()

    @precondition(lambda self: self.deployed())
    @rule(
        which=an_index,
        group=an_index,
        vim=st.sampled_from(VIMS),
        settled=st.sampled_from((True, True, False)),
    )
    def a_group_moves(self, which: int, group: int, vim: str, *, settled: bool) -> None:
        if settled:
            self.world.rest()
        at = self.deployed()[which % len(self.deployed())]
        wanted = self.config[at]
        assert isinstance(wanted, Deployment)
        groups = list(wanted.groups)
        one = groups[group % len(groups)]
        groups[group % len(groups)] = replace(one, locator=Locator(vim_id=vim))
        self.edit({at: replace(wanted, groups=tuple(groups))})

    @precondition(lambda self: self.deployed())
    @rule(which=an_index, rounds=st.integers(0, 4), luck=a_luck, dead=st.booleans())
    def a_vm_moves_while_it_is_recovered(
        self, which: int, rounds: int, luck: Luck, *, dead: bool
    ) -> None:
        self.world.rest()
        there = [(at, vm) for at, vm in self.vms() if self.config.get(at) is not None]
        if not there:
            return
        at, vm = there[which % len(there)]
        self.ask(at, RecoveryAsked(id=OP, vm=vm.id))
        for _ in range(rounds):
            self.all_goes_well_for_a_while()
        slot = at, call_slot(vm.vim, vm.id)
        if slot in self.world.flights and luck is not Luck.DONE:
            self.world.perform(slot, luck)
        if dead:
            self.world.dead.add(vm.vim)
        wanted = self.config[at]
        assert isinstance(wanted, Deployment)
        locator = Locator(vim_id=FAR if vm.vim == VIM else VIM)
        groups = (
            replace(each, locator=locator) if each.name == vm.group else each
            for each in wanted.groups
        )
        self.edit({at: replace(wanted, groups=tuple(groups))})

    @precondition(lambda self: self.deployed())
    @rule(which=an_index, group=an_index)
    def a_move_fails_and_could_be_made_then(self, which: int, group: int) -> None:
        far = self.world.others[FAR]
        lacks, far.lacks = far.lacks, {"linux"}
        self.a_group_moves(which, group, FAR, settled=True)
        self.world.rest()
        far.lacks = lacks

    @precondition(lambda self: self.to_move())
    @rule(which=an_index)
    def a_group_that_is_still_to_move_gets_a_volume(self, which: int) -> None:
        self.world.rest()
        if found := self.to_move():
            at, name = found[which % len(found)]
            wanted = self.config[at]
            assert isinstance(wanted, Deployment)
            stored = (
                replace(each, volumes=VOLUMES[:1]) if each.name == name else each
                for each in wanted.groups
            )
            self.edit({at: replace(wanted, groups=tuple(stored))})

    def to_move(self) -> list[tuple[Key, str]]:
        there = [(at, vm.group) for at, vm in self.vms() if vm.migration is not None]
        return [(at, name) for at, name in there if self.config.get(at) is not None]

    def deployed(self) -> list[Key]:
        return [at for at in SHOPS if self.config.get(at) is not None]

    @rule(vim=st.sampled_from((VIM, FAR)), back=st.booleans())
    def a_vim_dies_or_comes_back(self, vim: VimId, *, back: bool) -> None:
        (self.world.dead.discard if back else self.world.dead.add)(vim)

    @rule(lacks=st.booleans())
    def the_other_vim_lacks_an_image(self, *, lacks: bool) -> None:
        self.world.others[FAR].lacks = {"linux"} if lacks else set()

    @rule(far=st.booleans(), full=st.booleans())
    def a_vim_is_full_or_has_room(self, *, far: bool, full: bool) -> None:
        (self.world.others[FAR] if far else self.world.vim).full = full

    @invariant()
    def each_server_is_where_its_record_says(self) -> None:
        for record in self.world.records.values():
            if not isinstance(record, DeploymentRecord):
                continue
            for vm in record.vms.values():
                if vm.server is not None and vm.id not in self.meddled:
                    there = self.world.at(vm.vim).servers
                    assert vm.server.vim == vm.vim
                    gone = vm.state in {VmState.UNDEPLOYING, VmState.DEPLOYING, VmState.ERROR}
                    assert gone or vm.server.resource_id in there

    @invariant()
    def no_vm_that_may_move_has_a_volume_to_lose(self) -> None:
        for record in self.world.records.values():
            if not isinstance(record, DeploymentRecord) or record.intent is None:
                continue
            for vm in record.vms.values():
                if vm.migration is not None:
                    assert not group_of(record, vm).volumes

    def teardown(self) -> None:
        self.world.dead.clear()
        for vim in self.world.vims:
            vim.full = False
        super().teardown()


Moves.TestCase.settings = settings(
    max_examples=120,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestMoves = Moves.TestCase
