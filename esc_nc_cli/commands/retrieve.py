"""Look at what there is: get, get-config."""

import click
from lxml import etree

from esc_nc_cli.apply import operation
from esc_nc_cli.options import TEXT, answered
from esc_nc_cli.shell import Shell
from esc_nc_cli.xmltree import BASE, ESC, qname

_xpath = click.argument("xpath", type=TEXT, required=False)


@click.command()
@_xpath
@answered
def get(shell: Shell, *, xpath: str | None) -> None:
    """
    Show configuration and operational data.

    All of it, or what is at XPATH, such as esc_datamodel/opdata; names need no prefixes. A table
    of whole deployments has a row for each VM and for each resource in error, any other a row for
    each leaf.
    """
    show(shell, "Get", "get", xpath)


@click.command("get-config")
@_xpath
@answered
def get_config(shell: Shell, *, xpath: str | None) -> None:
    """
    Show the running configuration.

    All of it, or what is at XPATH, such as esc_datamodel/tenants; names need no prefixes.
    """
    show(shell, "Get Config", "get-config", xpath)


def show(shell: Shell, title: str, name: str, xpath: str | None) -> None:
    """Send the operation *name*, get or get-config, and print what it finds at *xpath*."""
    query = None
    if xpath is not None:
        # Names in ESC's paths carry no prefix; who writes esc: is understood as well.
        attributes = {"type": "xpath", "select": xpath}
        query = etree.Element(qname(BASE, "filter"), attributes, nsmap={None: BASE, "esc": ESC})
    endpoint = shell.endpoint()
    with shell.session(endpoint) as session:
        reply = session.request(operation(name, query))
    shell.answer(title, reply, endpoint, xpath=xpath)


COMMANDS = (get, get_config)
