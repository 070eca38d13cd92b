"""What a client remembers of a daemon, and how it holds that against what it sees."""

from collections import Counter
from typing import Any, Final

from hypothesis.stateful import RuleBasedStateMachine, invariant
from lxml import etree

from esc_daemon.domain.events import Event, EventStatus, EventType
from esc_daemon.domain.states import ServiceState
from esc_daemon.netconf.xml import BASE_NS
from tests.domain.legal import illegal
from tests.model import nonsense, seen, sheets
from tests.model.believed import Configuration, Outcome, edited, in_reply, same
from tests.model.sheets import Place
from tests.told import event_of

OF_EDITS: Final = frozenset(
    {
        "in-use",
        "invalid-value",
        "operation-not-supported",
        "resource-denied",
        "operation-failed",
        "data-missing",
        "missing-element",
    }
)
"""What an edit that is no nonsense may be refused with."""
_OF_ACTIONS: Final = frozenset({"in-use", "operation-failed", "data-missing"})


def errors_of(reply: etree._Element) -> list[dict[str, str]]:
    """Return what each rpc-error of *reply* says."""
    return [
        {etree.QName(each).localname: (each.text or "").strip() for each in error}
        for error in reply.iterfind(f"{{{BASE_NS}}}rpc-error")
    ]


class Client(RuleBasedStateMachine):
    """Remembers what it was told, and knows what that means; what it does, its rules say."""

    world: Any
    """The daemon and its VIM, once they were started: a `OneLoop`, or `Programs`."""

    def __init__(self) -> None:
        super().__init__()
        self.believed = Configuration()
        self.heard: list[tuple[str, bytes]] = []
        self.stories: dict[str, list[Event]] = {}
        self.failures: list[str] = []
        self.born = 0
        """Deployments that were ever taken."""
        self.harmless = True
        """Nothing has ever gone wrong in the VIM."""
        self.meddled = False
        """Things may have gone from the VIM that nobody removed."""
        self.powered = False
        """Somebody has switched servers on that we had switched off."""
        self.switched: dict[Place, bool] = {}
        """Whether a service was stopped last, where nothing else may have decided that."""
        self.over = False

    def edit(self, model: str) -> None:
        expected = edited(self.believed.running, model)
        before = self.world.state()
        refused = before.rests and self.changes_what_is_stopped(expected)
        errors = errors_of(self.world.ask(sheets.edit(model)))
        self.judge(errors, expected, before)
        assert errors or not refused, "a stopped service was updated"

    def judge(self, errors: list[dict[str, str]], expected: Outcome, before: Any) -> None:
        """Hold the answer to an edit of running against what it may be."""
        if not errors:
            assert not expected.refusals, expected.refusals
            self.take(expected.data)
            return
        tags = {tag for tag, _ in expected.refusals} or OF_EDITS
        self.is_refusal(errors, tags, paths=True)
        self.is_as(before)

    def take(self, after: Any) -> None:
        """Running is *after* from now on."""
        there, stays = places_in(self.believed.running), places_in(after)
        self.born += len(stays - there)
        for place in stays - there:
            self.switched[place] = False
        for place in there - stays:
            self.switched.pop(place, None)
        self.believed.take(after)

    def is_as(self, before: Any) -> None:
        """What is refused changes nothing."""
        changed = self.world.changed(before)
        assert not changed, f"refused, and there are other {changed}"

    def is_refusal(self, errors: list[dict[str, str]], tags: Any, *, paths: bool = False) -> None:
        found = {error["error-tag"] for error in errors}
        assert found & set(tags), errors
        for error in errors:
            assert error["error-severity"] == "error", error
            assert error.get("error-message"), error
            assert "internal error" not in error["error-message"], error
            assert error.get("error-path") or not paths, error

    def changes_what_is_stopped(self, expected: Outcome) -> bool:
        before, after = bodies(self.believed.running), bodies(expected.data)
        services = self.opdata().services
        return not expected.refusals and any(
            place in after and not same_body(before[place], after[place])
            for place, service in services.items()
            if service.state is ServiceState.STOPPED and place in before
        )

    def remove(self, model: str) -> None:
        """What was deployed can always be undeployed."""
        expected = edited(self.believed.running, sheets.config(model))
        errors = errors_of(self.world.ask(sheets.edit(sheets.config(model))))
        assert not errors, errors
        self.take(expected.data)

    def one(self, which: int) -> Place:
        there = sorted(places_in(self.believed.running))
        return there[which % len(there)]

    def draft(self, model: str) -> None:
        expected = edited(self.believed.candidate, sheets.config(model))
        before = self.world.state()
        errors = errors_of(self.world.ask(sheets.edit(sheets.config(model), target="candidate")))
        if errors:
            tags = {tag for tag, _ in expected.refusals} or OF_EDITS
            self.is_refusal(errors, tags, paths=True)
        else:
            assert not expected.refusals, expected.refusals
            self.believed.touch(expected.data)
        self.is_as(before)

    def a_vm(self, which: int) -> list[tuple[Place, str]]:
        """Return one of those that there are, in a list, which is empty without any."""
        services = self.opdata().services
        names = [(at, name) for at, service in services.items() for name in service.vms]
        return [names[which % len(names)]] if names else []

    def act(self, operation: str) -> bool:
        """Ask for it; tell whether it was taken."""
        before = self.world.state()
        errors = errors_of(self.world.ask(operation))
        if errors:
            self.is_refusal(errors, _OF_ACTIONS)
            self.is_as(before)
        return not errors

    def nothing_comes_of(self, request: nonsense.Nonsense) -> None:
        before = self.world.state()
        errors = errors_of(self.world.ask(request.operation))
        self.is_refusal(errors, request.tags, paths=request.path)
        self.is_as(before)

    @invariant()
    def what_is_told_alternates_and_is_told_again_alike(self) -> None:
        if self.over or not hasattr(self, "world"):
            return
        told = [(time, etree.tostring(event)) for time, event in self.world.told()]
        assert told[: len(self.heard)] == self.heard, "what was told is told again otherwise"
        lives = set()
        for _, text in told[len(self.heard) :]:
            id_, event = event_of(etree.fromstring(text))
            if event.status is EventStatus.FAILURE:
                self.failures.append(f"{event.type}: {event.message}")
            if id_:
                self.stories.setdefault(id_, []).append(event)
                lives.add(id_)
        self.heard = told
        for id_ in lives:
            story = self.stories[id_]
            assert not list(illegal(story)), [
                (e.type, e.status, e.source and e.source.vmname) for e in story
            ]

    @invariant()
    def running_is_what_was_acknowledged(self) -> None:
        if self.over or not hasattr(self, "world"):
            return
        assert same(in_reply(self.world.ask(sheets.get_config())), self.believed.running)
        if self.believed.dirty and not self.believed.conflict:
            there = in_reply(self.world.ask(sheets.get_config("candidate")))
            assert same(there, self.believed.candidate)

    def opdata(self) -> seen.Opdata:
        return seen.opdata_in(self.world.ask(sheets.GET_OPDATA))

    def rests_in_fine_weather(self) -> None:
        self.world.play(())
        self.world.rest()
        self.all_is_known()

    def all_is_known(self) -> None:
        opdata, cloud = self.opdata(), self.world.look()
        wrong = [
            *seen.strangers(opdata, cloud),
            *seen.unwell(opdata, cloud, powered=self.powered),
            *seen.given_twice(opdata, by_us=self.meddled),
            *seen.sizes(opdata, seen.wanted_sizes(self.believed.running)),
            *(() if self.meddled else seen.missing(opdata, cloud)),
            *self.as_wished(opdata),
        ]
        assert not wrong, wrong
        self.what_is_told_alternates_and_is_told_again_alike()

    def as_wished(self, opdata: seen.Opdata) -> list[str]:
        there = places_in(self.believed.running)
        wrong = [f"{at} is deployed: {at not in there}" for at in there ^ opdata.services.keys()]
        if not self.harmless:
            return wrong
        wrong += self.failures
        for place, stopped in self.switched.items():
            wanted = ServiceState.STOPPED if stopped else ServiceState.ACTIVE
            if (state := opdata.services[place].state) is not wanted:
                wrong.append(f"{place} is {state} and should be {wanted}")
        return wrong

    def everything_is_undeployed(self) -> None:
        """In fine weather: then nothing is left anywhere."""
        self.rests_in_fine_weather()
        whole = [sheets.tenant(name, op="remove") for name in sheets.TENANTS]
        nets = [sheets.network(name, "remove") for name in sheets.COMMON]
        self.remove("".join((*whole, sheets.tag("networks", *nets))))
        self.world.rest()
        for _ in range(4):
            opdata = self.opdata()
            if not opdata.left and not opdata.left_vms:
                break
            self.world.wait(61)
            self.world.rest()
        opdata = self.opdata()
        assert opdata == seen.Opdata(), opdata
        left = list(seen.remains(self.world.look()))
        assert not left, left
        self.running_is_what_was_acknowledged()
        self.what_is_told_alternates_and_is_told_again_alike()
        ends = Counter(event.type for story in self.stories.values() for event in story)[
            EventType.SERVICE_UNDEPLOYED
        ]
        assert ends == self.born, f"{self.born} deployments were taken and {ends} undeployed"
        assert not (self.harmless and self.failures), self.failures
        self.world.end()


def bodies(data: Any) -> dict[Place, Any]:
    """Return the deployments of a configuration."""
    return {
        (tenant[0], name[0]): body
        for (_, tenant), inside in data.get(("tenants", ()), {}).items()
        for (_, name), body in inside.get(("deployments", ()), {}).items()
    }


def places_in(data: Any) -> set[Place]:
    return set(bodies(data))


def _without_defaults(body: Any) -> Any:
    """Return *body* without what stands for itself: an edit that writes it changes nothing."""
    if not isinstance(body, dict):
        return body
    return {
        identity: _without_defaults(below)
        for identity, below in body.items()
        if (identity[0], below) != ("elastic", "true")
    }


def same_body(one: Any, other: Any) -> bool:
    def wrapped(body: Any) -> Any:
        deployed = {("deployment", ("x",)): _without_defaults(body)}
        return {("tenants", ()): {("tenant", ("x",)): {("deployments", ()): deployed}}}

    return same(wrapped(one), wrapped(other))
