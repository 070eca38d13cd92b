"""The mailboxes by key, and the ways to find a record: under its tenant, by a VM of it."""

from collections.abc import Iterable, Sequence

from esc_daemon.domain.ids import Key, TenantName, VmId
from esc_daemon.domain.record import DeploymentRecord, Record
from esc_daemon.engine.mailbox import Mailbox


class Boxes:
    """
    What the engine keeps: a mailbox a record.

    Iterating yields the mailboxes in the order in which they came to be.
    """

    def __init__(self) -> None:
        self._boxes: dict[Key, Mailbox] = {}
        self._children: dict[TenantName | None, dict[Key, None]] = {}
        self._homes: dict[VmId, Key] = {}

    def all(self) -> Sequence[Mailbox]:
        """Return every mailbox."""
        return tuple(self._boxes.values())

    def get(self, key: Key) -> Mailbox | None:
        """Return the mailbox of *key* if there is one."""
        return self._boxes.get(key)

    def box(self, key: Key) -> Mailbox:
        """Return the mailbox of *key*, made if need be."""
        box = self._boxes.get(key)
        if box is None:
            box = self._boxes[key] = Mailbox(key)
        return box

    def unused(self, box: Mailbox) -> None:
        """Forget a mailbox without a record that nobody waits for."""
        if box.unused and self._boxes.get(box.key) is box:
            del self._boxes[box.key]

    def put(self, key: Key, record: Record | None) -> None:
        """Let *record* be seen as the one of *key* from now on; None: there is none."""
        box = self.box(key)
        before, box.record = box.record, record
        if record is not None:
            self._children.setdefault(key.tenant, {})[key] = None
        else:
            under = self._children.get(key.tenant, {})
            under.pop(key, None)
            if not under:
                self._children.pop(key.tenant, None)
        self._index_vms(key, before, record)

    def _index_vms(self, key: Key, before: Record | None, record: Record | None) -> None:
        old = before.vms if isinstance(before, DeploymentRecord) else {}
        new = record.vms if isinstance(record, DeploymentRecord) else {}
        if old.keys() == new.keys():
            return
        for vm in old:
            if vm not in new:
                self._homes.pop(vm, None)
        for vm in new:
            self._homes[vm] = key

    def record(self, key: Key) -> Record | None:
        """Return the record of *key* as it was last committed."""
        box = self._boxes.get(key)
        return box.record if box is not None else None

    def records(self) -> Sequence[Record]:
        """Return every record, in the order in which they came to be."""
        return [box.record for box in self._boxes.values() if box.record is not None]

    def records_under(self, tenant: TenantName | None) -> Iterable[Record]:
        """Return what stands under *tenant*, None: at the root, in the order of arrival."""
        return (
            record
            for key in self._children.get(tenant, ())
            if (record := self.record(key)) is not None
        )

    def home_of(self, vm: VmId) -> Key | None:
        """Return the key of the deployment that has *vm*."""
        return self._homes.get(vm)
