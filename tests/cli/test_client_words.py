"""The client, which knows no YANG, uses the words that stand there."""

import re

import pytest

from esc_daemon.datamodel.schema import Schema
from esc_daemon.datamodel.tree import Node, yang_directory
from esc_daemon.netconf.edit import NodeKind
from esc_nc_cli import removal
from esc_nc_cli.commands.actions import Action, BackupAction, HostAction, RecoveryAction
from esc_nc_cli.commands.guard import GuardAction
from esc_nc_cli.commands.leftovers import LeftoverAction
from esc_nc_cli.compose import action_rpc
from esc_nc_cli.mend import ACTIONS, ESC_ROOTS

LEAVES = {
    "serviceAction": {"tenantName": "t", "depName": "d"},
    "vmAction": {"vmName": "v", "force": "true"},
    "recoveryVmAction": {"vmName": "v"},
    "vmBackupAction": {"vmName": "v", "backupName": "b"},
    "snapshotAction": {"snapshot": "s"},
    "hostAction": {"hostName": "h", "vimId": "c"},
    "leftoverAction": {
        "kind": "vm",
        "name": "n",
        "id": "i",
        "tenantName": "t",
        "depName": "d",
        "vimId": "c",
    },
    "recoveryGuardAction": {"vimId": "c"},
}
WORDS = {
    "action-type": ("serviceAction", Action),
    "recovery-action-type": ("recoveryVmAction", RecoveryAction),
    "backup-action-type": ("vmBackupAction", BackupAction),
    "host-action-type": ("hostAction", HostAction),
    "leftover-action-type": ("leftoverAction", LeftoverAction),
    "recovery-guard-action-type": ("recoveryGuardAction", GuardAction),
}


def test_the_actions_are_those_of_the_data_model(schema: Schema) -> None:
    assert set(schema.rpcs()) == ACTIONS
    assert {root.name for root in schema.roots()} <= ESC_ROOTS


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_what_an_action_sends_is_what_the_data_model_asks_for(schema: Schema, name: str) -> None:
    words: dict[str, list[str]] = {rpc: list(kind) for rpc, kind in WORDS.values()}
    words |= {"vmAction": list(Action), "snapshotAction": ["DELETE"]}
    for word in words[name]:
        rpc = action_rpc(name, {"actionType": word, **LEAVES[name]})
        assert schema.validate_input(rpc) == []
    assert schema.validate_input(action_rpc(name, {"actionType": "NO", **LEAVES[name]})) != []


@pytest.mark.parametrize("typedef", sorted(WORDS))
def test_no_word_of_an_action_is_missing(typedef: str) -> None:
    text = (yang_directory() / "esc_types.yang").read_text()
    (body,) = re.findall(rf"^  typedef {typedef} {{\n(.*?)^  }}", text, re.DOTALL | re.MULTILINE)
    _, words = WORDS[typedef]
    assert set(re.findall(r"\benum (\w+)", body)) == set(words)


def lists(node: Node) -> dict[str, tuple[str, ...]]:
    """Return the lists of *node*, in containers or not, with their keys."""
    held: dict[str, tuple[str, ...]] = {}
    for child in node.children.values():
        if child.kind is NodeKind.LIST:
            held[child.name] = child.keys
        elif child.kind is NodeKind.CONTAINER:
            held |= {f"{child.name}/{name}": keys for name, keys in lists(child).items()}
    return held


def known(entries: tuple[removal._List, ...]) -> dict[str, tuple[str, ...]]:
    return {"/".join(filter(None, (each.container, each.entry))): (each.key,) for each in entries}


def test_whatever_is_configured_entry_by_entry_can_be_deleted(schema: Schema) -> None:
    # given
    tenant, network, *_ = removal._ROOTS["esc_datamodel"]
    own = {"extensions/extension"}
    # then
    for root in schema.roots():
        found = lists(root)
        assert found.items() <= known(removal._ROOTS[root.name]).items()
    inside = lists(schema.node("esc_datamodel/tenants/tenant"))
    assert {path: keys for path, keys in inside.items() if path not in own} == known(tenant.inside)
    assert {path.partition("/")[0] for path in own} == tenant.own
    assert lists(schema.node("esc_datamodel/networks/network")) == known(network.inside)
