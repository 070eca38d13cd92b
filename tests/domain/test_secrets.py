"""Which words of a connector and a file server are secrets, and where each is sealed."""

from dataclasses import replace

import pytest

from esc_daemon.domain.ids import Kind
from esc_daemon.domain.intent import FileServer, Image, VimConnector, VimUser
from esc_daemon.domain.secrets import (
    is_secret,
    opened_connector,
    opened_file_server,
    secret_place,
    without_login,
)
from esc_daemon.vault import Vault, VaultError

VAULT = Vault(bytes(range(64)))


def sealed(text: str, kind: Kind, *steps: str) -> str:
    return VAULT.seal(text, secret_place(kind, *steps))


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("os_password", True),
        ("OS_PASSWORD", True),
        ("passwordOfThisVim", True),
        ("aws_secret_access_id", True),
        ("api-token", True),
        ("access_key", True),
        ("os_auth_url", False),
        ("os_user_domain_name", False),
    ],
)
def test_a_property_is_a_secret_by_its_name(name: str, secret: bool) -> None:  # noqa: FBT001
    assert is_secret(name) is secret


def test_no_two_secrets_have_one_place() -> None:
    places = [
        secret_place(Kind.VIM_CONNECTOR, "a", "b", "key"),
        secret_place(Kind.VIM_CONNECTOR, "a/b", "key"),
        secret_place(Kind.VIM_CONNECTOR, "a", "b/key"),
        secret_place(Kind.VIM_CONNECTOR, "a", "c", "key"),
        secret_place(Kind.FILE_SERVER, "a", "b", "key"),
    ]

    assert len(set(places)) == len(places)


def test_a_connector_is_opened_where_it_was_sealed() -> None:
    kind = Kind.VIM_CONNECTOR
    clear = VimConnector(
        name="v",
        type="OPENSTACK",
        properties=(("os_auth_url", "http://192.0.2.1/v3"), ("app_token", "t")),
        users=(
            VimUser(name="u", credentials=(("os_password", "p"), ("os_user_domain_name", "d"))),
            VimUser(name="w", credentials=(("os_password", "q"),)),
        ),
    )
    kept = replace(
        clear,
        properties=(clear.properties[0], ("app_token", sealed("t", kind, "v", "app_token"))),
        users=(
            VimUser(
                name="u",
                credentials=(
                    ("os_password", sealed("p", kind, "v", "u", "os_password")),
                    ("os_user_domain_name", "d"),
                ),
            ),
            VimUser(
                name="w",
                credentials=(("os_password", sealed("q", kind, "v", "w", "os_password")),),
            ),
        ),
    )

    assert opened_connector(kept, VAULT.unseal) == clear
    with pytest.raises(VaultError):
        opened_connector(replace(kept, name="other"), VAULT.unseal)


def test_a_file_server_is_opened_where_it_was_sealed() -> None:
    clear = FileServer(
        name="f",
        base_url="https://192.0.2.1/",
        user="u",
        password="p",
        properties=(("server_timeout", "60"), ("proxy_password", "q")),
    )
    kept = replace(
        clear,
        password=sealed("p", Kind.FILE_SERVER, "f", "file_server_password"),
        properties=(
            ("server_timeout", "60"),
            ("proxy_password", sealed("q", Kind.FILE_SERVER, "f", "proxy_password")),
        ),
    )

    assert opened_file_server(kept, VAULT.unseal) == clear
    assert opened_file_server(
        replace(clear, password=None, properties=()), VAULT.unseal
    ) == replace(clear, password=None, properties=())


def test_what_was_opened_is_not_shown() -> None:
    user = VimUser(name="u", credentials=(("os_password", "s3cret"),))
    connector = VimConnector(name="v", type="CSP", properties=(("token", "s3cret"),), users=(user,))
    server = FileServer(
        name="f",
        base_url="http://192.0.2.1",
        password="s3cret",
        properties=(("token", "s3cret"),),
    )

    assert "s3cret" not in f"{connector!r} {server!r}"


@pytest.mark.parametrize(
    ("src", "told"),
    [
        ("http://me:swordfish@192.0.2.9:81/a%20b.img", "http://192.0.2.9:81/a%20b.img"),
        ("https://h.example/a.img?token=swordfish#swordfish", "https://h.example/a.img"),
        ("HTTP://me@x:swordfish@[2001:db8::1]/a.img", "http://[2001:db8::1]/a.img"),
        ("http://me:swordfish@[2001:db8::1/a.img", ""),
        ("http://h.example/a@b.img", "http://h.example/a@b.img"),
        ("file:///var/tmp/a.img", "file:///var/tmp/a.img"),
        ("linux?.img", "linux?.img"),
        (None, None),
    ],
)
def test_the_source_of_an_image_is_told_without_login_and_query(
    src: str | None, told: str | None
) -> None:
    image = Image(name="linux", src=src, disk_format="qcow2")

    assert without_login(image) == replace(image, src=told)
