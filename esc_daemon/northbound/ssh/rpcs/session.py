"""Ending sessions: close-session and kill-session."""

from esc_daemon.netconf.errors import RpcError
from esc_daemon.netconf.messages import CloseSession, KillSession, Ok, Reply
from esc_daemon.netconf.xml import BASE_NS
from esc_daemon.northbound.ssh.dispatch import RpcCall, rpc


@rpc(BASE_NS, "close-session", CloseSession)
async def close_session(call: RpcCall[CloseSession]) -> Reply:
    """RFC 6241 section 7.8."""
    call.session.close_after_reply()
    return Ok()


@rpc(BASE_NS, "kill-session", KillSession)
async def kill_session(call: RpcCall[KillSession]) -> Reply:
    """RFC 6241 section 7.9."""
    victim = call.request.session_id
    if victim == call.session.id:
        raise RpcError.invalid_value("", "a session cannot kill itself: send close-session instead")
    session = call.services.sessions.open.get(victim)
    if session is None:
        raise RpcError.invalid_value("", f"there is no session {victim}")
    session.kill(call.session.id)
    return Ok()
