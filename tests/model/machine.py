"""Any sequence of requests, faults, kills and pauses, and what a client must see all the same."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import hypothesis.strategies as st
from hypothesis.stateful import initialize, precondition, rule

from esc_daemon.domain.record import ActionType
from esc_daemon.domain.states import ServiceState
from esc_daemon.vim.simulator.control import ControlError
from esc_daemon.vim.simulator.faults import Rule
from esc_daemon.vim.simulator.settings import CloudSettings, Quota
from tests.model import nonsense, sheets, trouble
from tests.model.asking import OF_EDITS, Client, errors_of, places_in
from tests.model.believed import edited, in_reply, same
from tests.model.one_loop import OneLoop
from tests.model.sheets import Place

PAUSES: Final = (0.5, 3.0, 8.0, 31.0, 61.0, 301.0)
AFTERWARDS: Final = (0.0, 0.0, 2.0, 8.0, 45.0, 45.0, 45.0)
"""Pauses after a request: most services are at rest by the end of the longest."""
_BY_HAND: Final = (
    ("servers", "silence"),
    ("servers", "answer"),
    ("servers", "power-off"),
    ("servers", "power-on"),
    ("servers", "vanish"),
    ("ports", "vanish"),
    ("networks", "vanish"),
    ("hosts", "down"),
    ("hosts", "up"),
)
_WHILE_STOPPED: Final = frozenset({ActionType.START, ActionType.DISABLE_MONITOR})
"""Ruling 16."""
an_index = st.integers(0, 30)
a_pause = st.sampled_from(AFTERWARDS)


class Model(Client):
    """A client of the daemon, its VIM's operator, and whoever kills daemons."""

    around: Callable[[int, CloudSettings], Any] = OneLoop
    """Makes a daemon and its VIM; see also `two_programs.Programs`."""

    @initialize(
        seed=st.integers(0, 1000),
        build=st.sampled_from((0.0, 1.0)),
        boot=st.sampled_from((0.0, 2.0)),
        servers=st.sampled_from((None, None, None, 3)),
        body=sheets.deployments(),
        then=a_pause,
    )
    def the_daemon_starts(
        self,
        seed: int,
        build: float,
        boot: float,
        servers: int | None,
        body: str,
        then: float,
    ) -> None:
        self.harmless = servers is None
        settings = CloudSettings(
            build_seconds=build, boot_seconds=boot, quota=Quota(servers=servers)
        )
        self.world = type(self).around(seed, settings)
        self.deploy(sheets.PLACES[0], body, "", then)

    # ---- edits

    @rule(
        at=sheets.places,
        body=sheets.deployments(),
        op=st.sampled_from(("", "create", "replace")),
        then=a_pause,
    )
    def deploy(self, at: Place, body: str, op: str, then: float) -> None:
        self.edit(sheets.config(sheets.deployment(at, body, op)))
        self.world.wait(then)

    @precondition(lambda self: bool(places_in(self.believed.running)))
    @rule(which=an_index, part=sheets.parts(), then=a_pause)
    def edit_a_part(self, which: int, part: str, then: float) -> None:
        self.edit(sheets.config(sheets.deployment(self.one(which), part)))
        self.world.wait(then)

    @precondition(lambda self: bool(places_in(self.believed.running)))
    @rule(which=an_index, size=sheets.sizes(), then=a_pause)
    def resize_a_group(self, which: int, size: str, then: float) -> None:
        self.edit(sheets.config(sheets.deployment(self.one(which), size)))
        self.world.wait(then)

    @precondition(lambda self: bool(places_in(self.believed.running)))
    @rule(which=an_index, op=st.sampled_from(("delete", "remove")), whole=st.booleans())
    def undeploy(self, which: int, op: str, *, whole: bool) -> None:
        place = self.one(which)
        alone = sheets.deployment(place, "", op)
        self.remove(sheets.tenant(place[0], op=op) if whole else alone)

    @rule(name=st.sampled_from(sheets.COMMON), there=st.booleans())
    def have_a_common_network(self, name: str, *, there: bool) -> None:
        self.edit(
            sheets.config(sheets.tag("networks", sheets.network(name, "" if there else "remove")))
        )

    # ---- the candidate

    @precondition(lambda self: not self.believed.conflict)
    @rule(
        at=sheets.places, body=sheets.deployments(), op=st.sampled_from(("", "replace", "remove"))
    )
    def draft_a_deployment(self, at: Place, body: str, op: str) -> None:
        self.draft(sheets.deployment(at, "" if op == "remove" else body, op))

    @precondition(
        lambda self: bool(places_in(self.believed.candidate)) and not self.believed.conflict
    )
    @rule(which=an_index, part=sheets.parts())
    def draft_a_part(self, which: int, part: str) -> None:
        there = sorted(places_in(self.believed.candidate))
        self.draft(sheets.deployment(there[which % len(there)], part))

    @precondition(lambda self: self.believed.dirty)
    @rule(then=a_pause)
    def commit(self, then: float) -> None:
        before = self.world.state()
        errors = errors_of(self.world.ask("<commit/>"))
        if errors:
            tags = {"in-use"} if self.believed.conflict else OF_EDITS
            self.is_refusal(errors, tags, paths=True)
            self.is_as(before)
            return
        assert not self.believed.conflict, "running had moved under the candidate"
        self.take(self.believed.candidate)
        self.believed.committed()
        self.world.wait(then)

    @precondition(lambda self: self.believed.dirty)
    @rule()
    def discard(self) -> None:
        before = self.world.state()
        assert not errors_of(self.world.ask("<discard-changes/>"))
        self.believed.discard()
        self.is_as(before)

    # ---- actions

    @precondition(lambda self: bool(places_in(self.believed.running)))
    @rule(which=an_index, type_=st.sampled_from(ActionType), then=a_pause)
    def act_on_a_service(self, which: int, type_: ActionType, then: float) -> None:
        place = self.one(which)
        before, service = self.world.state(), self.opdata().services.get(place)
        if not self.act(of_a_service(place, type_)):
            return
        assert service is not None
        if before.rests and service.state is ServiceState.STOPPED:
            assert type_ in _WHILE_STOPPED
        if type_ in {ActionType.STOP, ActionType.START, ActionType.REBOOT}:
            self.switched[place] = type_ is ActionType.STOP
        self.world.wait(then)

    @precondition(lambda self: bool(places_in(self.believed.running)))
    @rule(which=an_index, type_=st.sampled_from(ActionType), force=st.booleans())
    def act_on_a_vm(self, which: int, type_: ActionType, *, force: bool) -> None:
        for place, name in self.a_vm(which):
            words = {"actionType": type_, "vmName": name, "force": str(force).lower()}
            if self.act(sheets.action("vmAction", **words)):
                self.switched.pop(place, None)

    @precondition(lambda self: bool(places_in(self.believed.running)))
    @rule(which=an_index)
    def recover_a_vm(self, which: int) -> None:
        for _, name in self.a_vm(which):
            self.act(sheets.action("recoveryVmAction", actionType="DO", vmName=name))

    # ---- nonsense

    @rule(request=nonsense.requests)
    def ask_for_nonsense(self, request: nonsense.Nonsense) -> None:
        self.nothing_comes_of(request)

    @precondition(lambda self: bool(places_in(self.believed.running)))
    @rule(which=an_index, make=st.sampled_from(nonsense.ABOUT_A_DEPLOYMENT))
    def ask_for_nonsense_about_what_is_there(
        self, which: int, make: Callable[[Place], nonsense.Nonsense]
    ) -> None:
        self.nothing_comes_of(make(self.one(which)))

    # ---- what the VIM and time do

    @rule(rules=trouble.faults)
    def the_vim_plays_up(self, rules: tuple[Rule, ...]) -> None:
        self.harmless = False
        self.meddled |= any(each.fault == "vanish" for each in rules)
        self.world.play(rules)

    @rule(loads=st.lists(trouble.loads, min_size=1, max_size=2))
    def servers_are_busy_or_idle(self, loads: list[Rule]) -> None:
        self.world.play(tuple(loads))

    @rule()
    def the_vim_is_well_again(self) -> None:
        self.world.play(())

    @rule(which=an_index, how=st.sampled_from(_BY_HAND))
    def somebody_is_at_work_in_the_vim(self, which: int, how: tuple[str, str]) -> None:
        kind, action = how
        there = getattr(self.world.look(), kind)
        if not there:
            return
        self.harmless = False
        self.meddled |= action == "vanish"
        self.powered |= action == "power-on"
        thing = there[which % len(there)]
        id_ = thing.name if kind == "hosts" else thing.id
        with suppress(ControlError):  # it is being built, or goes just now
            self.world.act(kind, id_, action)

    @rule(seconds=st.sampled_from(PAUSES))
    def time_goes_by(self, seconds: float) -> None:
        self.world.wait(seconds)

    # ---- the daemon dies

    @rule()
    def the_daemon_is_killed(self) -> None:
        self.world.kill()
        self.believed.discard()

    @rule(
        at=sheets.places,
        body=sheets.deployments(),
        op=st.sampled_from(("", "replace", "remove")),
        turns=st.integers(0, 60),
    )
    def the_daemon_is_killed_in_an_edit(self, at: Place, body: str, op: str, turns: int) -> None:
        model = sheets.config(sheets.deployment(at, "" if op == "remove" else body, op))
        expected = edited(self.believed.running, model)
        reply = self.world.ask_and_kill(sheets.edit(model), turns)
        self.believed.discard()
        now = in_reply(self.world.ask(sheets.get_config()))
        taken = not same(now, self.believed.running)
        if reply is not None:
            taken = not errors_of(reply)
        if taken:
            assert not expected.refusals
            self.take(expected.data)

    @precondition(lambda self: bool(places_in(self.believed.running)))
    @rule(which=an_index, type_=st.sampled_from(ActionType), turns=st.integers(0, 60))
    def the_daemon_is_killed_in_an_action(self, which: int, type_: ActionType, turns: int) -> None:
        place = self.one(which)
        self.world.ask_and_kill(of_a_service(place, type_), turns)
        self.believed.discard()
        self.switched.pop(place, None)

    # ---- what holds at every moment

    # ---- what holds when all has come to rest

    @precondition(lambda self: bool(places_in(self.believed.running)))
    @rule(stubborn=st.sampled_from(trouble.STUBBORN), which=an_index, again=st.booleans())
    def nothing_of_one_kind_can_be_removed(
        self, stubborn: Rule, which: int, *, again: bool
    ) -> None:
        """What an undeploy cannot take out of the VIM is listed."""
        self.harmless = False
        self.world.play((stubborn,))
        place = self.one(which)
        self.remove(sheets.deployment(place, "", "delete"))
        self.world.rest()
        self.all_is_known()
        self.world.play(())
        if again and place[0] in self.opdata().left_in:
            words = {"actionType": "RETRY", "tenantName": place[0]}
            assert self.act(sheets.action("leftoverAction", **words))

    @rule()
    def all_comes_to_rest(self) -> None:
        self.rests_in_fine_weather()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self.everything_is_undeployed()
        finally:
            self.over = True
            self.world.close()


def of_a_service(place: Place, type_: ActionType) -> str:
    words = {"actionType": type_, "tenantName": place[0], "depName": place[1]}
    return sheets.action("serviceAction", **words)
