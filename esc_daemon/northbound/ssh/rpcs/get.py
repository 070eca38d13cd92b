"""Reading: get and get-config."""

from esc_daemon.netconf.messages import Data, Get, GetConfig, Reply
from esc_daemon.netconf.xml import BASE_NS
from esc_daemon.northbound.ssh.dispatch import RpcCall, rpc


@rpc(BASE_NS, "get", Get)
async def get(call: RpcCall[Get]) -> Reply:
    """RFC 6241 section 7.7."""
    wanted, management = call.request, call.services.management
    return Data(await management.get(wanted.filter, call.session.user, wanted.with_defaults))


@rpc(BASE_NS, "get-config", GetConfig)
async def get_config(call: RpcCall[GetConfig]) -> Reply:
    """RFC 6241 section 7.1."""
    wanted, management = call.request, call.services.management
    return Data(
        await management.get_config(
            wanted.filter, call.session.user, wanted.with_defaults, source=wanted.source
        )
    )
