import pytest

from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.domain.ids import Key, Kind
from esc_daemon.domain.intent import FileServer
from esc_daemon.netconf.errors import RpcError
from tests.datamodel.documents import config, file_server, properties

SERVER = "/esc:esc_datamodel/esc:file_servers/esc:file_server[esc:id='f']"


def test_a_file_server_is_bound_leaf_by_leaf(datastore: Datastore) -> None:
    body = f"<file_server_user>u</file_server_user>{properties('server_timeout=60')}"

    pending = datastore.edit(config(file_server(body)))

    assert pending.intents == (
        (
            Key(Kind.FILE_SERVER, None, "f"),
            FileServer(
                name="f",
                base_url="http://192.0.2.1/files",
                user="u",
                properties=(("server_timeout", "60"),),
            ),
        ),
    )
    assert pending.warnings == ()


@pytest.mark.parametrize(
    "url", ["http://files.example", "https://[2001:db8::1]:8443/a/b/", "file:///var/tmp"]
)
def test_a_base_url_that_files_can_be_had_from_is_taken(datastore: Datastore, url: str) -> None:
    assert datastore.edit(config(file_server(url=url))).changes


@pytest.mark.parametrize(
    "url",
    [
        "files.example/day0",
        "/var/tmp",
        "gopher://files.example",
        "http://",
        "http:///day0",
        "http:// files.example",
        "http://[::1",
        "https://u:s3cret@files.example/",
        "https://files.example/?access=s3cret",
        "https://files.example/#s3cret",
    ],
)
def test_another_base_url_is_refused_without_repeating_it(datastore: Datastore, url: str) -> None:
    with pytest.raises(RpcError) as refused:
        datastore.edit(config(file_server(url=url)))

    assert (refused.value.tag, refused.value.path) == ("invalid-value", f"{SERVER}/esc:base_url")
    assert "s3cret" not in str(refused.value)
    assert url not in refused.value.message


def test_an_encrypted_password_takes_the_place_of_a_plain_one_and_waits(
    datastore: Datastore,
) -> None:
    plain = file_server("<file_server_password>p</file_server_password>")
    datastore.commit(datastore.edit(config(plain)))

    pending = datastore.edit(config(file_server("<encrypted_data>c</encrypted_data>")))

    ((_, intent),) = pending.intents
    assert isinstance(intent, FileServer)
    assert intent.password is None
    (warning,) = pending.warnings
    assert "encrypted_data" in warning
