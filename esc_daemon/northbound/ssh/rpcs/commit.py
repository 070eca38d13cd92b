"""The candidate becomes running, or is thrown away: commit and discard-changes."""

from esc_daemon.netconf.messages import Commit, Datastore, DiscardChanges, Ok, Reply
from esc_daemon.netconf.xml import BASE_NS
from esc_daemon.northbound.ssh.dispatch import RpcCall, rpc, to_its_end


@rpc(BASE_NS, "commit", Commit)
async def commit(call: RpcCall[Commit]) -> Reply:
    """RFC 6241 section 8.3.4.1; ok means durable, what follows is told by events."""
    for datastore in (Datastore.RUNNING, Datastore.CANDIDATE):
        call.services.locks.check(datastore, call.session.id)
    await to_its_end(call.services.management.commit(call.session.user))
    return Ok()


@rpc(BASE_NS, "discard-changes", DiscardChanges)
async def discard_changes(call: RpcCall[DiscardChanges]) -> Reply:
    """RFC 6241 section 8.3.4.2."""
    call.services.locks.check(Datastore.CANDIDATE, call.session.id)
    call.services.management.discard_changes()
    return Ok()
