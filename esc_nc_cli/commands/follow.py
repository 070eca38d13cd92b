"""Follow what happens: watch."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import click

from esc_nc_cli.apply import checked
from esc_nc_cli.client import Session
from esc_nc_cli.discover import Endpoint
from esc_nc_cli.events import STREAM
from esc_nc_cli.options import answered
from esc_nc_cli.output import event_screen
from esc_nc_cli.shell import Shell
from esc_nc_cli.watch import events, since


def _start_time(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    try:
        return None if text is None else since(text, datetime.now(UTC))
    except ValueError as error:
        raise click.BadParameter(f"{error}; write 10m, 2h or an RFC 3339 time") from error


@click.command()
@click.option(
    "--replay", callback=_start_time, metavar="SINCE", help="Start with the past: 10m, 2h, a time."
)
@click.option("--count", type=click.IntRange(min=1), help="End after so many events.")
@answered
def watch(shell: Shell, *, replay: str | None, count: int | None) -> None:
    """
    Print each event until interrupted.

    An event is a line, with -f json too; with -f xml it is the whole notification. When --timeout
    is over, the exit code is 4.
    """
    endpoint = shell.endpoint()
    deadline = None if shell.seconds is None else time.monotonic() + shell.seconds
    with (
        _subscribed(shell, endpoint, replay) as session,
        event_screen("watching", shell.shown_as) as show,
    ):
        coming = events(session.take, clock=time.monotonic, deadline=deadline)
        for seen, event in enumerate(coming, start=1):
            show(event)
            if seen == count:
                return


@contextmanager
def _subscribed(shell: Shell, endpoint: Endpoint, replay: str | None) -> Iterator[Session]:
    with shell.session(endpoint) as session:
        checked(session.subscribe(replay))
        click.echo(f"watching {STREAM} at {endpoint.host}:{endpoint.port}", err=True)
        yield session


COMMANDS = (watch,)
