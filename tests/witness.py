"""Who talks to a daemon from outside and reads what it writes: ncclient, our client, the log."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from click.testing import CliRunner, Result
from ncclient import manager
from ncclient.operations.errors import TimeoutExpiredError
from ncclient.transport.errors import TransportError

from esc_nc_cli.cli import main
from tests.programs import LOCAL_USER, Program

SECONDS = 25
"""The longest that a client waits for anything."""

Line = dict[str, Any]


@contextmanager
def connected(program: Program, **login: str | None) -> Iterator[manager.Manager]:
    """Connect with ncclient: as the local user with its key unless told otherwise."""
    ways = {"username": LOCAL_USER, "key_filename": str(program.key)} | login
    session = manager.connect(
        host="127.0.0.1",
        port=program.ports["netconf"],
        hostkey_verify=False,
        allow_agent=False,
        look_for_keys=False,
        timeout=SECONDS,
        **ways,
    )
    try:
        yield session
    finally:
        try:
            session.close_session()
        except TransportError:
            pass  # the daemon may have gone meanwhile
        except TimeoutExpiredError:  # so it may have, between two looks of ncclient at its socket
            if program.process.poll() is None:
                raise


def client(program: Program, *words: str) -> Result:
    """
    Run esc_nc_cli as the local user, in this process: what is tested is the daemon.

    `programs.run` runs it as a program, which costs half a second of a processor more.
    """
    with pytest.MonkeyPatch.context() as quick:
        # ncclient looks at its queue ten times a second; nobody need wait for that.
        quick.setattr("ncclient.transport.session.TICK", 0.005)
        login = ["--data-dir", str(program.folder), "--timeout", str(SECONDS)]
        return CliRunner().invoke(main, [*login, *words])


def logged(program: Program, event: str | None = None, **fields: object) -> list[Line]:
    """Return the lines, or those about *event*, of the program and of those before it there."""
    written = program.log.read_text().splitlines()
    found = [json.loads(line) for line in written if line.startswith("{")]
    if event is not None:
        fields["event"] = event
    return [line for line in found if fields.items() <= line.items()]
