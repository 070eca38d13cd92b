"""The texts of the YANG modules: get-schema."""

from esc_daemon.netconf.errors import RpcError
from esc_daemon.netconf.messages import GetSchema, Output, Reply
from esc_daemon.netconf.monitoring import schema_text
from esc_daemon.netconf.xml import MONITORING_NS
from esc_daemon.northbound.ssh.dispatch import RpcCall, rpc

_YANG = "yang"


@rpc(MONITORING_NS, "get-schema", GetSchema)
async def get_schema(call: RpcCall[GetSchema]) -> Reply:
    """RFC 6022 section 3.1; each name is there in one version, so that no answer is ambiguous."""
    wanted = call.request
    text = None
    if wanted.format == _YANG:
        text = call.services.management.schema(wanted.identifier, wanted.version)
    if text is None:
        raise RpcError.invalid_value(
            "", "there is no such schema; netconf-state/schemas lists what there is, all as yang"
        )
    return Output((schema_text(text),))
