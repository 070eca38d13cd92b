import pytest

from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.schema import Schema
from esc_daemon.vault import Vault, new_key


@pytest.fixture
def datastore(schema: Schema) -> Datastore:
    return Datastore(schema, Vault(new_key()))
