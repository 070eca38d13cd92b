"""Any order of edits, answers, losses, restarts and time: what must hold all the same."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from esc_daemon.domain.errors import Refused
from esc_daemon.domain.events import Event, EventStatus, EventType
from esc_daemon.domain.ids import Key, Kind, OperationId, RecordId, ServerKey, VmId
from esc_daemon.domain.intent import (
    Deployment,
    GroupVolume,
    Network,
    RecoveryAction,
    RecoveryPolicy,
    RecoveryType,
    Resource,
)
from esc_daemon.domain.record import ActionType, DeploymentRecord, RecoveryPhase, VmRecord
from esc_daemon.domain.specs import Power, ServerStatus
from esc_daemon.domain.states import ResourceState, ServiceState, VmState
from esc_daemon.domain.triggers import (
    ActionTrigger,
    RecoveryAsked,
    ServerDrifted,
    ServiceActed,
    VmActed,
)
from tests.domain.legal import illegal
from tests.domain.lost import doubled, in_vim_but_unknown
from tests.domain.pure_world import Luck, World
from tests.domain.stories import (
    ACME,
    a_deployment,
    a_group,
    a_network,
    a_tenant,
    after,
    an_image,
    dep_key,
    net_key,
)

OP: Final = OperationId("33333333-3333-3333-3333-333333333333")
REBOOTED: Final = RecoveryPolicy(action=RecoveryAction.REBOOT_ONLY, max_retries=2)
ASKED: Final = RecoveryPolicy(type=RecoveryType.MANUAL)
VOLUMES: Final = (GroupVolume(name="a", size_gib=1), GroupVolume(name="b", size_gib=2))
DEPLOYMENTS: Final[tuple[Deployment, ...]] = (
    a_deployment(a_group("web", "net", vms=2), hooked=True),
    a_deployment(a_group("web", watched=False), a_group("db")),
    a_deployment(a_group("web", "own", "net"), networks=(a_network("own", "a"),)),
    a_deployment(
        a_group("web", "own", watched=False), networks=(a_network("own", "a", "b"), a_network("x"))
    ),
    a_deployment(
        a_group("lb"),
        a_group("web", watched=False),
        a_group("db", vms=2),
        startup=(after("lb", "web", "db"), after("web", "db")),
    ),
    a_deployment(
        a_group("web", "own", "net"),
        networks=(replace(a_network("own", "a"), admin_state=False),),
    ),
    a_deployment(
        a_group("web", vms=2, recovery=REBOOTED, wait=30),
        a_group("db", recovery=ASKED),
        startup=(after("web", "db"),),
    ),
    a_deployment(replace(a_group("web", vms=2), volumes=VOLUMES), hooked=True),
    a_deployment(replace(a_group("web", vms=2), volumes=(VOLUMES[1],)), hooked=True),
)
NETWORKS: Final[tuple[Network, ...]] = (
    a_network("net"),
    a_network("net", "a"),
    a_network("net", "b", "a"),
    replace(a_network("net", "a"), shared=False),
)
IMAGES: Final = (
    None,
    an_image(),
    replace(an_image(), src="http://192.0.2.9/other.qcow2"),
    replace(an_image(), properties=(("os", "linux"),)),
)
SHOPS: Final = (dep_key("shop"), dep_key("stall"))
NET: Final = net_key()
SHARED: Final = net_key("shared", None)
IMAGE: Final = Key(Kind.IMAGE, None, "linux")
NAMED: Final = re.compile("VIM (sim|far): |never started: ")
PAUSES: Final = (0.5, 3.0, 30.0, 61.0, 301.0, 1300.0)
RESTING: Final = {ServiceState.ACTIVE, ServiceState.ERROR, ServiceState.STOPPED}
RESTING_VMS: Final = {
    VmState.ALIVE,
    VmState.MONITOR_UNSET,
    VmState.MONITOR_DISABLED,
    VmState.SHUTOFF,
    VmState.ERROR,
    VmState.UNDEF,
}
COMMANDS_A_THING: Final = 200
"""A record, all going well, needs less than that many commands to come to rest."""

Intent = Deployment | Resource | None
a_luck = st.sampled_from(Luck)
an_index = st.integers(0, 40)


class AnyOrder(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World(guarded=True)
        self.config: dict[Key, Intent] = {}
        self.began: set[RecordId] = set()
        self.ended: set[RecordId] = set()
        """Incarnations that were asked to go, or that another took the place of."""
        self.meddled: set[VmId] = set()
        """VMs whose servers somebody else took away or switched."""
        self.updated: set[RecordId] = set()
        """Incarnations that an edit has changed where they stood."""

    # ---- edits

    def edit(self, edit: dict[Key, Intent]) -> None:
        world = self.world
        before = dict(world.records)
        wanted = {key: _wanted_id(before[key]) for key in SHOPS if key in before}
        try:
            world.apply(edit)
        except Refused:
            assert world.records == before
            return
        self.config |= edit
        for key, id_ in wanted.items():
            now = world.records.get(key)
            if isinstance(now, DeploymentRecord) and now.id == id_ and now is not before[key]:
                self.updated.add(now.id)
            if id_ is not None and (now is None or _wanted_id(now) != id_):
                self.ended.add(id_)

    @initialize(
        mapped=st.booleans(),
        what=st.integers(0, len(DEPLOYMENTS)),
        rounds=st.integers(0, 9),
        alive=st.booleans(),
    )
    def begun(self, *, mapped: bool, what: int, rounds: int, alive: bool) -> None:
        self.edit({ACME: a_tenant(mapped=mapped)})
        if what < len(DEPLOYMENTS):
            self.edit({SHOPS[0]: DEPLOYMENTS[what]})
        if alive:
            self.world.rest()
        for _ in range(rounds):
            self.all_goes_well_for_a_while()

    @precondition(lambda self: self.config.get(ACME))
    @rule(at=st.integers(0, len(SHOPS) - 1), what=st.integers(0, len(DEPLOYMENTS) - 1))
    def deploy(self, at: int, what: int) -> None:
        self.edit({SHOPS[at]: DEPLOYMENTS[what]})

    @rule(at=st.integers(0, len(SHOPS) - 1))
    def undeploy(self, at: int) -> None:
        self.edit({SHOPS[at]: None})

    @precondition(lambda self: self.config.get(ACME))
    @rule(what=st.integers(0, len(NETWORKS) - 1))
    def have_a_network(self, what: int) -> None:
        self.edit({NET: NETWORKS[what]})

    @precondition(lambda self: self.config.get(ACME))
    @rule(
        at=st.integers(0, len(SHOPS) - 1),
        what=st.integers(0, len(DEPLOYMENTS) - 1),
        network=st.integers(0, len(NETWORKS)),
    )
    def deploy_beside_a_network(self, at: int, what: int, network: int) -> None:
        there = NETWORKS[network] if network < len(NETWORKS) else None
        self.edit({SHOPS[at]: DEPLOYMENTS[what], NET: there, SHARED: a_network("shared", "a")})

    @rule(at=st.integers(0, len(SHOPS) - 1))
    def undeploy_beside_a_network(self, at: int) -> None:
        self.edit({SHOPS[at]: None, NET: None, SHARED: None})

    @rule()
    def have_no_network(self) -> None:
        self.edit({NET: None})

    @rule(what=st.integers(0, len(IMAGES) - 1))
    def have_an_image(self, what: int) -> None:
        self.edit({IMAGE: IMAGES[what]})

    @rule()
    def leave_the_tenant(self) -> None:
        self.edit({key: None for key in self.config if key in {ACME, NET, *SHOPS}})

    @rule(mapped=st.booleans())
    def come_again(self, *, mapped: bool) -> None:
        self.edit({ACME: a_tenant(mapped=mapped)})

    # ---- actions

    def ask(self, at: Key, trigger: ActionTrigger) -> None:
        before = self.world.records.get(at)
        try:
            self.world.tell(at, trigger)
        except Refused:
            assert self.world.records.get(at) is before

    @rule(at=st.sampled_from(SHOPS), action=st.sampled_from(ActionType))
    def act_on_a_service(self, at: Key, action: ActionType) -> None:
        self.ask(at, ServiceActed(id=OP, action=action))

    @precondition(lambda self: self.vms())
    @rule(which=an_index, action=st.sampled_from(ActionType), force=st.booleans())
    def act_on_a_vm(self, which: int, action: ActionType, *, force: bool) -> None:
        at, vm = self.vms()[which % len(self.vms())]
        self.ask(at, VmActed(id=OP, vm=vm.id, action=action, force=force))

    @precondition(lambda self: self.vms())
    @rule(which=an_index)
    def recover_a_vm(self, which: int) -> None:
        at, vm = self.vms()[which % len(self.vms())]
        self.ask(at, RecoveryAsked(id=OP, vm=vm.id))

    def vms(self) -> list[tuple[Key, VmRecord]]:
        found = [(at, self.world.records.get(at)) for at in SHOPS]
        return [
            (at, vm)
            for at, record in found
            if isinstance(record, DeploymentRecord)
            for vm in record.vms.values()
        ]

    # ---- what the VIM, the neighbours and time do

    def open_flights(self) -> list[tuple[Key, str]]:
        return sorted((slot for slot in self.world.flights if "watch" not in slot[1]), key=str)

    @precondition(lambda self: self.open_flights())
    @rule(which=an_index, luck=a_luck, at_once=st.booleans())
    def a_call_happens(self, which: int, luck: Luck, *, at_once: bool) -> None:
        slots = self.open_flights()
        slot = slots[which % len(slots)]
        if self.world.perform(slot, luck) and at_once:
            self.world.deliver(slot)

    @rule()
    def all_goes_well_for_a_while(self) -> None:
        for slot in self.open_flights():
            if slot in self.world.flights and self.world.perform(slot, Luck.DONE):
                self.world.deliver(slot)

    @precondition(lambda self: any(f.answer for f in self.world.flights.values()))
    @rule(which=an_index, twice=st.booleans())
    def an_answer_comes(self, which: int, *, twice: bool) -> None:
        slots = [slot for slot in self.open_flights() if self.world.flights[slot].answer]
        self.world.deliver(slots[which % len(slots)], twice=twice)

    @precondition(lambda self: self.world.strays)
    @rule(which=an_index)
    def a_late_answer_comes(self, which: int) -> None:
        strays = self.world.strays
        self.world.tell(*strays.pop(which % len(strays)))

    @precondition(lambda self: self.world.ghosts)
    @rule(which=an_index)
    def a_lost_request_takes_effect(self, which: int) -> None:
        ghosts = self.world.ghosts
        self.world.appear(ghosts[which % len(ghosts)])

    @precondition(lambda self: self.world.servers())
    @rule(which=an_index, well=st.booleans())
    def a_server_is_built(self, which: int, *, well: bool) -> None:
        servers = self.world.servers()
        server = servers[which % len(servers)]
        if server.status == "BUILD":
            if not well:
                self.world.bad_vms.add(server.key.vm)
            self.world.build(server)

    @precondition(lambda self: self.world.watches())
    @rule(which=an_index, holds=st.booleans(), mute=st.booleans())
    def a_vm_speaks_or_falls_silent(self, which: int, *, holds: bool, mute: bool) -> None:
        watches = sorted(self.world.watches(), key=lambda watch: watch[1].slot)
        key, watch = watches[which % len(watches)]
        if mute:
            self.world.silent_vms.add(watch.server.vm)
        elif not holds or self.world.speaks(watch):
            self.world.cross(key, watch, holds=holds)

    @precondition(lambda self: self.world.servers())
    @rule(which=an_index, away=st.booleans(), power=st.sampled_from((Power.OFF, Power.ON)))
    def somebody_else_is_at_work_in_the_vim(self, which: int, *, away: bool, power: Power) -> None:
        servers = self.world.servers()
        server = servers[which % len(servers)]
        self.meddled.add(server.key.vm)
        if away:
            self.world.forget(server)
        elif server.status != "BUILD":
            server.switch(power)

    @rule()
    def the_vim_is_looked_at(self) -> None:
        for key in SHOPS:
            record = self.world.records.get(key)
            for vm in list(record.vms.values()) if isinstance(record, DeploymentRecord) else ():
                server = ServerKey(vm.id, vm.generation)
                found = self.world.at(vm.vim).found(server)
                drifted = ServerDrifted(key=server, status=getattr(found, "status", None))
                self.world.tell(key, drifted)

    @rule(seconds=st.sampled_from(PAUSES), ghosts_act=st.booleans())
    def time_goes_by(self, seconds: float, *, ghosts_act: bool) -> None:
        self.world.sleep(seconds, ghosts_act=ghosts_act)

    @rule(lucks=st.lists(a_luck, max_size=6))
    def the_daemon_restarts(self, lucks: list[Luck]) -> None:
        slots = self.open_flights()
        self.world.restart(dict(zip(slots, lucks, strict=False)))

    @rule(on=st.booleans())
    def the_vim_keeps_what_it_has(self, *, on: bool) -> None:
        self.world.stuck = on

    # ---- what holds at every moment

    @invariant()
    def nothing_is_doubled_or_forgotten(self) -> None:
        assert not doubled(self.world)
        assert not in_vim_but_unknown(self.world)

    @invariant()
    def no_vm_is_made_before_its_turn(self) -> None:
        there = {server.key.vm for server in self.world.servers()}
        for record in self.world.records.values():
            if not isinstance(record, DeploymentRecord) or record.intent is None:
                continue
            if record.id in self.updated:
                continue  # what stood holds nobody up
            waits = {each.group: each.depends_on for each in record.intent.startup}
            for vm in record.vms.values():
                if vm.id in there:
                    for on in waits.get(vm.group, ()):
                        self.all_came_up(record, on.group)

    def all_came_up(self, record: DeploymentRecord, group: str) -> None:
        assert record.intent is not None
        watched = any(each.kpis for each in record.intent.groups if each.name == group)
        kind = EventType.VM_ALIVE if watched else EventType.VM_DEPLOYED
        up = {
            event.source.vmname
            for event in self.world.told(kind)
            if event.source and event.status is EventStatus.SUCCESS
        }
        assert {vm.name for vm in record.vms.values() if vm.group == group} <= up

    @invariant()
    def an_incarnation_is_noted_when_it_begins(self) -> None:
        for record in self.world.records.values():
            if isinstance(record, DeploymentRecord):
                self.began.add(record.id)

    @invariant()
    def the_configuration_is_what_the_records_want(self) -> None:
        for key, intent in self.config.items():
            record = self.world.records.get(key)
            assert (_wanted(record) if record else None) == intent

    # ---- what holds in the end

    def teardown(self) -> None:
        world = self.world
        world.stuck = False
        self.rest()
        for record in world.records.values():
            if isinstance(record, DeploymentRecord):
                self.rests(record)
            elif record.key not in self.kept():
                assert getattr(record, "state", None) in {ResourceState.ACTIVE, ResourceState.ERROR}
        self.edit(dict.fromkeys(self.config))
        self.rest()
        assert not world.records
        assert not world.servers()
        assert not any(vim.ports or vim.volumes.made or vim.resources for vim in world.vims)
        self.events_told_the_story()
        failures = [event for event in world.log if event.status is EventStatus.FAILURE]
        assert not [e for e in failures if not NAMED.search(e.message) and not e.details]

    def rests(self, record: DeploymentRecord) -> None:
        """Nothing is under way, nobody waits, and what is switched off is off."""
        assert record.state in RESTING
        assert not (*record.leftovers, *record.owed)
        assert record.action is None
        assert record.update is None
        broken = any(vm.state is VmState.ERROR for vm in record.vms.values())
        assert record.state is ServiceState.ERROR or not broken
        for vm in record.vms.values():
            assert vm.state in RESTING_VMS
            assert vm.recovery is None or vm.recovery.phase is RecoveryPhase.NEEDED
            assert (vm.power, vm.attempt, vm.deadline) == (None, None, None)
            if vm.state is not VmState.ERROR and vm.server and vm.id not in self.meddled:
                server = self.world.at(vm.vim).servers[vm.server.resource_id]
                off = vm.state is VmState.SHUTOFF
                assert server.status is (ServerStatus.SHUTOFF if off else ServerStatus.ACTIVE)

    def kept(self) -> set[Key]:
        """Return what is to leave, and a VM that an update could not change is in."""
        records = (each for each in self.world.records.values())
        return {
            key
            for record in records
            if isinstance(record, DeploymentRecord)
            and record.intent is not None
            and any(vm.change for vm in record.vms.values())
            for key, _ in record.leaving
        }

    def rest(self) -> None:
        world = self.world
        bound = world.asked + COMMANDS_A_THING * (len(world.records) + 1)
        world.rest()
        kept = self.kept()
        assert not [
            slot for slot in world.flights if "watch" not in slot[1] and slot[0] not in kept
        ]
        assert world.asked <= bound
        self.nothing_is_doubled_or_forgotten()
        self.an_incarnation_is_noted_when_it_begins()

    def events_told_the_story(self) -> None:
        of: dict[RecordId, list[Event]] = {id_: [] for id_ in self.ended}
        for event in self.world.log:
            if event.deployment_id is not None:
                of.setdefault(event.deployment_id, []).append(event)
        for id_, events in of.items():
            ends = [e for e in events if e.type is EventType.SERVICE_UNDEPLOYED]
            assert len(ends) == (1 if id_ in self.ended else 0), (id_, events)
            if id_ in self.began:
                assert not list(illegal(events)), [(e.type, e.status) for e in events]
            if id_ in self.began - self.updated:
                _check_deploy(events)
                _check_undeploy(events)


def _wanted_id(record: object) -> RecordId | None:
    if not isinstance(record, DeploymentRecord):
        return None
    if record.successor is not None:
        return record.successor.id
    return record.id if record.intent is not None else None


def _wanted(record: object) -> Intent:
    successor = getattr(record, "successor", None)
    intent: Intent = successor.intent if successor else getattr(record, "intent", None)
    return intent


_MADE_BEFORE_ITS_VMS: Final = {EventType.CREATE_NETWORK: 0, EventType.CREATE_SUBNET: 1}


def _check_deploy(events: list[Event]) -> None:
    _check_order([e for e in events if e.type in _MADE_BEFORE_ITS_VMS], _MADE_BEFORE_ITS_VMS)
    alive = [i for i, e in enumerate(events) if e.type is EventType.SERVICE_ALIVE]
    for index in alive[:1]:
        late = {EventType.VM_DEPLOYED, *_MADE_BEFORE_ITS_VMS}
        assert not [e for e in events[index:] if e.type in late]


def _check_undeploy(events: list[Event]) -> None:
    order = {
        EventType.VM_UNDEPLOYED: 0,
        EventType.DELETE_SUBNET: 1,
        EventType.DELETE_NETWORK: 2,
        EventType.SERVICE_UNDEPLOYED: 3,
    }
    _check_order([e for e in events if e.type in order], order)
    removed = Counter(
        e.source.vmname for e in events if e.source and e.type is EventType.VM_UNDEPLOYED
    )
    assert all(count == 1 for count in removed.values())


def _check_order(events: Iterable[Event], order: dict[EventType, int]) -> None:
    ranks = [order[event.type] for event in events]
    assert ranks == sorted(ranks), [(e.type, e.network, e.message) for e in events]


AnyOrder.TestCase.settings = settings(
    max_examples=80,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestAnyOrder = AnyOrder.TestCase
