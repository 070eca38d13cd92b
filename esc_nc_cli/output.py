"""What the user sees: replies as XML, JSON or a table, and events as they come."""

import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum

import click
from lxml import etree
from rich.console import Console
from rich.text import Text

from esc_nc_cli.client import Reply
from esc_nc_cli.discover import Endpoint
from esc_nc_cli.events import Event, line, printable
from esc_nc_cli.xmltree import BASE, ESC, leaf, local_name, qname

# Without the YANG a list with one entry looks like a container. These are lists wherever
# they hold something (network is also the name of a leaf).
_LISTS = frozenset(
    {
        *("tenant", "deployment", "vm_group", "vm_instance", "vm_state_machine", "interface"),
        *("network", "subnet", "image", "flavor", "volume", "kpi", "rule", "configuration"),
        *("variable", "property", "extension", "policy", "condition", "placement", "address"),
        *("static_ip_address_pool", "static_mac_address_pool", "ip_address_range"),
        *("vim_connector", "user", "host"),
    }
)
_LEAF_LISTS = frozenset({"action", "val", "security_group", "vm_group_ref"})
# Steps of opdata down to the deployments: who asks for one of them is shown VMs.
_ABOVE_VMS = frozenset({"opdata", "tenants", "tenant", "deployments"})
_PREDICATE = re.compile(r"\[[^\]]*\]")
_STYLES = {"SUCCESS": "green", "FAILURE": "bold red"}


class Format(StrEnum):
    """How data is shown."""

    XML = "xml"
    JSON = "json"
    TABLE = "table"


def print_reply(title: str, reply: Reply, command: str | None = None) -> None:
    """Print as ESC's own tool does: title, *command* when asked for, the whole rpc-reply."""
    click.echo(title)
    if command is not None:
        click.echo(command)
    click.echo(as_xml(reply.root))


def as_xml(root: etree._Element) -> str:
    text = etree.tostring(root, encoding="unicode", pretty_print=True)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text.rstrip()}'


def command_line(endpoint: Endpoint, words: Sequence[str]) -> str:
    """Return a command that does the same; a password is left out, it would be asked for."""
    options = ["--host", endpoint.host, "--port", str(endpoint.port), "--user", endpoint.user]
    if endpoint.key is not None:
        options += ["--key", str(endpoint.key)]
    if endpoint.known_hosts is not None:
        options += ["--known-hosts", str(endpoint.known_hosts)]
    return shlex.join(["esc_nc_cli", *options, *words])


def error_lines(reply: Reply) -> Iterator[str]:
    for error in reply.errors:
        place = f" at {printable(error.path)}" if error.path else ""
        text = f": {printable(error.message)}" if error.message else ""
        yield f"rpc-{error.severity} {error.tag}{place}{text}"


def as_json(reply: Reply) -> str:
    """Return the data as JSON; values stay strings, for their types stand in the YANG."""
    return json.dumps(_object(_data(reply)), indent=2, ensure_ascii=False)


def as_table(reply: Reply, xpath: str | None = None) -> str:
    """
    Return one row a VM if the data are those of deployments, else one row a leaf.

    *xpath* is what was asked for; it tells "no deployments" from "something else".
    """
    data = _data(reply)
    rows = list(_vm_rows(data))
    if rows or _may_hold_deployments(data, xpath):
        return _columns([("TENANT", "DEPLOYMENT", "SERVICE", "GROUP", "VM", "STATE", "IP"), *rows])
    return _columns([("PATH", "VALUE"), *_leaf_rows(data, "")])


def _data(reply: Reply) -> etree._Element:
    data = reply.root.find(qname(BASE, "data"))
    return reply.root if data is None else data


def _may_hold_deployments(data: etree._Element, xpath: str | None) -> bool:
    if xpath is None:
        return next(data.iter(qname(ESC, "opdata")), None) is not None
    steps = [step.removeprefix("esc:") for step in _PREDICATE.sub("", xpath).strip("/ ").split("/")]
    return "opdata" in steps and steps[-1] in _ABOVE_VMS


def _object(element: etree._Element) -> dict[str, object]:
    content: dict[str, object] = {}
    for below in element:
        name, value = local_name(below), _value(below)
        known = content.get(name)
        if isinstance(known, list):
            known.append(value)
        elif name in content:
            content[name] = [known, value]
        else:
            content[name] = [value] if _is_entry(below) else value
    return content


def _value(element: etree._Element) -> object:
    return _object(element) if len(element) else element.text or ""


def _is_entry(element: etree._Element) -> bool:
    name = local_name(element)
    if name == "deployments":  # a container in the configuration, a list in opdata
        return element.find(qname(ESC, "deployment_name")) is not None
    return name in _LEAF_LISTS or (name in _LISTS and len(element) > 0)


def _vm_rows(data: etree._Element) -> Iterator[tuple[str, ...]]:
    for deployment in data.iter(qname(ESC, "deployments")):
        name, tenant = leaf(deployment, "deployment_name"), deployment.getparent()
        if name is None or tenant is None:
            continue
        service = (leaf(tenant, "name"), name, leaf(deployment, "state_machine", "state"))
        states = {
            leaf(machine, "vm_name"): leaf(machine, "state")
            for machine in deployment.iter(qname(ESC, "vm_state_machine"))
        }
        vms: list[tuple[str | None, ...]] = [
            (leaf(group, "name"), leaf(vm, "name"), states.get(leaf(vm, "name")), _addresses(vm))
            for group in deployment.iterfind(qname(ESC, "vm_group"))
            for vm in group.iterfind(qname(ESC, "vm_instance"))
        ]
        for row in vms or [(None,) * 4]:
            yield tuple(printable(field or "-") for field in (*service, *row))


def _addresses(vm: etree._Element) -> str:
    return ",".join(address.text or "" for address in vm.iter(qname(ESC, "ip_address")))


def _leaf_rows(element: etree._Element, path: str) -> Iterator[tuple[str, ...]]:
    for below in element:
        here = f"{path}/{local_name(below)}"
        name = leaf(below, "name")
        if len(below):
            yield from _leaf_rows(below, here if name is None else f"{here}[{printable(name)}]")
        else:
            yield here, printable(below.text or "")


def _columns(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(field) for field in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(field.ljust(width) for field, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


@contextmanager
def event_screen(doing: str) -> Iterator[Callable[[Event], None]]:
    """Give a function that shows an event: in colour over a spinner, or as a plain line."""
    if not sys.stdout.isatty():
        yield lambda event: click.echo(line(event))
        return
    console = Console(highlight=False, soft_wrap=True)
    with console.status(Text(doing)):
        yield lambda event: console.print(Text(line(event), style=_STYLES.get(event.status, "")))
