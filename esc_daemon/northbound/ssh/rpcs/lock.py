"""The global lock: lock and unlock."""

from esc_daemon.netconf.messages import Lock, Ok, Reply, Unlock
from esc_daemon.netconf.xml import BASE_NS
from esc_daemon.northbound.ssh.dispatch import RpcCall, rpc


@rpc(BASE_NS, "lock", Lock)
async def lock(call: RpcCall[Lock]) -> Reply:
    """RFC 6241 section 7.5."""
    call.services.lock.take(call.session.id, call.services.now())
    return Ok()


@rpc(BASE_NS, "unlock", Unlock)
async def unlock(call: RpcCall[Unlock]) -> Reply:
    """RFC 6241 section 7.6."""
    call.services.lock.release(call.session.id)
    return Ok()
