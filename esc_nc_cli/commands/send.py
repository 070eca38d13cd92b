"""Send any request: rpc."""

from collections.abc import Iterator

import click
from lxml import etree

from esc_nc_cli.options import FILE_OR_STDIN, answered, content_of
from esc_nc_cli.payload import read_rpc
from esc_nc_cli.shell import Shell, warn
from esc_nc_cli.xmltree import BASE, NOTIFICATION, leaf, local_name, qname


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
    warn(*_ends_with_the_session(payload.operation))
    endpoint = shell.endpoint()
    with shell.session(endpoint) as session:
        reply = session.request(payload.operation)
    shell.answer("RPC", reply, endpoint, xpath=_xpath(payload.operation))


def _ends_with_the_session(operation: etree._Element) -> Iterator[str]:
    """Yield what of an ok will be undone when this command ends: its session goes with it."""
    if operation.tag == qname(NOTIFICATION, "create-subscription"):
        yield "the subscription ends with this command; watch shows events"
    elif operation.tag == qname(BASE, "lock"):
        yield "the lock ends with this command; to hold one, keep a session open (ncclient, ssh)"
    elif operation.tag == qname(BASE, "commit") and _is_tried_by_this_session(operation):
        yield (
            "the confirmed commit is taken back when this command ends; give it "
            "<persist>WORD</persist>, and confirm it with <persist-id>WORD</persist-id>"
        )


def _is_tried_by_this_session(commit: etree._Element) -> bool:
    """RFC 6241 section 8.4.1: with persist it outlives its session."""
    confirmed = commit.find(qname(BASE, "confirmed"))
    return confirmed is not None and leaf(commit, "persist", namespace=BASE) is None


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
