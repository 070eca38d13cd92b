"""What the user sees: replies as XML, JSON or a table, and events as they come."""

import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import click
from lxml import etree
from rich.console import Console
from rich.text import Text

from esc_nc_cli.client import Reply
from esc_nc_cli.discover import Endpoint
from esc_nc_cli.events import TABLE_HEAD, Event, as_row, line, printable
from esc_nc_cli.forms import Format, as_json_text, as_object, columns, pretty
from esc_nc_cli.tables import (
    HOLD_HEAD,
    LEAF_HEAD,
    LEFTOVER_HEAD,
    VM_HEAD,
    broken_rows,
    hold_rows,
    leaf_rows,
    leftover_rows,
    vm_rows,
)
from esc_nc_cli.xmltree import BASE, ESC, child, parse, qname

# Steps down to the deployments: who asks for all that is in one of them is shown VMs. Of less than
# a deployment their rows would be dashes, and what was asked for might have no column.
_ABOVE_VMS = frozenset({"esc_datamodel", "opdata", "tenants", "tenant", "deployments", ""})
_PREDICATE = re.compile(r"\[[^\]]*\]")
_STYLES = {"SUCCESS": "green", "FAILURE": "bold red"}
_ERROR_CODES: Mapping[str, int] = {
    "data-missing": 404,
    "operation-not-supported": 501,
    "access-denied": 403,
    **dict.fromkeys(("in-use", "data-exists", "lock-denied", "resource-denied"), 409),
    **dict.fromkeys(("invalid-value", "bad-element", "missing-element", "unknown-element"), 400),
}
"""What ESC, which speaks in the codes of HTTP, would say for an error-tag; 500 for the others."""


def print_reply(
    title: str | None,
    reply: Reply,
    *,
    shown_as: Format | None = None,
    command: str | None = None,
    xpath: str | None = None,
) -> None:
    """
    Print as ESC's own tool does: *title*, *command* when asked for, the whole rpc-reply.

    A program that asks for a form gets that alone on its standard output.
    """
    if title is not None and shown_as is None:
        click.echo(title)
    if command is not None:
        click.echo(command, err=shown_as is not None)
    match shown_as:
        case None | Format.XML:
            click.echo(as_xml(reply.root))
        case Format.JSON:
            click.echo(as_json(reply))
        case Format.TABLE:
            click.echo(as_table(reply, xpath))


def as_xml(root: etree._Element) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{pretty(root)}'


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


def esc_error(reply: Reply) -> etree._Element:
    """Return the first error of *reply* in ESC's own form (VNF operations, "snapshot-action")."""
    first = next(error for error in reply.errors if error.severity != "warning")
    element = etree.Element(qname(BASE, "error"), nsmap={None: BASE})
    child(element, "error_code", str(_ERROR_CODES.get(first.tag, 500)), namespace=BASE)
    child(element, "error_message", first.message or first.tag, namespace=BASE)
    return element


def as_json(reply: Reply) -> str:
    """
    Return the data of *reply* as JSON; a reply without data is one line.

    That is ``{"ok": true}``, or ``{"rpc-error": [...]}`` in the words of RFC 6241 section 4.3.
    """
    data = reply.root.find(qname(BASE, "data"))
    if data is not None and not reply.refused:
        return as_json_text(as_object(data), indent=2)
    content = as_object(reply.root)
    if reply.root.find(qname(BASE, "ok")) is not None:
        content["ok"] = True
    return as_json_text(content)


def as_table(reply: Reply, xpath: str | None = None) -> str:
    """
    Return a row for each VM, leftover and resource in error; of other data for each leaf.

    Who asked for leftovers alone is told more of each; the guard has a table of its own too.

    *xpath* is what was asked for; it tells "no deployments" from "something else", and whole
    deployments from parts of them. An ok and errors are tables of their own.
    """
    if reply.errors:
        return columns([("SEVERITY", "TAG", "PATH", "MESSAGE"), *_error_rows(reply)])
    if reply.root.find(qname(BASE, "ok")) is not None:
        return columns([("REPLY",), ("ok",)])
    data = reply.root.find(qname(BASE, "data"))
    if data is None:
        return columns([LEAF_HEAD, *leaf_rows(reply.root)])
    asked = _steps(xpath)[-1]
    if asked in {"leftovers", "leftover"}:
        return columns([LEFTOVER_HEAD, *leftover_rows(data)])
    if asked in {"recovery_guard", "hold"}:
        return columns([HOLD_HEAD, *hold_rows(data)])
    rows = list(vm_rows(data)) if asked in _ABOVE_VMS else []
    if rows or _may_hold_deployments(data, xpath):
        return columns([VM_HEAD, *rows, *broken_rows(data)])
    return columns([LEAF_HEAD, *leaf_rows(data)])


def _error_rows(reply: Reply) -> Iterator[tuple[str, ...]]:
    for error in reply.errors:
        fields = (error.severity, error.tag, error.path, error.message)
        yield tuple(printable(field or "-") for field in fields)


def _may_hold_deployments(data: etree._Element, xpath: str | None) -> bool:
    if xpath is None:
        return next(data.iter(qname(ESC, "opdata")), None) is not None
    steps = _steps(xpath)
    return "opdata" in steps and steps[-1] in _ABOVE_VMS


def _steps(xpath: str | None) -> list[str]:
    path = _PREDICATE.sub("", xpath or "").strip("/ ")
    return [step.removeprefix("esc:") for step in path.split("/")]


@contextmanager
def event_screen(doing: str, shown_as: Format | None = None) -> Iterator[Callable[[Event], None]]:
    """Give a function that shows an event: in colour over a spinner, plain, or as asked for."""
    if shown_as is Format.TABLE:
        click.echo(TABLE_HEAD)
    if shown_as is not None or not sys.stdout.isatty():
        yield lambda event: click.echo(event_text(event, shown_as))
        return
    console = Console(highlight=False, soft_wrap=True)
    with console.status(Text(doing)):
        yield lambda event: console.print(Text(line(event), style=_STYLES.get(event.status, "")))


def event_text(event: Event, shown_as: Format | None) -> str:
    """Return *event* as a line, as one JSON object a line, as its notification, or as a row."""
    match shown_as:
        case None:
            return line(event)
        case Format.JSON:
            return as_json_text(as_object(_notification(event)))
        case Format.XML:
            return pretty(_notification(event))
        case Format.TABLE:
            return as_row(event)


def _notification(event: Event) -> etree._Element:
    return parse(event.notification.encode(), blanks=False)
