"""The global locks: lock and unlock."""

from esc_daemon.netconf.errors import RpcError
from esc_daemon.netconf.messages import Datastore, Lock, Ok, Reply, Unlock
from esc_daemon.netconf.xml import BASE_NS
from esc_daemon.northbound.ssh.dispatch import RpcCall, rpc

_NOBODY = 0
"""RFC 6241 section 7.5: the session-id when no session is in the way."""


@rpc(BASE_NS, "lock", Lock)
async def lock(call: RpcCall[Lock]) -> Reply:
    """
    RFC 6241 section 7.5.

    A candidate with changes is not locked, nor running while another's commit waits for him.
    """
    target, locks = call.request.target, call.services.locks
    configuration = call.services.configuration
    if locks.held[target] is None:
        if target is Datastore.CANDIDATE and configuration.candidate_changed:
            raise RpcError.lock_denied(_NOBODY)
        if target is Datastore.RUNNING and configuration.on_trial not in {None, call.session.id}:
            raise RpcError.lock_denied(configuration.on_trial or _NOBODY)
    locks.take(target, call.session.id, call.services.now())
    return Ok()


@rpc(BASE_NS, "unlock", Unlock)
async def unlock(call: RpcCall[Unlock]) -> Reply:
    """RFC 6241 section 7.6."""
    call.services.locks.release(call.request.target, call.session.id)
    return Ok()
