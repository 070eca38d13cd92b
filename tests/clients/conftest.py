"""One daemon for all clients, and the ways into it."""

import shutil
from collections.abc import Iterator
from itertools import count

import pytest

from tests.clients.client_contract import (
    SECONDS,
    Connect,
    Door,
    NetconfClient,
    a_deployment,
    state_of,
)
from tests.programs import a_daemon, soon

PASSWORD = "correct horse battery"
_numbers = count(1)


@pytest.fixture(scope="session")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("clients")
    secret = folder / "password"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)
    with a_daemon(folder / "data", "--admin-password-file", str(secret)) as daemon:
        yield Door(daemon=daemon, user="admin", password=PASSWORD)


@pytest.fixture(scope="session")
def ssh() -> str:
    program = shutil.which("ssh")
    if program is None:
        pytest.skip("there is no ssh program")
    return program


@pytest.fixture(scope="class")
def tenant(connect: Connect) -> str:
    """Deploy what the tests of one client look at, by the client itself."""
    name = f"tenant-{next(_numbers)}"
    with connect() as client:
        client.edit(a_deployment(name))
        soon(lambda: state_of(client, name) == "SERVICE_ACTIVE_STATE" or None, SECONDS)
    return name


@pytest.fixture
def client(connect: Connect) -> Iterator[NetconfClient]:
    with connect() as session:
        yield session
