"""File servers of the configuration, as a reader of day-0 files gets them."""

from dataclasses import replace

import pytest

from esc_daemon.dayzero.base import DayZeroRefused
from esc_daemon.domain.ids import Key, Kind
from esc_daemon.domain.intent import FileServer
from esc_daemon.domain.secrets import FILE_SERVER_PASSWORD, secret_place
from esc_daemon.domain.states import ResourceState
from esc_daemon.engine.file_servers import RecordedFileServers
from esc_daemon.vault import Vault
from tests.engine.engine_bench import a_resource

KEY = Key(Kind.FILE_SERVER, None, "fs")
VAULT = Vault(bytes(range(64)))
SENT = FileServer(name="fs", base_url="http://files.example", user="u", password="secret")
SEALED = replace(
    SENT,
    password=VAULT.seal("secret", secret_place(Kind.FILE_SERVER, "fs", FILE_SERVER_PASSWORD)),
)


def servers(intent, vault=VAULT):
    record = a_resource(KEY, ResourceState.ACTIVE, intent=intent)
    return RecordedFileServers({KEY: record}.get, vault.unseal)


def test_a_file_server_is_given_with_its_password_as_it_was_sent():
    assert servers(SEALED).opened("fs") == SENT


def test_one_that_is_not_configured_or_no_longer_is_none():
    assert servers(SEALED).opened("other") is None
    assert servers(None).opened("fs") is None


def test_one_whose_password_cannot_be_opened_is_refused_by_name():
    with pytest.raises(DayZeroRefused, match="password of the file server fs") as refused:
        servers(SEALED, Vault(bytes(64))).opened("fs")

    assert SEALED.password not in str(refused.value)
