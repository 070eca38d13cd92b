"""What all commands share: the options before them, and how errors leave."""

import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import click

from esc_nc_cli.apply import Failed, Undecided, checked
from esc_nc_cli.client import ConnectionFailed, NoReply, Reply, Session, connect
from esc_nc_cli.discover import Endpoint, NoWayIn, Options, locate
from esc_nc_cli.events import printable
from esc_nc_cli.forms import Format
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
    Undecided: 4,
}
_INTERRUPTED = 130  # as a shell reports SIGINT
EXIT_STATUS: Mapping[int, str] = {
    0: "done",
    1: "refused or failed",
    2: "usage",
    3: "connection or login",
    4: "time-out, session lost after the ok, or answer not shown",
    _INTERRUPTED: "interrupted",
}


class Commands(click.Group):
    """A group whose errors are one line each, with the program's name, and an exit code."""

    WORDS = "esc_nc_cli.words"
    """Where the context's meta has the command and what stands after it, as they were typed."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        ctx.meta[self.WORDS] = tuple(args)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except tuple(_EXIT_CODES) as error:
            for text in str(error).splitlines():  # each can be found alone, as by grep
                click.echo(f"esc_nc_cli: {printable(text)}", err=True)
            code = next(code for kind, code in _EXIT_CODES.items() if isinstance(error, kind))
            raise click.exceptions.Exit(code) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader has seen enough; click ends quietly
                raise
            # Undecided, for what was asked may have been taken: the answer is all that is missing.
            why = error.strerror or error
            click.echo(f"esc_nc_cli: the answer cannot be shown: {why}; look with get", err=True)
            raise click.exceptions.Exit(_EXIT_CODES[Undecided]) from error
        except KeyboardInterrupt as error:
            raise click.exceptions.Exit(_INTERRUPTED) from error


@dataclass(kw_only=True, slots=True, frozen=True)
class Shell:
    """What the options say, those before the command and those that every command has."""

    options: Options
    seconds: float | None
    verbose: bool
    words: Sequence[str] = ()
    """The command and what stands after it."""
    shown_as: Format | None = None

    @property
    def wait_seconds(self) -> float:
        return self.seconds or _WAIT_SECONDS

    def told(self, *, seconds: float | None, shown_as: Format | None) -> "Shell":
        """Return a shell with the options of a command; None: as before it."""
        return replace(self, seconds=seconds or self.seconds, shown_as=shown_as or self.shown_as)

    def endpoint(self) -> Endpoint:
        found = locate(self.options, os.environ, is_root=os.geteuid() == 0, ask=_asker())
        if found.known_hosts is None and not found.is_loopback:
            warn(f"the host key of {found.host} is not checked; give --known-hosts FILE")
        return found

    def session(self, endpoint: Endpoint) -> AbstractContextManager[Session]:
        return connect(endpoint, timeout=self.seconds or _REPLY_SECONDS)

    def answer(
        self, title: str | None, reply: Reply, endpoint: Endpoint, *, xpath: str | None = None
    ) -> None:
        """
        Print *reply* in the form that was asked for.

        Raises:
            Failed: It is an rpc-error.
        """
        command = command_line(endpoint, self.words) if self.verbose else None
        print_reply(title, reply, shown_as=self.shown_as, command=command, xpath=xpath)
        checked(reply)


def warn(*texts: str) -> None:
    for text in texts:
        click.echo(f"warning: {text}", err=True)


def _asker() -> Callable[[str], str] | None:
    return _ask if sys.stdin.isatty() else None


def _ask(question: str) -> str:
    return str(click.prompt(question, hide_input=True, err=True))
