"""Changing and checking the configuration: edit-config, copy-config and validate."""

from esc_daemon.netconf.messages import CopyConfig, EditConfig, Ok, Reply, Validate
from esc_daemon.netconf.xml import BASE_NS
from esc_daemon.northbound.ssh.dispatch import RpcCall, rpc, to_its_end


@rpc(BASE_NS, "edit-config", EditConfig)
async def edit_config(call: RpcCall[EditConfig]) -> Reply:
    """RFC 6241 section 7.2; ok of running means durable, what follows is told by events."""
    call.services.locks.check(call.request.target, call.session.id)
    await call.services.configuration.edit_config(call.request, call.session.user)
    return Ok()


@rpc(BASE_NS, "copy-config", CopyConfig)
async def copy_config(call: RpcCall[CopyConfig]) -> Reply:
    """RFC 6241 section 7.3."""
    call.services.locks.check(call.request.target, call.session.id)
    session = call.session
    await to_its_end(
        call.services.configuration.copy_config(call.request, session.id, session.user)
    )
    return Ok()


@rpc(BASE_NS, "validate", Validate)
async def validate(call: RpcCall[Validate]) -> Reply:
    """RFC 6241 section 8.6.4.1."""
    await call.services.configuration.validate(call.request.source, call.session.user)
    return Ok()
