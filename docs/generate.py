"""
Write the parts of these pages that are drawn from the code.

A page says where: what stands between ``<!-- generated: NAME -->`` and ``<!-- end -->`` is
replaced by what NAME makes. What stands in WHOLE is drawn as a whole, where it is there already.
``--check`` writes nothing, names the stale pages and ends with 1.
"""

import argparse
import posixpath
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import click
from manual import manual
from settings_reference import sample, table
from workflow_tables import BLOCKS as WORKFLOWS

from esc_daemon.datamodel.idle import ACCEPTED_NO_EFFECT, BOUND_FOR_LATER, Waits
from esc_daemon.datamodel.tree import yang_directory
from esc_daemon.domain import actions, changes, hooks, resource_changes
from esc_daemon.domain.ids import Kind
from esc_daemon.monitor.catalogue import CORE
from esc_daemon.netconf.capabilities import PROTOCOL_CAPABILITIES
from esc_nc_cli.cli import main as esc_nc_cli

BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)
TREE_SECONDS = 60


def idle() -> Iterator[str]:
    """The leaves that are accepted and have no effect, by what they wait for."""
    yield from by_reason(ACCEPTED_NO_EFFECT)


def later() -> Iterator[str]:
    """The leaves that are bound and not acted upon, by what they wait for."""
    yield from by_reason(BOUND_FOR_LATER)


def by_reason(table: Mapping[Kind, Mapping[str, Waits]]) -> Iterator[str]:
    for kind, leaves in table.items():
        for reason in Waits:
            waiting = sorted(leaf for leaf, why in leaves.items() if why is reason)
            if waiting:
                yield f"{kind.value}, {reason.value}:"
                yield ""
                yield from (f"- `{leaf}`" for leaf in waiting)
                yield ""


def tree() -> Iterator[str]:
    """The tree diagram (RFC 8340) of the data model."""
    yang = yang_directory()
    pyang = Path(sys.executable).with_name("pyang")
    drawn = subprocess.run(
        [pyang, "-f", "tree", "-p", yang, yang / "esc.yang"],
        capture_output=True,
        text=True,
        check=True,
        timeout=TREE_SECONDS,
    ).stdout
    yield "```text"
    yield from (line.rstrip() for line in drawn.strip().splitlines())
    yield "```"


def capabilities() -> Iterator[str]:
    """What the hello says beside the modules."""
    yield from (f"- `{capability}`" for capability in PROTOCOL_CAPABILITIES)


def commands() -> Iterator[str]:
    """The commands of esc_nc_cli."""
    ctx = click.Context(esc_nc_cli, info_name="esc_nc_cli")
    yield "| command | what it does |"
    yield "|---|---|"
    for name in esc_nc_cli.list_commands(ctx):
        command = esc_nc_cli.commands[name]
        words = " ".join((name, *command.collect_usage_pieces(ctx)[1:])).replace("|", "\\|")
        yield f"| `{words}` | {command.get_short_help_str(limit=80)} |"


def metrics() -> Iterator[str]:
    """The metrics of a new catalogue."""
    yield "| metric | runs | properties |"
    yield "|---|---|---|"
    for metric in CORE:
        properties = ", ".join(
            f"`{each.name}` {f'`{each.value}`' if each.value else 'empty'}"
            for each in metric.properties
        )
        yield f"| `{metric.name}` | `{metric.measure}` | {properties} |"


def rule_actions() -> Iterator[str]:
    """The actions that are known."""
    yield "| action | runs | what for |"
    yield "|---|---|---|"
    for action in actions.CORE:
        yield f"| `{action.name}` | `{action.kind}` | {action.effect} |"


def updates() -> Iterator[str]:
    """What becomes of each kind of change of a deployment that stands."""
    yield "| change | takes effect | what comes of it | `vm_update_type` |"
    yield "|---|---|---|---|"
    for kind, rule in changes.TABLE.items():
        told = f"`{rule.update_type}`" if rule.update_type else ""
        yield f"| {kind} | {rule.how} | {rule.does} | {told} |"


def stages() -> Iterator[str]:
    """Each stage whose scripts run."""
    yield "| stage | comes when | in policies of | a script that fails |"
    yield "|---|---|---|---|"
    for stage, moment in hooks.TABLE.items():
        owners = {"the deployment": moment.deployment, "the vm_group": moment.group}
        named = ", ".join(owner for owner, may in owners.items() if may)
        yield f"| `{stage}` | {moment.comes} | {named} | {moment.fails or 'a line in the log'} |"


def resources() -> Iterator[str]:
    """What becomes of each kind of change of a resource that stands."""
    yield "| of | change | is taken | what comes of it, or what to do |"
    yield "|---|---|---|---|"
    for rule in resource_changes.TABLE:
        leaves = ", ".join(f"`{leaf}`" for leaf in rule.leaves.values())
        if rule.turn is not resource_changes.Turn.ANY:
            leaves = f"a {rule.turn} {leaves}"
        yield f"| {rule.kind} | {leaves} | {rule.way} | {rule.does} |"


BLOCKS: Mapping[str, Callable[[], Iterator[str]]] = {
    "actions": rule_actions,
    "capabilities": capabilities,
    "commands": commands,
    "idle": idle,
    "later": later,
    "metrics": metrics,
    "resource_changes": resources,
    "settings": table,
    "tree": tree,
    "stages": stages,
    "updates": updates,
    **WORKFLOWS,
}
WHOLE: Mapping[str, Callable[[], Iterator[str]]] = {
    "esc_nc_cli.1": manual,
    "../examples/esc_daemon.toml": sample,
}
"""By their place beside the pages."""


def fresh(text: str, whole: Callable[[], Iterator[str]] | None) -> str:
    """Return *text* with every generated part made anew; *whole* makes all of it."""
    if whole is not None:
        return "\n".join((*whole(), ""))

    def replaced(block: re.Match[str]) -> str:
        body = "\n".join(BLOCKS[block[2]]()).strip("\n")
        return f"{block[1]}\n{body}\n\n{block[3]}"

    return BLOCK.sub(replaced, text)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--check", action="store_true", help="write nothing")
    options.add_argument("--directory", type=Path, default=Path(__file__).parent)
    chosen = options.parse_args()
    stale = False
    pages = dict.fromkeys(sorted(path.name for path in chosen.directory.glob("*.md")))
    for name, whole in {**pages, **WHOLE}.items():
        page = chosen.directory / name
        if not page.exists():
            continue
        old = page.read_text(encoding="utf-8")
        new = fresh(old, whole)
        if new == old:
            continue
        stale = True
        if chosen.check:
            print(f"{posixpath.normpath(f'docs/{name}')} is stale: make docs", file=sys.stderr)
        else:
            page.write_text(new, encoding="utf-8")
    return 1 if stale and chosen.check else 0


if __name__ == "__main__":
    sys.exit(main())
