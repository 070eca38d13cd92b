"""The candidate becomes running, or is thrown away: commit, cancel-commit, discard-changes."""

from esc_daemon.netconf.messages import (
    CancelCommit,
    Commit,
    Datastore,
    DiscardChanges,
    Ok,
    Reply,
)
from esc_daemon.netconf.xml import BASE_NS
from esc_daemon.northbound.ssh.dispatch import RpcCall, rpc, to_its_end


@rpc(BASE_NS, "commit", Commit)
async def commit(call: RpcCall[Commit]) -> Reply:
    """RFC 6241 section 8.3.4.1; ok means durable, what follows is told by events."""
    session = call.session
    for datastore in (Datastore.RUNNING, Datastore.CANDIDATE):
        call.services.locks.check(datastore, session.id)
    await to_its_end(call.services.configuration.commit(call.request, session.id, session.user))
    return Ok()


@rpc(BASE_NS, "cancel-commit", CancelCommit)
async def cancel_commit(call: RpcCall[CancelCommit]) -> Reply:
    """RFC 6241 section 8.4.4.1."""
    persist_id, session = call.request.persist_id, call.session
    call.services.locks.check(Datastore.RUNNING, session.id)
    await to_its_end(
        call.services.configuration.cancel_commit(persist_id, session.id, session.user)
    )
    return Ok()


@rpc(BASE_NS, "discard-changes", DiscardChanges)
async def discard_changes(call: RpcCall[DiscardChanges]) -> Reply:
    """RFC 6241 section 8.3.4.2."""
    call.services.locks.check(Datastore.CANDIDATE, call.session.id)
    call.services.configuration.discard_changes()
    return Ok()
