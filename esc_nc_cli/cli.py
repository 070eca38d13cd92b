"""The commands, in ESC's own words (ESC User Guide 6.0, "esc_nc_cli")."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
from lxml import etree

from esc_nc_cli.apply import operation, send_and_wait
from esc_nc_cli.client import Reply, Session
from esc_nc_cli.discover import Endpoint, Options
from esc_nc_cli.events import STREAM
from esc_nc_cli.output import Format, as_json, as_table, event_screen
from esc_nc_cli.payload import DefaultOperation, Payload, delete_deployment, read
from esc_nc_cli.shell import Commands, Shell, warn
from esc_nc_cli.watch import events, since
from esc_nc_cli.xmltree import BASE, ESC, qname


def _first_line(_: click.Context, __: click.Parameter, path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        secret = path.read_text().partition("\n")[0]
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{path} is not readable as text") from error
    if not secret:
        raise click.BadParameter(f"the first line of {path} is empty")
    return secret


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_SECONDS = click.FloatRange(min=0, min_open=True)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 refused or failed, 2 usage, 3 connection or login, 4 time-out.",
)
@click.version_option(package_name="esc-daemon", prog_name="esc_nc_cli")
@click.option("--host", help="The server.  [default: the local daemon, else 127.0.0.1]")
@click.option("--port", type=click.IntRange(1, 65535), help="Its NETCONF port.  [default: 2022]")
@click.option("--user", help="Log in as.  [default: esc-nc-admin with the local key, else admin]")
@click.option("--password", help="Visible to other users of this machine: better a file.")
@click.option("--password-file", type=_FILE, callback=_first_line, help="Its first line is taken.")
@click.option("--key", type=_FILE, help="Private key; a password is then its passphrase.")
@click.option("--known-hosts", type=_FILE, help="Check the host key against this file.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the local daemon keeps its ports and key.  [env: ESC_DATA_DIR]",
)
@click.option(
    "--timeout",
    "seconds",
    type=_SECONDS,
    metavar="SECONDS",
    help="Longest wait for a reply (30), for the end with --wait (3600), and to watch (no end).",
)
@click.option("-v", "--verbose", is_flag=True, help="Show an equal command line; errors as XML.")
@click.pass_context
def main(  # noqa: PLR0913  one parameter an option
    ctx: click.Context,
    *,
    host: str | None,
    port: int | None,
    user: str | None,
    password: str | None,
    password_file: str | None,
    key: Path | None,
    known_hosts: Path | None,
    data_dir: Path | None,
    seconds: float | None,
    verbose: bool,
) -> None:
    """Drive an ESC over NETCONF; without options, the daemon on this machine."""
    if password is not None and password_file is not None:
        raise click.UsageError("--password and --password-file exclude each other")
    options = Options(
        host=host,
        port=port,
        user=user,
        password=password or password_file,
        key=key,
        known_hosts=known_hosts,
        data_dir=data_dir,
    )
    ctx.obj = Shell(options=options, seconds=seconds, verbose=verbose)


_wait = click.option("--wait", is_flag=True, help="Show events until it is done or has failed.")
# Before the command it holds as well; this one is nearer and wins.
_timeout = click.option(
    "--timeout",
    "seconds",
    type=_SECONDS,
    metavar="SECONDS",
    help="As --timeout before the command.",
)


@main.command("edit-config")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "--operation",
    type=click.Choice(DefaultOperation, case_sensitive=False),
    help="default-operation of the edit.",
)
@_wait
@_timeout
@click.pass_obj
def edit_config(
    shell: Shell,
    *,
    file: str,
    operation: DefaultOperation | None,
    wait: bool,
    seconds: float | None,
) -> None:
    """
    Send FILE ("-": standard input) to the running datastore.

    FILE holds an esc_datamodel, a config, an edit-config or a whole rpc.
    """
    with click.open_file(file, "rb") as stream:
        payload = read(stream.read(), default_operation=operation)
    words = ["edit-config", file, *(["--operation", operation.value] if operation else [])]
    _send(shell.within(seconds), payload, "Edit Config", words, wait=wait)


@main.command("delete-dep")
@click.argument("tenant")
@click.argument("deployment")
@_wait
@_timeout
@click.pass_obj
def delete_dep(
    shell: Shell, *, tenant: str, deployment: str, wait: bool, seconds: float | None
) -> None:
    """Undeploy DEPLOYMENT of TENANT."""
    payload = delete_deployment(tenant, deployment)
    words = ["delete-dep", tenant, deployment]
    _send(shell.within(seconds), payload, "Delete Deployment", words, wait=wait)


def _send(shell: Shell, payload: Payload, title: str, words: list[str], *, wait: bool) -> None:
    for text in payload.warnings:
        warn(text)
    endpoint = shell.endpoint()

    def print_accepted(reply: Reply) -> None:
        shell.print_reply(title, reply, endpoint, *words, *(["--wait"] if wait else []))

    with shell.session(endpoint) as session:
        if not wait:
            print_accepted(shell.checked(session.request(payload.edit_config)))
            return
        # Two sessions: ESC has no :interleave, a subscribed session takes no requests.
        with shell.session(endpoint) as listener:
            send_and_wait(
                payload.edit_config,
                session=session,
                listener=listener,
                print_accepted=print_accepted,
                verbose=shell.verbose,
                seconds=shell.wait_seconds,
            )


_format = click.option(
    "-f",
    "--format",
    "shown_as",
    type=click.Choice(Format, case_sensitive=False),
    default=Format.XML,
    show_default=True,
    help="json and table print the data alone.",
)


@main.command()
@click.argument("xpath", required=False)
@_format
@_timeout
@click.pass_obj
def get(shell: Shell, *, xpath: str | None, shown_as: Format, seconds: float | None) -> None:
    """Show configuration and operational data, all or at XPATH (esc_datamodel/opdata)."""
    _show(shell.within(seconds), "Get", "get", xpath, shown_as)


@main.command("get-config")
@click.argument("xpath", required=False)
@_format
@_timeout
@click.pass_obj
def get_config(shell: Shell, *, xpath: str | None, shown_as: Format, seconds: float | None) -> None:
    """Show the running configuration, all or at XPATH (esc_datamodel/tenants)."""
    _show(shell.within(seconds), "Get Config", "get-config", xpath, shown_as)


def _show(shell: Shell, title: str, name: str, xpath: str | None, shown_as: Format) -> None:
    query = None
    if xpath is not None:
        # Names in ESC's paths carry no prefix; who writes esc: is understood as well.
        attributes = {"type": "xpath", "select": _xml_text(xpath)}
        query = etree.Element(qname(BASE, "filter"), attributes, nsmap={None: BASE, "esc": ESC})
    endpoint = shell.endpoint()
    with shell.session(endpoint) as session:
        reply = shell.checked(session.request(operation(name, query)))
    match shown_as:
        case Format.XML:
            words = [name] if xpath is None else [name, xpath]
            shell.print_reply(title, reply, endpoint, *words)
        case Format.JSON:
            click.echo(as_json(reply))
        case Format.TABLE:
            click.echo(as_table(reply, xpath))


def _xml_text(text: str) -> str:
    if all(character.isprintable() for character in text):
        return text
    raise click.BadParameter("control characters have no place in it", param_hint="XPATH")


def _start_time(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    try:
        return None if text is None else since(text, datetime.now(UTC))
    except ValueError as error:
        raise click.BadParameter(f"{error}; write 10m, 2h or an RFC 3339 time") from error


@main.command()
@click.option(
    "--replay", callback=_start_time, metavar="SINCE", help="Start with the past: 10m, 2h, a time."
)
@click.option("--count", type=click.IntRange(min=1), help="End after so many events.")
@_timeout
@click.pass_obj
def watch(shell: Shell, *, replay: str | None, count: int | None, seconds: float | None) -> None:
    """Print each event, a line each, until interrupted (or --timeout: exit code 4)."""
    shell = shell.within(seconds)
    endpoint = shell.endpoint()
    deadline = None if shell.seconds is None else time.monotonic() + shell.seconds
    with _subscribed(shell, endpoint, replay) as session, event_screen("watching") as show:
        coming = events(session.take, clock=time.monotonic, deadline=deadline)
        for seen, event in enumerate(coming, start=1):
            show(event)
            if seen == count:
                return


@contextmanager
def _subscribed(shell: Shell, endpoint: Endpoint, replay: str | None) -> Iterator[Session]:
    with shell.session(endpoint) as session:
        shell.checked(session.subscribe(replay))
        click.echo(f"watching {STREAM} at {endpoint.host}:{endpoint.port}", err=True)
        yield session
