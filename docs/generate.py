"""
Write the parts of these pages that are drawn from the code.

A page says where: what stands between ``<!-- generated: NAME -->`` and ``<!-- end -->`` is
replaced by what NAME makes. A manual page is drawn as a whole, where there is one already.
``--check`` writes nothing, names the stale pages and ends with 1.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import click
from manual import manual
from manual import program as esc_nc_cli
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from esc_daemon.app.measuring import NOT_YET
from esc_daemon.datamodel.idle import ACCEPTED_NO_EFFECT, BOUND_FOR_LATER, Waits
from esc_daemon.datamodel.tree import yang_directory
from esc_daemon.domain.ids import Kind
from esc_daemon.monitor.catalogue import CORE
from esc_daemon.netconf.capabilities import PROTOCOL_CAPABILITIES
from esc_daemon.settings import Settings

BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)
DATA_DIR = "`/var/lib/esc_daemon` for root, else `$XDG_STATE_HOME/esc_daemon`"
TREE_SECONDS = 60


def settings() -> Iterator[str]:
    """The configuration reference."""
    yield "| key | default | meaning |"
    yield "|---|---|---|"
    for key, field in keys(Settings):
        yield f"| `{key}` | {shown(key, field)} | {field.description} |"


def keys(model: type[BaseModel], above: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from keys(kind, f"{above}{name}.")
        else:
            yield f"{above}{name}", field


def shown(key: str, field: FieldInfo) -> str:
    if key == "data_dir":  # it depends on who asks
        return DATA_DIR
    match field.default:
        case None:
            return "none"
        case tuple() as several:
            return ", ".join(f"`{one}`" for one in several)
        case one:
            return f"`{one}`"


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
    yield "| metric | runs | properties | measured |"
    yield "|---|---|---|---|"
    for metric in CORE:
        properties = ", ".join(
            f"`{each.name}` {f'`{each.value}`' if each.value else 'empty'}"
            for each in metric.properties
        )
        measured = "not yet" if metric.measure in NOT_YET else "yes"
        yield f"| `{metric.name}` | `{metric.measure}` | {properties} | {measured} |"


BLOCKS: Mapping[str, Callable[[], Iterator[str]]] = {
    "capabilities": capabilities,
    "commands": commands,
    "idle": idle,
    "later": later,
    "metrics": metrics,
    "settings": settings,
    "tree": tree,
}
WHOLE: Mapping[str, Callable[[], Iterator[str]]] = {"esc_nc_cli.1": manual}


def fresh(name: str, text: str) -> str:
    """Return *text*, the page *name*, with every generated part made anew."""
    if name in WHOLE:
        return "\n".join((*WHOLE[name](), ""))

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
    there = [chosen.directory / name for name in WHOLE if (chosen.directory / name).exists()]
    for page in sorted([*chosen.directory.glob("*.md"), *there]):
        old = page.read_text(encoding="utf-8")
        new = fresh(page.name, old)
        if new == old:
            continue
        stale = True
        if chosen.check:
            print(f"docs/{page.name} is stale: make docs", file=sys.stderr)
        else:
            page.write_text(new, encoding="utf-8")
    return 1 if stale and chosen.check else 0


if __name__ == "__main__":
    sys.exit(main())
