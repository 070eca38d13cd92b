"""What a simulated client asked for, and the edit that asks for it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from esc_daemon.domain.ids import Key, Kind
from esc_daemon.domain.intent import Intent
from esc_daemon.engine.edit import Change, Edit
from esc_daemon.store.base import EntryChange, EntryPath


@dataclass
class Wish:
    """What the configuration says of one key; *unsure* while an edit was not answered."""

    intent: Intent | None
    unsure: list[Intent | None] = field(default_factory=list)


def crossing(edit: Mapping[Key, Any], wishes: Mapping[Key, Wish]) -> bool:
    """
    Tell whether of *edit* and one under way one fills a tenant that the other takes away.

    Either may arrive first. In a world without a datastore nobody makes the tenant anew; with one
    its removal takes along what the other has put there, though no edit names it.
    """
    unsure = [(key, intent) for key, wish in wishes.items() for intent in wish.unsure]
    new = list(edit.items())
    return any(_filled(some) & _taken(others) for some, others in ((new, unsure), (unsure, new)))


def _filled(edit: Iterable[tuple[Key, Any]]) -> set[str]:
    return {key.tenant or key.name for key, intent in edit if intent is not None}


def _taken(edit: Iterable[tuple[Key, Any]]) -> set[str]:
    return {key.name for key, intent in edit if key.kind is Kind.TENANT and intent is None}


def edit_of(edit: Mapping[Key, Any]) -> Edit:
    return Edit(
        changes=tuple(Change(key=key, intent=intent) for key, intent in edit.items()),
        entries=tuple(EntryChange(path=path_of(key), xml=text_of(i)) for key, i in edit.items()),
    )


def path_of(key: Key) -> EntryPath:
    return EntryPath(key.kind.value, key.tenant or "", key.name)


def text_of(intent: Any) -> str | None:
    """Return a text that no other intent has; a connector's repr hides its properties."""
    return None if intent is None else f"{intent!r} {getattr(intent, 'properties', '')}"
