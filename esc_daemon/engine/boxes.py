"""The mailboxes by key, and the records in them."""

from collections.abc import Iterable, Sequence

from esc_daemon.domain.ids import Key, TenantName
from esc_daemon.domain.record import Record
from esc_daemon.engine.index import Index
from esc_daemon.engine.mailbox import Mailbox


class Boxes:
    """What the engine keeps: a mailbox a record, in the order in which they came to be."""

    def __init__(self) -> None:
        self._boxes: dict[Key, Mailbox] = {}
        self.index = Index()

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
        self.index.move(key, before, record)

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
            record for key in self.index.under(tenant) if (record := self.record(key)) is not None
        )
