"""Secrets are sealed at the door: what is kept, shown and handed on never has them in clear."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.schema import Schema
from esc_daemon.domain.intent import FileServer, VimConnector
from esc_daemon.domain.secrets import opened_connector, opened_file_server
from esc_daemon.netconf.errors import RpcError, RpcErrors
from esc_daemon.vault import Vault
from tests.datamodel.documents import (
    ESC,
    VAULT,
    datamodel,
    file_server,
    properties,
    user,
    vim,
    vims,
    whole_config,
)

SECRET = "s3cret"
CREDENTIALS = ("os_password=s3cret", "os_user_domain_name=Default")
LOGIN = f"<type>OPENSTACK</type><users>{user('u', *CREDENTIALS)}</users>"
VALUE = (
    "/esc:esc_system_config/esc:vim_connectors/esc:vim_connector[esc:id='v']/esc:users"
    "/esc:user[esc:id='u']/esc:credentials/esc:properties"
    "/esc:property[esc:name='os_password']/esc:value"
)
PASSWORD = f"<file_server_password>{SECRET}</file_server_password>"


def commit(datastore: Datastore, *roots: str) -> None:
    datastore.commit(datastore.edit(whole_config(*roots)))


def text(datastore: Datastore) -> str:
    return b"".join(datastore.get_config()).decode()


def connector(datastore: Datastore, *roots: str) -> VimConnector:
    ((_, intent),) = datastore.edit(whole_config(*roots)).intents
    assert isinstance(intent, VimConnector)
    return intent


def refusal(datastore: Datastore, *roots: str) -> RpcError:
    with pytest.raises(RpcError) as refused:
        datastore.edit(whole_config(*roots))
    return refused.value


def test_a_password_is_kept_sealed_and_opens_at_its_place(datastore: Datastore) -> None:
    intent = connector(datastore, vims(vim("v", LOGIN)))

    (kept,) = intent.users
    assert SECRET not in str(kept.credentials)
    (opened,) = opened_connector(intent, VAULT.unseal).users
    assert opened.credentials == (("os_password", SECRET), ("os_user_domain_name", "Default"))


def test_running_shows_what_is_no_secret_alone(datastore: Datastore) -> None:
    commit(datastore, vims(vim("v", LOGIN)), datamodel(file_server(PASSWORD)))

    assert SECRET not in text(datastore)
    assert "<value>Default</value>" in text(datastore)
    assert text(datastore).count("$esc1$") == 2


def test_the_properties_of_a_connector_are_sealed_as_well(datastore: Datastore) -> None:
    body = f"<type>CSP</type>{properties('app_token=s3cret', 'csp_host_port=2022')}"

    intent = connector(datastore, vims(vim("v", body)))

    assert SECRET not in str(intent.properties)
    opened = opened_connector(intent, VAULT.unseal)
    assert opened.properties == (("app_token", SECRET), ("csp_host_port", "2022"))


def test_a_file_server_is_opened_where_a_file_is_fetched(datastore: Datastore) -> None:
    body = PASSWORD + properties("proxy_password=s3cret", "server_timeout=60")

    ((_, intent),) = datastore.edit(whole_config(datamodel(file_server(body)))).intents

    assert isinstance(intent, FileServer)
    assert SECRET not in f"{intent.password} {intent.properties}"
    opened = opened_file_server(intent, VAULT.unseal)
    assert opened.password == SECRET
    assert opened.properties == (("proxy_password", SECRET), ("server_timeout", "60"))


def test_the_same_password_again_is_no_change(datastore: Datastore) -> None:
    commit(datastore, vims(vim("v", LOGIN)))

    assert datastore.edit(whole_config(vims(vim("v", LOGIN)))).changes == ()


def test_what_was_shown_may_be_sent_back(datastore: Datastore) -> None:
    commit(datastore, vims(vim("v", LOGIN)), datamodel(file_server(PASSWORD)))
    shown = text(datastore)

    assert datastore.edit(whole_config(shown)).changes == ()
    indented = re.sub(r"(\$esc1\$[^<]*)", r"\n  \1\n", shown)
    assert datastore.edit(whole_config(indented)).changes == ()


def test_another_property_of_the_user_leaves_the_password(datastore: Datastore) -> None:
    commit(datastore, vims(vim("v", LOGIN)))
    more = f"<users>{user('u', 'os_user_domain_name=Other')}</users>"

    intent = connector(datastore, vims(vim("v", more)))

    (opened,) = opened_connector(intent, VAULT.unseal).users
    assert opened.credentials == (("os_password", SECRET), ("os_user_domain_name", "Other"))


def test_sealed_text_of_another_place_is_refused_with_what_to_do(datastore: Datastore) -> None:
    sealed = VAULT.seal(SECRET, "vim_connector/v/somebody else/os_password")
    moved = LOGIN.replace(SECRET, sealed)

    error = refusal(datastore, vims(vim("v", moved)))

    assert (error.tag, error.path) == ("invalid-value", VALUE)
    assert "send the secret itself" in error.message
    assert sealed not in str(error)


def test_text_that_only_looks_sealed_is_refused(datastore: Datastore) -> None:
    error = refusal(datastore, vims(vim("v", LOGIN.replace(SECRET, "$esc1$open sesame"))))

    assert (error.tag, error.path) == ("invalid-value", VALUE)
    assert "open sesame" not in str(error)


def test_another_managers_sealed_text_is_refused(schema: Schema, datastore: Datastore) -> None:
    other = Datastore(schema, Vault(bytes(64)))
    commit(other, vims(vim("v", LOGIN)))

    assert refusal(datastore, text(other)).path == VALUE


def test_an_empty_value_is_no_secret(datastore: Datastore) -> None:
    nothing = vims(vim("v", LOGIN.replace(f"<value>{SECRET}</value>", "<value/>", 1)))

    intent = connector(datastore, nothing)

    assert opened_connector(intent, VAULT.unseal) == intent


def test_a_password_that_looks_like_a_prefixed_name_leaves_no_trace(datastore: Datastore) -> None:
    body = LOGIN.replace(SECRET, "hunter2:x")
    edit = whole_config(vims(vim("v", body)).replace(f'"{ESC}"', f'"{ESC}" xmlns:hunter2="urn:x"'))

    datastore.commit(datastore.edit(edit))

    assert "hunter2" not in text(datastore)


@pytest.mark.parametrize(
    "body",
    [
        LOGIN.replace("OPENSTACK", "open stack"),
        LOGIN.replace("Default", "d" * 20_000),
        LOGIN.replace(SECRET, SECRET * 3000),
        LOGIN.replace("<name>os_password</name>", ""),
        LOGIN.replace("<name>os_password</name>", "<name> os_password</name>"),
        LOGIN.replace("value>", "walue>"),
        LOGIN.replace(f"<value>{SECRET}</value>", f"{SECRET}"),
        LOGIN.replace(SECRET, f"<x/>{SECRET}"),
        LOGIN.replace(SECRET, f"$esc1$x</value><value>{SECRET}"),
        LOGIN.replace("<id>u</id>", f"<id>u</id><password>{SECRET}</password>"),
        LOGIN.replace("<id>u</id>", ""),
        LOGIN.replace("<value>", '<value nc:operation="burn">'),
        LOGIN.replace("<value>", '<value nc:operation="delete">'),
        LOGIN.replace("<value>", '<value operation="merge">'),
    ],
)
def test_no_error_shows_a_secret(datastore: Datastore, body: str) -> None:
    with pytest.raises((RpcError, RpcErrors)) as refused:
        datastore.edit(whole_config(vims(vim("v", body))))

    error = refused.value
    assert isinstance(error, RpcError | RpcErrors)
    told = error.errors if isinstance(error, RpcErrors) else (error,)
    for each in told:
        assert SECRET not in str(each) + etree.tostring(each.to_element()).decode()


def test_every_secret_is_sealed_when_another_one_is_refused(datastore: Datastore) -> None:
    # given one secret that cannot be opened, and behind it one that the YANG would refuse by name
    bad = properties("a_key=$esc1$x", f"b_key={SECRET * 10_000}")

    with pytest.raises(RpcErrors) as refused:
        datastore.edit(whole_config(vims(vim("v", f"<type>CSP</type>{bad}"))))

    assert [error.tag for error in refused.value.errors] == ["invalid-value", "invalid-value"]
    assert SECRET not in str(refused.value.errors)


def test_nothing_that_is_handed_on_shows_a_secret(datastore: Datastore) -> None:
    pending = datastore.edit(whole_config(vims(vim("v", LOGIN)), datamodel(file_server(PASSWORD))))

    entries = datastore.commit(pending)
    assert SECRET not in repr(pending) + repr(entries)
    assert not any(SECRET.encode() in entry.xml for entry in entries)


def test_a_password_of_12_000_bytes_is_taken(datastore: Datastore) -> None:
    longest = "é" * 6000

    intent = connector(datastore, vims(vim("v", LOGIN.replace(SECRET, longest))))

    assert opened_connector(intent, VAULT.unseal).users[0].credentials[0][1] == longest


TEXT = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1)


@settings(max_examples=60, deadline=None)
@given(name=TEXT.map(str.strip).filter(bool), password=TEXT)
def test_any_password_of_any_user_is_opened_again(schema: Schema, name: str, password: str) -> None:
    datastore = Datastore(schema, VAULT)
    root = etree.fromstring(vims(vim("v", LOGIN)))
    (user_id,) = root.iter(f"{{{ESC}}}user")
    user_id[0].text = name
    next(root.iter(f"{{{ESC}}}value")).text = password

    intent = connector(datastore, etree.tostring(root).decode())

    (opened,) = opened_connector(intent, VAULT.unseal).users
    assert (opened.name, opened.credentials[0][1]) == (name, password)
