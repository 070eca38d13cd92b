"""The way back from a confirmed commit: an ordinary edit to what the entries were."""

from collections.abc import Mapping

from esc_daemon.datamodel.datastore import Datastore, PendingEdit
from esc_daemon.datamodel.entries import EntryChange, EntryPath, to_element
from esc_daemon.domain.ids import Kind


def edit_back(running: Datastore, undo: Mapping[EntryPath, bytes | None]) -> PendingEdit:
    """
    Return the edit that makes the entries of *undo* what they were, None: not there.

    What is in a tenant that was not there goes with it, as with any edit that deletes one.
    What has gone meanwhile was removed by others, since what is on trial removes nothing: it is
    not brought back.

    Raises:
        RpcError, RpcErrors: What they were is no longer valid.

    """
    wanted = dict(undo)
    for path, xml in undo.items():
        if path.kind is Kind.TENANT and xml is None:
            wanted |= dict.fromkeys(running.inside_tenant(path.name))
    changes = [
        EntryChange(path=path, old=entry, new=xml)
        for path, xml in wanted.items()
        if (entry := running.entry(path)) is not None and entry.xml != xml
    ]
    elements = {
        change.path: None if change.new is None else to_element(change.new) for change in changes
    }
    return running.pending(changes, elements)
