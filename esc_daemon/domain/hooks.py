"""
Hooks: the scripts that run for a VM at a stage of its life (policies of a vm_group).

A policy ties actions to stages. Those stages that are in `HEEDED` are heeded; an action of another
stage, or one that is no script, is kept without effect, and the log says so.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final

from esc_daemon.domain.intent import Hook, VmGroup
from esc_daemon.domain.placing import group_of
from esc_daemon.domain.record import DeploymentRecord, VmRecord
from esc_daemon.domain.secrets import is_secret
from esc_daemon.domain.specs import HookScript

SCRIPT: Final = "SCRIPT"
SCRIPT_FILENAME: Final = "script_filename"
"""The property with the script's path."""
MOST_SECONDS: Final = "wait_max_timeout"
"""The property with the time that the script may take, in seconds."""
DEFAULT_SECONDS: Final = 300
LONGEST_SECONDS: Final = 3600
_PREFIX: Final = "LCS::DEPLOY_UPDATE::"


class Stage(StrEnum):
    """A moment in an update of a VM (ESC User Guide 5.1, supported lifecycle stages)."""

    SOFTWARE_VERSION_UPDATED = "VM_SOFTWARE_VERSION_UPDATED"
    PRE_VOLUME_DETACH = "VM_PRE_VOLUME_DETACH"
    VOLUME_ATTACHED = "VM_VOLUME_ATTACHED"


HEEDED: Final = frozenset({Stage.SOFTWARE_VERSION_UPDATED})
"""The stages that an update comes by."""
_SPELT: Final[Mapping[str, Stage]] = {f"{_PREFIX}{stage}": stage for stage in Stage} | {
    # as the guide of the upgrade in place writes it
    f"{_PREFIX}POST_{Stage.SOFTWARE_VERSION_UPDATED}": Stage.SOFTWARE_VERSION_UPDATED,
}


def scripts_at(record: DeploymentRecord, vm: VmRecord, stage: Stage) -> tuple[HookScript, ...]:
    """
    Return the scripts that are to run for *vm* at *stage*, in their order.

    All properties but the two of ours are words of a script, name and value in turn, as for a
    KPI's; an empty value stands for what the VM has under that name.
    """
    known = _known(record, vm)
    return tuple(
        _script(hook, known)
        for hook in group_of(record, vm).hooks
        if hook.type == SCRIPT and _SPELT.get(hook.condition) is stage
    )


def has_scripts(group: VmGroup, stage: Stage) -> bool:
    """Tell whether any script of *group* runs at *stage*."""
    return any(each.type == SCRIPT and _SPELT.get(each.condition) is stage for each in group.hooks)


def _known(record: DeploymentRecord, vm: VmRecord) -> Mapping[str, str]:
    addresses = (
        each.ip_address for port in vm.interfaces for each in port.addresses if each.ip_address
    )
    return {
        "vm_ip_address": next(addresses, ""),
        "vm_name": vm.name,
        "vm_id": vm.server.resource_id if vm.server else "",
        "vm_group": vm.group,
        "deployment": record.key.name,
        "tenant": record.key.tenant or "",
        "software_version": group_of(record, vm).software_version or "",
    }


def _script(hook: Hook, known: Mapping[str, str]) -> HookScript:
    given = dict(hook.properties)
    path, seconds = given.pop(SCRIPT_FILENAME, ""), given.pop(MOST_SECONDS, "")
    filled = {name: value or known.get(name, "") for name, value in given.items()}
    return HookScript(
        stage=hook.condition,
        action=hook.action,
        path=path,
        seconds=int(seconds or DEFAULT_SECONDS),
        words=tuple(word for pair in filled.items() for word in pair),
        secrets=tuple(value for name, value in filled.items() if value and is_secret(name)),
    )


def wrong_with(hook: Hook) -> str:
    """Return why the script of *hook* could never run; empty: it could, or it is none of ours."""
    if hook.type != SCRIPT or _SPELT.get(hook.condition) not in HEEDED:
        return ""
    given = dict(hook.properties)
    if not given.get(SCRIPT_FILENAME, "").startswith("/"):
        return f"its property {SCRIPT_FILENAME} should be the absolute path of a script"
    seconds = given.get(MOST_SECONDS, "")
    if seconds and not _is_time(seconds):
        return f"its property {MOST_SECONDS} should be 1 to {LONGEST_SECONDS}, in seconds"
    return ""


def _is_time(text: str) -> bool:
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(LONGEST_SECONDS))
    return digits and 0 < int(text) <= LONGEST_SECONDS


def unheeded(group: VmGroup) -> Iterator[str]:
    """Yield the actions of policies of *group* that have no effect, and at which stage."""
    for hook in group.hooks:
        if hook.type != SCRIPT or _SPELT.get(hook.condition) not in HEEDED:
            yield f"{hook.action} at {hook.condition}"
