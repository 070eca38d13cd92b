"""Listening: create-subscription."""

from esc_daemon.netconf.errors import RpcError
from esc_daemon.netconf.messages import CreateSubscription, Ok, Reply
from esc_daemon.netconf.xml import NOTIFICATION_NS
from esc_daemon.northbound.ssh.dispatch import RpcCall, rpc


@rpc(NOTIFICATION_NS, "create-subscription", CreateSubscription)
async def create_subscription(call: RpcCall[CreateSubscription]) -> Reply:
    """RFC 5277 section 2.1.1; one subscription a session, beside which RPCs go on (section 6)."""
    names = [stream.name for stream in call.services.management.streams()]
    if call.request.stream not in names:
        raise RpcError.invalid_value("", f"there is no such stream; there is: {', '.join(names)}")
    call.session.subscribe(call.request)
    return Ok()
