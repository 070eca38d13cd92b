"""What a simulated client asked for, and the edit that asks for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from esc_daemon.domain.ids import Key
from esc_daemon.domain.intent import Intent
from esc_daemon.engine.edit import Change, Edit
from esc_daemon.store.base import EntryChange, EntryPath


@dataclass
class Wish:
    """What the configuration says of one key; *unsure* while an edit was not answered."""

    intent: Intent | None
    unsure: list[Intent | None] = field(default_factory=list)


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
