"""
What must hold of what was told by a daemon that was killed again and again.

Each function returns its violations as sentences: of what, expected, found. None: all is well.
What may follow what is the table of the tests, `tests/domain/legal.py`.
"""

import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import pairwise, takewhile

from client import Notification
from operating import Life

from esc_daemon.domain.events import Event, EventStatus, EventType
from tests.domain.legal import At, life_of
from tests.domain.legal import Life as Standing

LONGEST_STORY = 30
"""Events of a life that a finding shows, the last ones."""
_OF_A_SERVICE = {
    "STOP": EventType.SERVICE_STOPPED,
    "START": EventType.SERVICE_STARTED,
    "REBOOT": EventType.SERVICE_REBOOTED,
    "DISABLE_MONITOR": EventType.SERVICE_MONITOR_UNSET,
    "ENABLE_MONITOR": EventType.SERVICE_ALIVE,
}
_OF_A_VM = {
    "STOP": EventType.VM_STOPPED,
    "START": EventType.VM_STARTED,
    "REBOOT": EventType.VM_REBOOTED,
    "DISABLE_MONITOR": EventType.VM_MONITOR_UNSET,
    "ENABLE_MONITOR": EventType.VM_MONITOR_SET,
    "RECOVER": EventType.VM_RECOVERY_INIT,
}
"""What tells that what was asked for has ended, or, of a recovery, begun."""
_BY_ITSELF = (EventType.VM_RECOVERY_INIT,)
"""These come without being asked for."""
_NOT_ALWAYS = (EventType.VM_MONITOR_SET,)
"""A VM that is watched anew and never lives does not tell it."""
_TAKEN = re.compile(r"address \S+( of \S+)? is in use")
"""Each VIM hands out addresses of its own: that which a VM brings along may be another's there."""

_BROKEN_OFF = "its recovery was broken off, since it is to move"


def same_history(heard: Sequence[Notification], replayed: Sequence[Notification]) -> Iterator[str]:
    """What was put together from many sessions is the whole log, in its order, each once."""
    for each, count in Counter(replayed).items():
        if count > 1:
            yield f"log: expected once, found {count} times at {each.time}: {_text(each)}"
    for missed in sorted(set(replayed) - set(heard), key=lambda each: each.time):
        yield f"listener: expected what is logged at {missed.time}, never heard: {_text(missed)}"
    for lost in sorted(set(heard) - set(replayed), key=lambda each: each.time):
        yield f"log: expected what was heard at {lost.time}, not found: {_text(lost)}"
    if set(heard) == set(replayed) and list(heard) != list(replayed):
        yield "listener: expected the order of the log, heard another one"
    times = [each.moment for each in replayed]
    for before, after in pairwise(times):
        if after < before:
            yield f"log: expected ascending times, found {after} after {before}"


def _text(notification: Notification) -> str:
    return notification.payload.decode()


class History:
    """What was told of each incarnation of each deployment."""

    def __init__(self, told: Iterable[Event]) -> None:
        self._stories: dict[str, dict[str, list[Event]]] = {}
        self._ended: set[str] = set()
        """The incarnations that were told to be over."""
        self._failed: list[Event] = []
        for event in told:
            if event.deployment_id and event.deployment:
                stories = self._stories.setdefault(event.deployment, {})
                stories.setdefault(event.deployment_id, []).append(event)
            if event.type is EventType.SERVICE_UNDEPLOYED and event.deployment_id:
                self._ended.add(event.deployment_id)
            if event.status is not EventStatus.SUCCESS:
                self._failed.append(event)

    def failures(self, allowed: Container[EventType] = ()) -> Iterator[str]:
        """
        Yield what failed, but for what is *allowed*: for when no VIM refuses anything.

        What fails by the name of a VM that waits for the operator is no finding: nothing waits for
        people. Nor is a move to where another VM has the address, and what comes of that later: the
        service is not well until it is taken back, and what else was to be done by it is not. Nor
        is a recovery that a move broke off.
        """
        crowded: set[str | None] = set()
        for event in self._failed:
            if event.deployment_id and _TAKEN.search(event.message):
                crowded.add(event.deployment_id)
            is_other = event.type not in allowed and event.deployment_id not in crowded
            is_other = is_other and _BROKEN_OFF not in (event.details or "")
            if is_other and not self._waits_for_people(event):
                of = event.deployment or "a resource"
                yield f"{of}: expected {event.type} SUCCESS, found FAILURE: {event.message}"

    def found_no_room(self, name: str) -> bool:
        """Tell whether a VM of the incarnation that goes on was to move to where its address is."""
        return any(
            event.deployment == name
            and event.deployment_id not in self._ended
            and _TAKEN.search(event.message)
            for event in self._failed
        )

    def _waits_for_people(self, failed: Event) -> bool:
        story = self._stories.get(failed.deployment or "", {}).get(failed.deployment_id or "", [])
        vms = life_of([*takewhile(lambda each: each is not failed, story)]).vms
        return any(at is At.NEEDED and vm in failed.message for vm, at in vms.items())

    def strangers(self, names: Container[str]) -> Iterator[str]:
        """Yield the deployments that nobody asked for."""
        for name in self._stories:
            if name not in names:
                yield f"{name}: expected no event, for nobody asked for it, found some"

    def wrong(
        self, name: str, asked: Sequence[Life], *, there: bool, doubtful: int = 0
    ) -> Iterator[str]:
        """
        Yield what is wrong about the lives of one deployment; *there*: the last one goes on.

        There may be so many *doubtful* ones besides. The others were acknowledged.
        Which incarnation is which tell the ids that operators saw. Events do not: one that is
        taken back while it waits for the end of the one before it may be over first.
        """
        stories = self._stories.get(name, {})
        if not len(asked) <= len(stories) <= len(asked) + doubtful:
            perhaps = f" (and perhaps {doubtful})" if doubtful else ""
            yield f"{name}: expected {len(asked)} lives{perhaps}, found {len(stories)}"
        ongoing = stories.keys() - self._ended
        if len(ongoing) != there:
            yield f"{name}: expected {int(there)} lives that go on, found {len(ongoing)}"
        known = {life.id: life for life in asked if life.id}
        for id_ in known.keys() - stories.keys():
            yield f"{name} {id_}: expected events, for it was shown, found none"
        unseen = _together(life for life in asked if not life.id)
        for id_, story in stories.items():
            for fault in (
                *_of_the_table(story, lasts=id_ in ongoing),
                *_of_its_begin(story),
                *_of_what_was_asked(story, known.get(id_, unseen), is_over=id_ not in ongoing),
            ):
                yield f"{name} {id_}: {fault}; told: {_shown(story)}"

    def vms(self, name: str, asked: Sequence[Life]) -> Iterator[tuple[str, Life]]:
        """Yield the VMs that were told of, each with its life; those in *asked* have ids."""
        known = {life.id: life for life in asked}
        for id_, story in self._stories.get(name, {}).items():
            for event in story:
                for about in (event.source, event.target):
                    if about is not None:
                        yield about.vmname, known.get(id_, Life())

    def last(self, name: str) -> Standing:
        """Return where the life of a deployment stands that goes on."""
        stories = self._stories.get(name, {})
        return life_of(next((stories[id_] for id_ in stories if id_ not in self._ended), []))


def _together(lives: Iterable[Life]) -> Life:
    """Return what those incarnations were asked for of which nobody knows which is which."""
    together = Life()
    for life in lives:
        together.perhaps += life.perhaps
    return together


def _of_the_table(story: Sequence[Event], *, lasts: bool) -> Iterator[str]:
    life = life_of(story)
    for fault in life.faults:
        yield f"expected a legal order, found {fault}"
    if life.is_over is lasts:
        yield f"expected it to {'go on' if lasts else 'be over'}, found it {life.service}"
    for what in life.unended() if lasts else ():
        yield f"expected an end of what began, found none: {what}"


def _of_its_begin(story: Sequence[Event]) -> Iterator[str]:
    """A service is alive after all its VMs, which are all watched."""
    alive = next((each for each in story if each.type is EventType.SERVICE_ALIVE), None)
    if alive is None or alive.status is not EventStatus.SUCCESS:
        return
    before = [each for each in story[: story.index(alive)] if each.source is not None]
    made = {_vm(each) for each in before if each.type is EventType.VM_DEPLOYED}
    lived = {_vm(each) for each in before if each.type is EventType.VM_ALIVE}
    for vm in sorted(made - lived):
        yield f"expected VM_ALIVE of {vm} before SERVICE_ALIVE, found none"


def _of_what_was_asked(story: Sequence[Event], life: Life, *, is_over: bool) -> Iterator[str]:
    """
    What was acknowledged began and ended, once each; what was cut off may have, too.

    An undeploy interrupts what is under way: the end of the last thing is not told then.
    """
    told = Counter((each.type, _vm(each)) for each in story)
    updates = told[EventType.SERVICE_UPDATING_STATE, ""]
    if not life.updates <= updates <= life.updates + life.perhaps_updates:
        perhaps = f" (and perhaps {life.perhaps_updates})" if life.perhaps_updates else ""
        yield f"expected {life.updates} updates{perhaps} that began, found {updates}"
    vms = {vm for _, vm in (*told, *life.asked, *life.perhaps) if vm}
    subjects = [("", _OF_A_SERVICE), *((vm, _OF_A_VM) for vm in sorted(vms))]
    for vm, events in subjects:
        for what, event in events.items():
            found = told[event, vm]
            interrupted = is_over and life.last.get(vm) == what
            least = life.asked[what, vm] - interrupted
            most = _at_most(life, what, vm)
            if found < least and event not in _NOT_ALWAYS:
                yield f"expected {event} of {vm or 'it'} {least} times at least, found {found}"
            if found > most and event not in _BY_ITSELF:
                yield f"expected {event} of {vm or 'it'} {most} times at most, found {found}"


def _at_most(life: Life, what: str, vm: str) -> int:
    """Return how often the end of *what* may be told: a service's actions are its VMs', too."""
    asked = sum(count[what, of] for count in (life.asked, life.perhaps) for of in {vm, ""})
    is_its_deploy = not vm and _OF_A_SERVICE[what] is EventType.SERVICE_ALIVE
    return asked + is_its_deploy


def _vm(event: Event) -> str:
    return event.source.vmname if event.source else ""


def _shown(story: Sequence[Event]) -> str:
    """Return the end of *story*, short: VMs without the name of the deployment and their uuid."""
    told = []
    for event in story[-LONGEST_STORY:]:
        about = event.target or event.source
        vm = "_".join(about.vmname.split("_")[1:3]) if about else ""
        bad = "" if event.status is EventStatus.SUCCESS else " FAILURE"
        told.append(f"{event.type}{f'({vm})' if vm else ''}{bad}")
    return f"{'... ' if len(story) > LONGEST_STORY else ''}{', '.join(told)}"
