"""The second root: VIM connectors and the choice of the default one."""

from itertools import permutations

import pytest
from lxml import etree

from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.entries import EntryPath
from esc_daemon.datamodel.schema import Schema
from esc_daemon.datamodel.selection import EVERYTHING, Selection, selection_of
from esc_daemon.domain.ids import DEFAULT_VIM, Key, Kind
from esc_daemon.domain.intent import DefaultVimConnector, VimConnector, VimUser
from esc_daemon.netconf.edit import DefaultOperation
from esc_daemon.netconf.errors import RpcError, RpcErrors
from esc_daemon.netconf.hints import Hint
from tests.datamodel.documents import (
    ESC,
    NC,
    VAULT,
    datamodel,
    default_vim,
    file_server,
    network,
    service,
    user,
    vim,
    vims,
    whole_config,
)

DELETE = 'nc:operation="delete"'
DEFAULT = EntryPath(*DEFAULT_VIM)
IN_SYSTEM = "/esc:esc_system_config/esc:vim_connectors"


def commit(datastore: Datastore, *roots: str) -> None:
    datastore.commit(datastore.edit(whole_config(*roots)))


def text(datastore: Datastore, selection: Selection | None = EVERYTHING) -> str:
    return b"".join(datastore.get_config(selection)).decode()


def paths(datastore: Datastore) -> list[tuple[Kind, str]]:
    return [(entry.path.kind, entry.path.name) for entry in datastore.entries()]


def test_a_connector_and_the_default_are_entries_of_their_own(datastore: Datastore) -> None:
    body = f"<type>CSP</type><users>{user('a')}{user('b')}</users>"

    pending = datastore.edit(whole_config(vims(default_vim("v"), vim("v", body))))

    assert pending.intents == (
        (
            Key(Kind.VIM_CONNECTOR, None, "v"),
            VimConnector(name="v", type="CSP", users=(VimUser(name="a"), VimUser(name="b"))),
        ),
        (DEFAULT_VIM, DefaultVimConnector(vim_id="v")),
    )


def test_what_was_committed_is_read_back(datastore: Datastore) -> None:
    sent = vims(default_vim("v"), vim("v"), vim("w"))

    commit(datastore, sent)

    assert text(datastore) == sent


@pytest.mark.parametrize(
    "order", list(permutations([datamodel(service()), datamodel(file_server()), vims(vim())]))
)
def test_an_edit_of_both_roots_has_connectors_and_file_servers_first(
    datastore: Datastore, order: tuple[str, ...]
) -> None:
    pending = datastore.edit(whole_config(*order))

    assert [key.kind for key, _ in pending.intents] == [
        Kind.VIM_CONNECTOR,
        Kind.FILE_SERVER,
        Kind.TENANT,
        Kind.DEPLOYMENT,
    ]


def test_stored_entries_of_both_roots_are_taken_up_again(
    datastore: Datastore, schema: Schema
) -> None:
    commit(datastore, datamodel(service() + file_server()), vims(default_vim(), vim()))

    again = Datastore(schema, VAULT)
    again.load(datastore.entries())

    assert text(again) == text(datastore)


@pytest.mark.parametrize("gone", ["esc_datamodel", "esc_system_config"])
def test_one_root_goes_and_the_other_stays(datastore: Datastore, gone: str) -> None:
    roots = {"esc_datamodel": datamodel(network()), "esc_system_config": vims(default_vim(), vim())}
    commit(datastore, *roots.values())

    commit(datastore, f'<{gone} xmlns="{ESC}" {DELETE}/>')

    del roots[gone]
    assert text(datastore) == "".join(roots.values())


def test_a_replaced_root_leaves_the_other(datastore: Datastore) -> None:
    commit(datastore, datamodel(network()), vims(default_vim(), vim("v"), vim("w")))

    replaced = vims(vim("w")).replace(
        "<esc_system_config", '<esc_system_config nc:operation="replace"'
    )
    commit(datastore, replaced)

    assert text(datastore) == datamodel(network()) + vims(vim("w"))


def test_a_config_that_replaces_everything_replaces_the_root_it_does_not_name(
    datastore: Datastore,
) -> None:
    commit(datastore, datamodel(network()), vims(vim()))

    edit = whole_config(datamodel(network(name="m")))
    datastore.commit(datastore.edit(edit, DefaultOperation.REPLACE))

    assert text(datastore) == datamodel(network(name="m"))


def test_the_connectors_go_as_one(datastore: Datastore) -> None:
    commit(datastore, vims(default_vim(), vim("v"), vim("w")))

    commit(datastore, vims(attributes=DELETE))

    assert paths(datastore) == []


def test_a_replaced_container_loses_the_default_that_is_not_named(datastore: Datastore) -> None:
    commit(datastore, vims(default_vim(), vim("v"), vim("w")))

    commit(datastore, vims(vim("w"), attributes='nc:operation="replace"'))

    assert paths(datastore) == [(Kind.VIM_CONNECTOR, "w")]


def test_the_default_goes_alone(datastore: Datastore) -> None:
    commit(datastore, vims(default_vim(), vim()))

    pending = datastore.edit(whole_config(vims(default_vim("v", DELETE))))
    datastore.commit(pending)

    assert pending.intents == ((DEFAULT_VIM, None),)
    assert text(datastore) == vims(vim())


def test_another_default_takes_the_place_of_the_first(datastore: Datastore) -> None:
    commit(datastore, vims(default_vim("v"), vim("v"), vim("w")))

    commit(datastore, vims(default_vim("w")))

    entry = datastore.entry(DEFAULT)
    assert entry is not None
    assert (entry.xml, entry.revision) == (
        b"<default_vim_connector>w</default_vim_connector>",
        2,
    )


def test_users_stand_in_the_order_in_which_they_are_given(datastore: Datastore) -> None:
    commit(datastore, vims(vim(body=f"<type>CSP</type><users>{user('a')}{user('b')}</users>")))
    first = user("c").replace(
        "<user>",
        '<user xmlns:yang="urn:ietf:params:xml:ns:yang:1" yang:insert="first">',
    )

    pending = datastore.edit(whole_config(vims(vim(body=f"<users>{first}</users>"))))

    ((_, intent),) = pending.intents
    assert isinstance(intent, VimConnector)
    assert [each.name for each in intent.users] == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("entries", "tag", "path"),
    [
        (vim("x", "", DELETE), "data-missing", f"{IN_SYSTEM}/esc:vim_connector[esc:id='x']"),
        (
            default_vim("w", 'nc:operation="create"'),
            "data-exists",
            f"{IN_SYSTEM}/esc:default_vim_connector",
        ),
        (default_vim("v") + default_vim("w"), "bad-element", IN_SYSTEM),
        ("<vim_connector/>", "missing-element", f"{IN_SYSTEM}/esc:vim_connector"),
        ("<vim/>", "unknown-element", IN_SYSTEM),
        (vim("w", ""), "data-missing", f"{IN_SYSTEM}/esc:vim_connector[esc:id='w']/esc:type"),
        (
            vim("w", "<type>open stack</type>"),
            "invalid-value",
            f"{IN_SYSTEM}/esc:vim_connector[esc:id='w']/esc:type",
        ),
        (default_vim(" w"), "invalid-value", f"{IN_SYSTEM}/esc:default_vim_connector"),
        (
            default_vim("<x/>"),
            "unknown-element",
            f"{IN_SYSTEM}/esc:default_vim_connector",
        ),
    ],
)
def test_a_refused_edit_says_where_and_changes_nothing(
    datastore: Datastore, entries: str, tag: str, path: str
) -> None:
    commit(datastore, vims(default_vim(), vim()))
    before = text(datastore)

    with pytest.raises(RpcError) as refused:
        datastore.edit(whole_config(datamodel(network()), vims(entries)))

    assert (refused.value.tag, refused.value.path) == (tag, path)
    assert text(datastore) == before


def test_what_is_wrong_in_both_roots_is_told_at_once(datastore: Datastore) -> None:
    wrong = network("<vlanid>many</vlanid>")

    with pytest.raises(RpcErrors) as refused:
        datastore.edit(whole_config(vims(vim("v", "")), datamodel(wrong)))

    assert [error.path.rpartition(":")[2] for error in refused.value.errors] == ["type", "vlanid"]


def test_a_root_without_content_brings_nothing(datastore: Datastore) -> None:
    commit(datastore, vims(), f'<esc_datamodel xmlns="{ESC}"/>')

    assert datastore.get_config() == []


def step(name: str, *keys: tuple[str, str]) -> Hint:
    return Hint(None, name, keys)


SYSTEM = (step("esc_system_config"), step("vim_connectors"))


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((), datamodel(network()) + vims(default_vim(), vim("v"), vim("w"))),
        (SYSTEM[:1], vims(default_vim(), vim("v"), vim("w"))),
        (SYSTEM, vims(default_vim(), vim("v"), vim("w"))),
        ((*SYSTEM, step("vim_connector")), vims(default_vim(), vim("v"), vim("w"))),
        ((*SYSTEM, step("vim_connector", ("id", "w"))), vims(default_vim(), vim("w"))),
        ((*SYSTEM, step("default_vim_connector")), vims(default_vim())),
        ((*SYSTEM, step("zz")), vims(default_vim())),  # a filter may match that leaf
        ((*SYSTEM, Hint("urn:elsewhere", "vim_connector")), vims(default_vim())),
        ((SYSTEM[0], step("zz")), ""),
        ((step("esc_datamodel"),), datamodel(network())),
        ((step("esc_datamodel"), step("vim_connectors")), ""),
    ],
)
def test_the_way_to_a_filters_results_selects_entries_and_the_leaves_beside_them(
    datastore: Datastore, steps: tuple[Hint, ...], expected: str
) -> None:
    commit(datastore, datamodel(network()), vims(default_vim(), vim("v"), vim("w")))

    assert text(datastore, selection_of(steps)) == expected


def test_an_edit_of_one_connector_collides_with_the_end_of_all(datastore: Datastore) -> None:
    commit(datastore, vims(default_vim(), vim("v"), vim("w")))
    one = datastore.edit(whole_config(vims(vim("v", "<type>CSP</type>"))))
    other = datastore.edit(whole_config(vims(vim("w", "<type>CSP</type>"))))
    everything = datastore.edit(
        etree.fromstring(f'<config xmlns="{NC}"/>'), DefaultOperation.REPLACE
    )

    assert not one.collides(other)
    assert one.collides(everything)
