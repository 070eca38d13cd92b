import pytest
from documents import VAULT

from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.schema import Schema


@pytest.fixture
def datastore(schema: Schema) -> Datastore:
    return Datastore(schema, VAULT)
