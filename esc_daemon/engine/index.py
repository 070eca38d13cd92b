"""
Where records are found but by their keys.

Under a tenant, by the edit that moved them, by a VM of theirs, by what they use.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from typing import TypeVar

from esc_daemon.domain.ids import Key, RecordId, TenantName, VmId
from esc_daemon.domain.neighbours import Part, takes_part
from esc_daemon.domain.record import DeploymentRecord, Record
from esc_daemon.domain.uses import named_by

ItemT = TypeVar("ItemT")


class Index:
    """Follows from the records alone, and is moved with each of them."""

    def __init__(self) -> None:
        self.tenants: dict[TenantName | None, dict[Key, None]] = {}
        self.edits: dict[Part, dict[TenantName | None, dict[Key, RecordId]]] = {}
        self.vms: dict[VmId, Key] = {}
        self._users: dict[Key, dict[Key, None]] = {}

    def under(self, tenant: TenantName | None) -> Iterable[Key]:
        """Return what stands under *tenant*, None: at the root, in the order of arrival."""
        return self.tenants.get(tenant, ())

    def users(self, key: Key) -> Iterable[Key]:
        """Return the deployments that name what stands at *key*, in the order of arrival."""
        return self._users.get(key, ())

    def took(self, part: Part, tenant: TenantName | None) -> Sequence[tuple[Key, RecordId]]:
        """Return who takes part in the order of an edit: see `Took`."""
        parts = self.edits.get(part, {})
        found = parts.values() if tenant is None else (parts.get(tenant, {}), parts.get(None, {}))
        return list(chain.from_iterable(keys.items() for keys in found))

    def move(self, key: Key, before: Record | None, record: Record | None) -> None:
        """Take note that *record* stands under *key* in place of *before*."""
        if record is None:
            _discard(self.tenants, key.tenant, key)
        elif before is None:
            self.tenants.setdefault(key.tenant, {})[key] = None
        was, now = takes_part(before), takes_part(record)
        for part in was:
            if part not in now:  # who stays keeps its place
                self._leave(part, key)
        for part, id_ in now.items():
            self.edits.setdefault(part, {}).setdefault(key.tenant, {})[key] = id_
        self._move_vms(key, _vms_of(before), _vms_of(record))
        if _asked(before) != _asked(record):
            self._move_uses(key, dict.fromkeys(named_by(before)), dict.fromkeys(named_by(record)))

    def _move_vms(self, key: Key, old: Collection[VmId], new: Collection[VmId]) -> None:
        if old == new:
            return
        for vm in old:
            if vm not in new:
                del self.vms[vm]
        for vm in new:
            self.vms[vm] = key

    def _move_uses(self, key: Key, old: Collection[Key], new: Collection[Key]) -> None:
        for used in old:
            if used not in new:
                del self._users[used][key]
                if not self._users[used]:
                    del self._users[used]
        for used in new:
            self._users.setdefault(used, {})[key] = None

    def _leave(self, part: Part, key: Key) -> None:
        _discard(self.edits[part], key.tenant, key)
        if not self.edits[part]:
            del self.edits[part]


def _vms_of(record: Record | None) -> Collection[VmId]:
    return record.vms.keys() if isinstance(record, DeploymentRecord) else ()


def _asked(record: Record | None) -> tuple[int, ...]:
    """Tell by identity what a deployment asks for: most steps of it change nothing of that."""
    if not isinstance(record, DeploymentRecord):
        return ()
    return id(record.intent), id(record.successor)


def _discard(
    under: dict[TenantName | None, dict[Key, ItemT]], tenant: TenantName | None, key: Key
) -> None:
    keys = under.get(tenant, {})
    keys.pop(key, None)
    if not keys:
        under.pop(tenant, None)
