"""What all commands share: the options before them, and how errors leave."""

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import click

from esc_nc_cli.apply import Failed, checked
from esc_nc_cli.client import ConnectionFailed, NoReply, Reply, Session, connect
from esc_nc_cli.discover import Endpoint, NoWayIn, Options, locate
from esc_nc_cli.output import command_line, print_reply
from esc_nc_cli.payload import PayloadRefused
from esc_nc_cli.watch import OutOfTime

_REPLY_SECONDS = 30.0
_WAIT_SECONDS = 3600.0
_EXIT_CODES: Mapping[type[Exception], int] = {
    Failed: 1,
    PayloadRefused: 2,
    NoWayIn: 3,
    ConnectionFailed: 3,
    NoReply: 4,
    OutOfTime: 4,
}
_INTERRUPTED = 130  # as a shell reports SIGINT


class Commands(click.Group):
    """A group whose errors are one line each and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except tuple(_EXIT_CODES) as error:
            click.echo(f"esc_nc_cli: {error}", err=True)
            code = next(code for kind, code in _EXIT_CODES.items() if isinstance(error, kind))
            raise click.exceptions.Exit(code) from error
        except KeyboardInterrupt as error:
            raise click.exceptions.Exit(_INTERRUPTED) from error


@dataclass(kw_only=True, slots=True, frozen=True)
class Shell:
    """What the options before the command say."""

    options: Options
    seconds: float | None
    verbose: bool

    @property
    def wait_seconds(self) -> float:
        return self.seconds or _WAIT_SECONDS

    def within(self, seconds: float | None) -> "Shell":
        """Return a shell whose time-out is *seconds*; None: as it was."""
        return self if seconds is None else replace(self, seconds=seconds)

    def endpoint(self) -> Endpoint:
        found = locate(self.options, os.environ, is_root=os.geteuid() == 0, ask=_asker())
        if found.known_hosts is None and not found.is_loopback:
            warn(f"the host key of {found.host} is not checked; give --known-hosts FILE")
        return found

    def session(self, endpoint: Endpoint) -> AbstractContextManager[Session]:
        return connect(endpoint, timeout=self.seconds or _REPLY_SECONDS)

    def checked(self, reply: Reply) -> Reply:
        return checked(reply, verbose=self.verbose)

    def print_reply(self, title: str, reply: Reply, endpoint: Endpoint, *words: str) -> None:
        print_reply(title, reply, command_line(endpoint, words) if self.verbose else None)


def warn(text: str) -> None:
    click.echo(f"warning: {text}", err=True)


def _asker() -> Callable[[str], str] | None:
    return _ask if sys.stdin.isatty() else None


def _ask(question: str) -> str:
    return str(click.prompt(question, hide_input=True, err=True))
