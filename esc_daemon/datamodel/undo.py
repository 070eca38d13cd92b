"""The way back from a confirmed commit: an ordinary edit to what the entries were."""

from collections.abc import Mapping

from esc_daemon.datamodel.datastore import Datastore, PendingEdit
from esc_daemon.datamodel.entries import EntryChange, EntryPath, to_element
from esc_daemon.domain.ids import Kind


def edit_back(running: Datastore, undo: Mapping[EntryPath, bytes | None]) -> PendingEdit:
    """
    Return the edit that makes the entries of *undo* what they were, None: not there.

    Whatever somebody put into a tenant meanwhile goes with it, as with any edit that deletes one.
    An entry whose own tenant has gone meanwhile is left alone: it went with it.

    Raises:
        RpcError, RpcErrors: What they were is no longer valid.

    """
    wanted = dict(undo)
    for path, xml in undo.items():
        if path.kind is Kind.TENANT and xml is None:
            wanted |= dict.fromkeys(running.inside_tenant(path.name))
    changes = [
        EntryChange(path=path, old=running.entry(path), new=xml)
        for path, xml in wanted.items()
        if _differs(running, path, xml) and not _stray(running, path, wanted)
    ]
    elements = {
        change.path: None if change.new is None else to_element(change.new) for change in changes
    }
    return running.pending(changes, elements)


def _differs(running: Datastore, path: EntryPath, xml: bytes | None) -> bool:
    entry = running.entry(path)
    return (None if entry is None else entry.xml) != xml


def _stray(running: Datastore, path: EntryPath, wanted: Mapping[EntryPath, bytes | None]) -> bool:
    if path.tenant is None or wanted[path] is None:
        return False
    tenant = EntryPath(Kind.TENANT, None, path.tenant)
    return running.entry(tenant) is None and wanted.get(tenant) is None
