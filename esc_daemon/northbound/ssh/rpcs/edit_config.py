"""Changing and checking the configuration: edit-config, copy-config and validate."""

from esc_daemon.netconf.edit import DefaultOperation
from esc_daemon.netconf.messages import (
    CopyConfig,
    Datastore,
    EditConfig,
    ErrorOption,
    Ok,
    Reply,
    TestOption,
    Validate,
)
from esc_daemon.netconf.xml import BASE_NS
from esc_daemon.northbound.ssh.dispatch import RpcCall, rpc, to_its_end


@rpc(BASE_NS, "edit-config", EditConfig)
async def edit_config(call: RpcCall[EditConfig]) -> Reply:
    """RFC 6241 section 7.2; ok means accepted and durable, what follows is told by events."""
    call.services.lock.check(call.session.id)
    await to_its_end(call.services.management.edit_config(call.request, call.session.user))
    return Ok()


@rpc(BASE_NS, "copy-config", CopyConfig)
async def copy_config(call: RpcCall[CopyConfig]) -> Reply:
    """RFC 6241 section 7.3, which for us is an edit that replaces all there is."""
    call.services.lock.check(call.session.id)
    edit = EditConfig(
        target=call.request.target,
        default_operation=DefaultOperation.REPLACE,
        test_option=TestOption.TEST_THEN_SET,
        error_option=ErrorOption.ROLLBACK_ON_ERROR,
        config=call.request.config,
    )
    await to_its_end(call.services.management.edit_config(edit, call.session.user))
    return Ok()


@rpc(BASE_NS, "validate", Validate)
async def validate(call: RpcCall[Validate]) -> Reply:
    """RFC 6241 section 8.6.4.1."""
    source = call.request.source
    config = None if isinstance(source, Datastore) else source
    await call.services.management.validate(config, call.session.user)
    return Ok()
