"""Files that people write: payloads of esc_nc_cli, fault files; read, or refused in words."""

import tempfile
from functools import cache
from pathlib import Path

from esc_daemon.vim.simulator.faults import FaultFileError, load_rules
from esc_nc_cli.payload import PayloadRefused, read_edit, read_input, read_rpc

ESC = "http://www.cisco.com/esc/esc"
RPC = (
    b"<nc:rpc message-id='1'><edit-config><source><running/></source>"
    b"<config><esc_datamodel/></config></edit-config></nc:rpc>"
)
SEEDS = (
    f'\x00<esc_datamodel xmlns="{ESC}"><tenants/></esc_datamodel>'.encode(),
    b"\x00\n<?xml version='1.0'?>" + RPC,
    b"\x00<tenants><tenant operation='delete'><name>a</name></tenant></tenants>",
    b"\x01<serviceAction><actionType>STOP</actionType></serviceAction>",
    b"\x01<rpc xmlns='urn:ietf:params:xml:ns:netconf:base:1.0'><get/></rpc>",
    b"\x02<properties><property><name>a</name></property></properties>",
    b"\x03[[rule]]\nverb = 'ensure_server'\nname = 'x*'\nfault = 'hang'\ncount = 2\n",
    b"\x04" + b'{"rule": [{"verb": "create_server", "fault": "refuse", "probability": 0.5}]}',
)


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz"))


def run(data: bytes) -> None:
    if not data:
        return
    mode, text = data[0] % 5, data[1:]
    try:
        if mode < 3:
            (read_edit, read_rpc, read_input)[mode](text)
            return
        file = _folder() / ("rules.toml" if mode == 3 else "rules.json")
        file.write_bytes(text)
        load_rules(file)
    except (PayloadRefused, FaultFileError) as error:
        told = str(error)
        if not told:
            raise AssertionError("refused without a word") from error
