"""What makes a deployment of the simulation live: groups that heal and scale, and their load."""

from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any, Final

from esc_daemon.domain.ids import Key
from esc_daemon.domain.intent import (
    Collector,
    Condition,
    Deployment,
    Kpi,
    RecoveryAction,
    RecoveryPolicy,
    RecoveryType,
    Rule,
    RuleAction,
    RuleWhen,
    VmGroup,
)
from esc_daemon.vim.simulator.faults import Fault
from esc_daemon.vim.simulator.faults import Rule as LoadRule
from tests.simulation.requests import Edit

_RECOVER: Final = RuleAction(when=RuleWhen.FALSE, name="recover autohealing")
_LIFE: Final = "VM_ALIVE"


def lively(edit: Mapping[Key, Any], random: Random) -> Edit:
    """Return *edit* with deployments whose groups may heal, with policies that end soon."""
    return {
        key: _lively(intent, random) if isinstance(intent, Deployment) else intent
        for key, intent in edit.items()
    }


def _lively(deployment: Deployment, random: Random) -> Deployment:
    groups = tuple(_scaled(_healed(group, random), random) for group in deployment.groups)
    return replace(deployment, groups=groups)


def _healed(group: VmGroup, random: Random) -> VmGroup:
    if random.random() < 0.2:
        return group
    watched = group.bootup_time != -1
    return replace(
        group,
        rules=tuple(_healing(rule) if rule.event_name == _LIFE else rule for rule in group.rules),
        bootup_time=random.choice([120, 20, 7]) if watched else -1,
        recovery_wait_time=random.choice([0, 0, 2, 20]),
        reboot_time=random.choice([None, 5, 30]),
        recovery=RecoveryPolicy(
            type=RecoveryType.MANUAL if random.random() < 0.2 else RecoveryType.AUTO,
            action=random.choice(list(RecoveryAction)),
            max_retries=random.choice([0, 1, 2, 3, -1]),
        ),
    )


def _scaled(group: VmGroup, random: Random) -> VmGroup:
    """Return *group* that gets one VM more or less by its load."""
    if group.bootup_time == -1 or random.random() < 0.4:
        return group
    loads = [_load(Condition.GT, "80", random), _load(Condition.LT, "20", random)]
    actions = ("servicescaleup.sh", "esc_vm_scale_in_notification")
    rules = tuple(
        Rule(event_name=kpi.event_name, actions=(RuleAction(when=RuleWhen.TRUE, name=name),))
        for kpi, name in zip(loads, actions, strict=True)
    )
    least = group.scaling.min_active
    scaling = replace(
        group.scaling,
        min_active=random.choice([1, least]),
        max_active=least + random.choice([0, 1, 2]),
        elastic=random.random() < 0.9,
    )
    return replace(group, kpis=(*group.kpis, *loads), rules=(*group.rules, *rules), scaling=scaling)


def _load(condition: Condition, threshold: str, random: Random) -> Kpi:
    return Kpi(
        event_name=f"LOAD_{condition}",
        threshold=threshold,
        condition=condition,
        collector=Collector(type="cpu", poll_seconds=5, continuous_alarm=random.random() < 0.7),
    )


def any_load(random: Random, *, much: bool | None = None) -> tuple[LoadRule, ...]:
    """Return what loads the servers: all or some of them, *much* or little, None: or neither."""
    value = random.choice([50.0, 90.0, 90.0, 10.0]) if much is None else 90.0 if much else 10.0
    return (LoadRule(fault=Fault.LOAD, match=random.choice(["*", "*_g_*", "x_*"]), value=value),)


def _healing(rule: Rule) -> Rule:
    if _RECOVER in rule.actions:
        return rule
    return replace(rule, actions=(*rule.actions, _RECOVER))
