"""The options and kinds of arguments that several commands have."""

import functools
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import click
from click.shell_completion import CompletionItem

from esc_nc_cli.forms import Format
from esc_nc_cli.payload import PayloadRefused
from esc_nc_cli.shell import Shell

E = TypeVar("E", bound=StrEnum)

SECONDS = click.FloatRange(min=0, min_open=True)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FILE_OR_STDIN = click.Path(exists=True, dir_okay=False, allow_dash=True)


class Text(click.ParamType[str]):
    """Text that XML can hold on one line: a name, a path."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value or not value.isprintable():
            self.fail("empty, or with control characters, which have no place in it", param, ctx)
        return value


class Word(click.Argument):
    """An argument that the usage shows by its words, and an error by its name."""

    def get_error_hint(self, ctx: click.Context | None) -> str:  # noqa: ARG002 -- click gives it
        return f"'{self.human_readable_name}'"


class Words(click.Choice[E]):
    """Words that ESC writes in capitals; the user may write them in any case."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> E:
        spelt = {word.value: word for word in self.choices}
        known = spelt.get(value.upper()) if isinstance(value, str) else None
        return super().convert(known or value, param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return super().shell_complete(ctx, param, incomplete.upper())


TEXT = Text()

waited = click.option(
    "--wait", is_flag=True, help="Show events until all of it is done or has failed."
)
FORM = click.Choice(Format, case_sensitive=False)
# Before the command these hold as well; here they are nearer and win.
_format = click.option(
    "-f",
    "--format",
    "shown_as",
    type=FORM,
    help="Print for a program: the answer alone, in this form.",
)
_timeout = click.option(
    "--timeout",
    "seconds",
    type=SECONDS,
    metavar="SECONDS",
    help="As --timeout before the command.",
)


def answered(command: Callable[..., None]) -> Callable[..., None]:
    """Give *command* the options that every command has, told to the shell that it gets."""

    def told(
        shell: Shell, /, *, seconds: float | None, shown_as: Format | None, **arguments: object
    ) -> None:
        command(shell.told(seconds=seconds, shown_as=shown_as), **arguments)

    functools.update_wrapper(told, command)
    return _format(_timeout(click.pass_obj(told)))


def content_of(file: str) -> bytes:
    """
    Return what is in *file*, "-": on standard input.

    Raises:
        PayloadRefused: It cannot be read to its end.

    """
    try:
        with click.open_file(file, "rb") as stream:
            return bytes(stream.read())
    except OSError as error:
        raise PayloadRefused(f"{file}: {error.strerror}") from error
