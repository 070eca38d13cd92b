"""
The dynamic mapping of actions: what stands behind the text of a rule's action.

An action is data. Its name is the whole text, "when" and all, and is compared without case:
``FALSE RECOVER AUTOHEALING`` is that of ESC's payloads too. A name that nobody knows is accepted,
for the mapping is the operator's, and has no effect. One of the operator's own is looked up when
the deployment is accepted, and keeps what it meant then.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from esc_daemon.domain.changed import replace
from esc_daemon.domain.intent import Deployment, PostedEvent, Rule, RuleAction, VmGroup


class ActionKind(StrEnum):
    """What is done (the metaData's type)."""

    LOG = "log"
    POST_EVENT = "esc_post_event"


class Effect(StrEnum):
    """What an action is for."""

    LOG = "a line in the log (`rule.log`)"
    ALIVE = "the VM is alive"
    RECOVER = "the VM is recovered"
    SCALE_OUT = "the group gets one VM more"
    SCALE_IN = "the group gets one VM less"


@dataclass(kw_only=True, slots=True, frozen=True)
class Action:
    """One entry of the dynamic mapping."""

    name: str
    kind: ActionKind = ActionKind.POST_EVENT
    effect: Effect


CORE: Final = (
    Action(name="ALWAYS log", kind=ActionKind.LOG, effect=Effect.LOG),
    Action(name="TRUE servicebooted.sh", effect=Effect.ALIVE),
    Action(name="TRUE esc_vm_alive_notification", effect=Effect.ALIVE),
    Action(name="FALSE recover autohealing", effect=Effect.RECOVER),
    Action(name="TRUE servicescaleup.sh", effect=Effect.SCALE_OUT),
    Action(name="TRUE esc_vm_scale_out_notification", effect=Effect.SCALE_OUT),
    Action(name="TRUE servicescaledown.sh", effect=Effect.SCALE_IN),
    Action(name="TRUE esc_vm_scale_in_notification", effect=Effect.SCALE_IN),
)
"""The actions that there are: the old names and the new ones of the same."""


POSTED: Final[Mapping[PostedEvent, Effect]] = {
    PostedEvent.VM_ALIVE: Effect.ALIVE,
    PostedEvent.VM_RECOVERY: Effect.RECOVER,
    PostedEvent.VM_SCALE_OUT: Effect.SCALE_OUT,
    PostedEvent.VM_SCALE_IN: Effect.SCALE_IN,
    PostedEvent.LOG: Effect.LOG,
}
"""What an action of the operator's own may be for, by what it posts."""


def with_own(deployment: Deployment, own: Mapping[str, PostedEvent]) -> Deployment:
    """Return *deployment* with what its actions post of which *own*, by `action_key`, knows."""
    if not own:
        return deployment
    return replace(
        deployment,
        groups=tuple(
            replace(group, rules=tuple(_rule(rule, own) for rule in group.rules))
            for group in deployment.groups
        ),
    )


def _rule(rule: Rule, own: Mapping[str, PostedEvent]) -> Rule:
    actions = tuple(
        replace(each, posts=own.get(action_key(action_text(each)))) for each in rule.actions
    )
    return replace(rule, actions=actions)


def effect_of(action: RuleAction) -> Effect | None:
    """Return what *action* is for, or None where nothing is known of it."""
    if action.posts is not None:
        return POSTED[action.posts]
    return _EFFECTS.get(action_key(action_text(action)))


def events_with(rules: Iterable[Rule], effect: Effect) -> Container[str]:
    """Return the names of the KPIs whose rules have an action for *effect*."""
    return {
        rule.event_name
        for rule in rules
        if any(effect_of(action) is effect for action in rule.actions)
    }


def unknown_actions(group: VmGroup) -> Iterator[tuple[str, str]]:
    """Yield the event name and the text of each action that nothing is known of."""
    for rule in group.rules:
        for action in rule.actions:
            if effect_of(action) is None:
                yield rule.event_name, action_text(action)


def action_text(action: RuleAction) -> str:
    """Return the whole text of *action*, white space as one space."""
    return " ".join(f"{action.when} {action.name}".split())


def action_key(text: str) -> str:
    """Return the whole text of an action as it is compared."""
    return text.casefold()


def is_core(text: str) -> bool:
    """Tell whether the action of this whole text is one of `CORE`."""
    return action_key(text) in _EFFECTS


_EFFECTS: Final = {action_key(action.name): action.effect for action in CORE}
