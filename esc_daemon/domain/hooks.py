"""
Hooks: the scripts that run at a stage of a life (policies of a vm_group or a deployment).

A policy ties actions to stages. `TABLE` has those that run, and whose policies may name which; an
action of another stage, or one that is no script, is kept without effect, and the log says so.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from esc_daemon.domain.intent import Hook, VmGroup
from esc_daemon.domain.placing import group_of
from esc_daemon.domain.record import DeploymentRecord, VmRecord
from esc_daemon.domain.secrets import is_secret
from esc_daemon.domain.specs import HookScript
from esc_daemon.domain.stages import Stage

SCRIPT: Final = "SCRIPT"
SCRIPT_FILENAME: Final = "script_filename"
"""The property with the script's path."""
MOST_SECONDS: Final = "wait_max_timeout"
"""The property with the time that the script may take, in seconds."""
DEFAULT_SECONDS: Final = 300
LONGEST_SECONDS: Final = 3600


@dataclass(kw_only=True, slots=True, frozen=True)
class Moment:
    """
    When a stage comes, as the docs have it.

    *group*, *deployment*: its scripts run by policies of a vm_group, by those of a deployment.
    *fails* says what comes of a script that fails; empty: nothing, it runs beside all else.
    """

    comes: str
    group: bool = False
    deployment: bool = False
    fails: str = ""


TABLE: Final[Mapping[Stage, Moment]] = {
    Stage.POST_DEPLOY_ALIVE: Moment(
        comes="the deployment is active: SERVICE_ALIVE is told", deployment=True
    ),
    Stage.DEPLOY_ERR: Moment(
        comes="the deployment has failed: SERVICE_ALIVE FAILURE is told", deployment=True
    ),
    Stage.POST_VM_ALIVE: Moment(
        comes="a VM is alive for the first time, whatever it was made by, or recovered and alive:"
        " VM_ALIVE, VM_RECOVERY_COMPLETE",
        group=True,
    ),
    Stage.RECOVERY_ERR: Moment(
        comes="the recovery of a VM has failed: VM_RECOVERY_COMPLETE FAILURE is told",
        group=True,
        deployment=True,
    ),
    Stage.RECOVERY_REDEPLOY_ERR: Moment(
        comes="the same, of a recovery that had begun to redeploy the VM; both run",
        group=True,
        deployment=True,
    ),
    Stage.PRE_VOLUME_DETACH: Moment(
        comes="an update takes volumes from a VM that is there, before the first of them goes",
        group=True,
        fails="VM_UPDATED FAILURE; no volume is taken away",
    ),
    Stage.VOLUME_ATTACHED: Moment(
        comes="an update has given new volumes to a VM that is there, once it has them all",
        group=True,
        fails="VM_UPDATED FAILURE; the volumes stay",
    ),
    Stage.SOFTWARE_VERSION_UPDATED: Moment(
        comes="an update changes `software_version`: in each VM that is there, after all else that"
        " the update does to it",
        group=True,
        fails="VM_UPDATED FAILURE",
    ),
}
"""Each stage that runs."""

OF_GROUP: Final = frozenset(stage for stage, moment in TABLE.items() if moment.group)
OF_DEPLOYMENT: Final = frozenset(stage for stage, moment in TABLE.items() if moment.deployment)
_SPELT: Final[Mapping[str, Stage]] = {stage.value: stage for stage in Stage} | {
    # as the guide of the upgrade in place writes it
    "LCS::DEPLOY_UPDATE::POST_VM_SOFTWARE_VERSION_UPDATED": Stage.SOFTWARE_VERSION_UPDATED,
}


def scripts_at(
    record: DeploymentRecord, vm: VmRecord | None, stage: Stage, volumes: Iterable[str] = ()
) -> tuple[HookScript, ...]:
    """
    Return the scripts that are to run at *stage*, for *vm* or for the deployment, in their order.

    Those of the deployment come first. All properties but the two of ours are words of a script,
    name and value in turn, as for a KPI's; an empty value stands for what is known by that name.
    *volumes* are the names of those that come or go.
    """
    assert record.intent is not None
    of_deployment = record.intent.hooks if stage in OF_DEPLOYMENT else ()
    of_group = group_of(record, vm).hooks if vm is not None and stage in OF_GROUP else ()
    found = [hook for hook in (*of_deployment, *of_group) if _is_at(hook, stage)]
    # one that was accepted before its stage ran was not looked at
    found = [hook for hook in found if not wrong_with(hook, frozenset({stage}))]
    if not found:
        return ()  # as with most deployments
    known = _known(record, vm, volumes)
    return tuple(_script(hook, known) for hook in found)


def has_scripts(group: VmGroup, stage: Stage) -> bool:
    """Tell whether any script of *group* runs at *stage*."""
    return any(_is_at(hook, stage) for hook in group.hooks)


def _is_at(hook: Hook, stage: Stage) -> bool:
    return hook.type == SCRIPT and _SPELT.get(hook.condition) is stage


def _known(
    record: DeploymentRecord, vm: VmRecord | None, volumes: Iterable[str]
) -> Mapping[str, str]:
    of_all = {"deployment": record.key.name, "tenant": record.key.tenant or ""}
    if vm is None:
        return of_all
    addresses = (
        each.ip_address for port in vm.interfaces for each in port.addresses if each.ip_address
    )
    return of_all | {
        "vm_ip_address": next(addresses, ""),
        "vm_name": vm.name,
        "vm_id": vm.server.resource_id if vm.server else "",
        "vm_group": vm.group,
        "software_version": group_of(record, vm).software_version or "",
        "volumes": ",".join(volumes),
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


def wrong_with(hook: Hook, stages: frozenset[Stage]) -> str:
    """
    Return why the script of *hook* could never run; empty: it could, or it is none of ours.

    *stages* are those that run where it stands.
    """
    if not _runs(hook, stages):
        return ""
    given = dict(hook.properties)
    if not given.get(SCRIPT_FILENAME, "").startswith("/"):
        return f"its property {SCRIPT_FILENAME} should be the absolute path of a script"
    seconds = given.get(MOST_SECONDS, "")
    if seconds and not _is_time(seconds):
        return f"its property {MOST_SECONDS} should be 1 to {LONGEST_SECONDS}, in seconds"
    return ""


def _runs(hook: Hook, stages: frozenset[Stage]) -> bool:
    return hook.type == SCRIPT and _SPELT.get(hook.condition) in stages


def _is_time(text: str) -> bool:
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(LONGEST_SECONDS))
    return digits and 0 < int(text) <= LONGEST_SECONDS


def unheeded(hooks: Iterable[Hook], stages: frozenset[Stage]) -> Iterator[str]:
    """Yield the actions of *hooks* that have no effect, and at which stage; *stages* as above."""
    for hook in hooks:
        if not _runs(hook, stages):
            yield f"{hook.action} at {hook.condition}"
