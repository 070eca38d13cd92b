"""Send any request: rpc."""

import click
from lxml import etree

from esc_nc_cli.options import FILE_OR_STDIN, answered, content_of
from esc_nc_cli.payload import read_rpc
from esc_nc_cli.shell import Shell, warn
from esc_nc_cli.xmltree import BASE, NOTIFICATION, local_name, qname


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
    if query is None:
        return None
    return _path(query[0]) if len(query) else query.get("select")


def _path(asked: etree._Element) -> str:
    """
    Return the path to what the subtree filter *asked* selects, the first of several.

    A leaf with a text only says which entry is meant (RFC 6241 section 6.2.5).
    """
    below = next((each for each in asked if len(each) or not (each.text or "").strip()), None)
    name = local_name(asked)
    return name if below is None else f"{name}/{_path(below)}"  # the parser bounds the depth


COMMANDS = (rpc,)
