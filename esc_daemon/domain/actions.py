"""
The dynamic mapping of actions: what stands behind the text of a rule's action.

An action is data. Its name is the whole text, "when" and all, and is compared without case:
``FALSE RECOVER AUTOHEALING`` is that of ESC's payloads too. A name that nobody knows is accepted,
for the mapping is the operator's, and has no effect.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from esc_daemon.domain.intent import Rule, RuleAction, VmGroup


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


def effect_of(action: RuleAction) -> Effect | None:
    """Return what *action* is for, or None where nothing is known of it."""
    return _EFFECTS.get(_key(action_text(action)))


def has_effect(rules: Iterable[Rule], event_name: str, effect: Effect) -> bool:
    """Tell whether the rules of the KPI *event_name* have an action for *effect*."""
    return any(
        effect_of(action) is effect
        for rule in rules
        if rule.event_name == event_name
        for action in rule.actions
    )


def unknown_actions(group: VmGroup) -> Iterator[tuple[str, str]]:
    """Yield the event name and the text of each action that nothing is known of."""
    for rule in group.rules:
        for action in rule.actions:
            if effect_of(action) is None:
                yield rule.event_name, action_text(action)


def action_text(action: RuleAction) -> str:
    """Return the whole text of *action*, white space as one space."""
    return " ".join(f"{action.when} {action.name}".split())


def _key(text: str) -> str:
    return text.casefold()


_EFFECTS: Final = {_key(action.name): action.effect for action in CORE}
