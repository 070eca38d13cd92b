"""
The manual page of esc_nc_cli, drawn from its commands: a document of the man macros (man(7)).

The commands, their arguments and options are click's; the rest is written here.
"""

import inspect
from collections.abc import Collection, Iterator

import click

from esc_nc_cli.cli import main as program
from esc_nc_cli.shell import EXIT_STATUS

NAME = "esc_nc_cli"
DESCRIPTION = """
It speaks NETCONF over SSH, to esc_daemon and to Cisco ESC. Without options it looks for the local
daemon: its port and a key are in its data directory.

A reply is printed as ESC's own tool does: a title, then the whole rpc-reply. With -f nothing but
the answer is on standard output. Warnings, and why a command failed, are on standard error,
each reason in a line that begins with the program's name.

The reply ok says that a change or an action was accepted. How it ends is told by events: --wait
and watch show them.
"""
ENVIRONMENT = {
    "ESC_DATA_DIR": "Data directory of the local daemon, as --data-dir.",
    "ESC_NETCONF_PORT": "Port of the local daemon where ports.json tells none.  [default: 2022]",
    "XDG_STATE_HOME": "Where its default, esc_daemon, is looked for.  [default: ~/.local/state]",
    "_ESC_NC_CLI_COMPLETE": "bash_source, zsh_source or fish_source: print that completion script.",
}
FILES = {
    "ports.json": "In the data directory: the ports of the daemon that runs there.",
    "keys/esc-nc-admin": "In the data directory: the private key of the local user esc-nc-admin.",
}
EXAMPLES = {
    "esc_nc_cli edit-config --wait dep.xml": "Deploy, and show events until the service lives.",
    "esc_nc_cli get -f table esc_datamodel/opdata": "A row for each VM.",
    "esc_nc_cli delete-config dep.xml": "Undeploy what dep.xml deploys.",
    "esc_nc_cli watch --replay 10m -f json": "Events from ten minutes ago on, one a line.",
    'eval "$(_ESC_NC_CLI_COMPLETE=bash_source esc_nc_cli)"': "Complete with the tabulator in bash.",
}
SEE_ALSO = "ssh(1); RFC 6241 (NETCONF), RFC 6242 (over SSH), RFC 5277 (notifications)"


def manual() -> Iterator[str]:
    """Return the page, line by line."""
    ctx = click.Context(program, info_name=NAME)
    yield f'.TH {NAME} 1 "" esc_daemon "User commands"'
    yield from section("NAME", f"{NAME} - drive an ESC over NETCONF")
    yield ".SH SYNOPSIS"
    yield from synopsis(NAME, program, ctx)
    yield from section("DESCRIPTION", *DESCRIPTION.split("\n\n"))
    yield ".SH OPTIONS"
    yield from options(program, ctx)
    yield from commands(ctx)
    yield ".SH EXIT STATUS"
    for code, meaning in EXIT_STATUS.items():
        yield from item(str(code), meaning)
    for title, items in (("ENVIRONMENT", ENVIRONMENT), ("FILES", FILES), ("EXAMPLES", EXAMPLES)):
        yield f".SH {title}"
        for term, meaning in items.items():
            yield from item(term, meaning)
    yield from section("SEE ALSO", SEE_ALSO)


def commands(ctx: click.Context) -> Iterator[str]:
    every = {name: program.commands[name] for name in program.list_commands(ctx)}
    shared = set.intersection(*(set(records(command, ctx)) for command in every.values()))
    yield ".SH COMMANDS"
    yield from paragraphs("Every command also has these options:")
    for term, meaning in records(program.commands["get"], ctx):
        if (term, meaning) in shared:
            yield from item(term, meaning)
    for name, command in every.items():
        below = click.Context(command, parent=ctx, info_name=name)
        yield f'.SS "{escaped(name)}"'
        yield from synopsis(name, command, below)
        yield ".PP"
        yield from paragraphs(*inspect.cleandoc(command.help or "").split("\n\n"))
        yield from options(command, below, without=shared)


def records(command: click.Command, ctx: click.Context) -> list[tuple[str, str]]:
    """Return what --help says of each option, but of --help itself."""
    found = (o.get_help_record(ctx) for o in command.params if isinstance(o, click.Option))
    return [record for record in found if record is not None]


def options(
    command: click.Command, ctx: click.Context, without: Collection[tuple[str, str]] = frozenset()
) -> Iterator[str]:
    for record in records(command, ctx):
        if record not in without:
            yield from item(*record)


def synopsis(name: str, command: click.Command, ctx: click.Context) -> Iterator[str]:
    yield f".B {escaped(name)}"
    yield escaped(" ".join(command.collect_usage_pieces(ctx)))


def section(title: str, *texts: str) -> Iterator[str]:
    yield f".SH {title}"
    yield from paragraphs(*texts)


def paragraphs(*texts: str) -> Iterator[str]:
    for number, text in enumerate(texts):
        if number:
            yield ".PP"
        yield escaped(" ".join(text.split()))


def item(term: str, meaning: str) -> Iterator[str]:
    yield ".TP"
    yield f".B {escaped(term)}"
    yield escaped(" ".join(meaning.split()))


def escaped(text: str) -> str:
    """Return *text* for roff: a leading dot or quote would be a request, a hyphen a soft one."""
    plain = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return f"\\&{plain}" if plain.startswith((".", "'")) else plain
