"""Send any request: rpc."""

import click
from lxml import etree

from esc_nc_cli.options import FILE_OR_STDIN, answered, content_of
from esc_nc_cli.payload import read_rpc
from esc_nc_cli.shell import Shell, warn
from esc_nc_cli.xmltree import BASE, NOTIFICATION, qname


@click.command()
@click.argument("file", type=FILE_OR_STDIN)
@answered
def rpc(shell: Shell, *, file: str) -> None:
    """
    Send the request in FILE.

    FILE ("-": standard input) holds a whole rpc, or its operation alone: get, vmAction ... The
    message-id is given by this program. What lasts for a session, as a lock does, ends with the
    command.
    """
    payload = read_rpc(content_of(file))
    warn(*payload.warnings)
    if payload.operation.tag == qname(NOTIFICATION, "create-subscription"):
        warn("the subscription ends with this command; watch shows events")
    endpoint = shell.endpoint()
    with shell.session(endpoint) as session:
        reply = session.request(payload.operation)
    shell.answer("RPC", reply, endpoint, xpath=_xpath(payload.operation))


def _xpath(operation: etree._Element) -> str | None:
    query = operation.find(qname(BASE, "filter"))
    return None if query is None else query.get("select")


COMMANDS = (rpc,)
