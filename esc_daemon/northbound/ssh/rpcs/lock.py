"""The global locks: lock and unlock."""

from esc_daemon.netconf.errors import RpcError
from esc_daemon.netconf.messages import Datastore, Lock, Ok, Reply, Unlock
from esc_daemon.netconf.xml import BASE_NS
from esc_daemon.northbound.ssh.dispatch import RpcCall, rpc

_NOBODY = 0
"""RFC 6241 section 7.5: the session-id when no session is in the way."""


@rpc(BASE_NS, "lock", Lock)
async def lock(call: RpcCall[Lock]) -> Reply:
    """RFC 6241 section 7.5; a candidate with changes of others is not locked."""
    target, locks = call.request.target, call.services.locks
    held = locks.held[target] is not None
    if target is Datastore.CANDIDATE and not held and call.services.management.candidate_changed:
        raise RpcError.lock_denied(_NOBODY)
    locks.take(target, call.session.id, call.services.now())
    return Ok()


@rpc(BASE_NS, "unlock", Unlock)
async def unlock(call: RpcCall[Unlock]) -> Reply:
    """RFC 6241 section 7.6."""
    call.services.locks.release(call.request.target, call.session.id)
    return Ok()
