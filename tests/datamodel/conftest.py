import pytest

from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.schema import Schema
from tests.datamodel.documents import VAULT


@pytest.fixture
def datastore(schema: Schema) -> Datastore:
    return Datastore(schema, VAULT)
