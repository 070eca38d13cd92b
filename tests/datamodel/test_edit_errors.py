import pytest

from esc_daemon.datamodel.datastore import MAX_ERRORS, Datastore
from esc_daemon.netconf.errors import RpcError, RpcErrors
from tests.datamodel.documents import config, deployment

DELETE = 'nc:operation="delete"'


# RFC 6241 section 4.3: a reply may tell several errors


def errors_of(datastore: Datastore, body: str) -> list[tuple[str, str]]:
    with pytest.raises((RpcError, RpcErrors)) as caught:
        datastore.edit(config(body))
    error = caught.value
    assert isinstance(error, RpcError | RpcErrors)
    errors = error.errors if isinstance(error, RpcErrors) else (error,)
    return [(each.tag.value, each.path.rpartition("esc:")[2]) for each in errors]


def test_each_wrong_entry_of_an_edit_is_told(datastore: Datastore) -> None:
    absent = "".join(f"<network {DELETE}><name>{name}</name></network>" for name in "ab")
    unknown = "<image><name>i</name><colour/></image>"
    wrong = "<flavor><name>f</name><vcpus>many</vcpus><memory_mb>1</memory_mb></flavor>"

    told = errors_of(
        datastore,
        f"<networks>{absent}</networks><images>{unknown}</images><flavors>{wrong}</flavors>",
    )

    assert told == [
        ("data-missing", "name='a']"),
        ("data-missing", "name='b']"),
        ("unknown-element", "name='i']"),
        ("invalid-value", "vcpus"),
    ]


def test_an_entry_that_is_wrong_is_not_judged_a_second_time(datastore: Datastore) -> None:
    stored = "<networks><network><name>n</name></network></networks>"
    datastore.commit(datastore.edit(config(stored)))
    create = 'nc:operation="create"'
    twice = f"<network {create}><name>n</name></network><network {create}><name>n</name></network>"

    assert errors_of(datastore, f"<networks>{twice}</networks>") == [("data-exists", "name='n']")]


def test_what_stands_inside_a_wrong_tenant_is_not_judged(datastore: Datastore) -> None:
    wrong = f"<colour/>{deployment(attributes=DELETE)}"

    told = errors_of(
        datastore,
        f"<tenants><tenant><name>t</name>{wrong}</tenant><tenant {DELETE}><name>u</name></tenant>"
        "</tenants>",
    )

    assert told == [("unknown-element", "name='t']"), ("data-missing", "name='u']")]


def test_errors_of_the_edit_are_told_up_to_the_limit(datastore: Datastore) -> None:
    absent = "".join(
        f"<network {DELETE}><name>n{number}</name></network>" for number in range(MAX_ERRORS + 5)
    )

    assert len(errors_of(datastore, f"<networks>{absent}</networks>")) == MAX_ERRORS
    assert datastore.get_config() == []
