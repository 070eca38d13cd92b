"""What a seed draws for itself: how its clouds are, how patient the daemon is, the weather."""

from dataclasses import replace
from datetime import timedelta
from random import Random

from esc_daemon.domain.policy import GuardPolicy, Policy
from esc_daemon.vim.simulator.faults import MAKERS, Fault, Rule, Verb
from esc_daemon.vim.simulator.settings import CloudSettings, Quota
from tests.simulation.network import CALM, Weather

_REMOVERS = (Verb.REMOVE_NETWORK, Verb.REMOVE_SUBNET, Verb.REMOVE_PORTS, Verb.REMOVE_TENANT)
STUBBORN = tuple(Rule(fault=Fault.REFUSE, verb=verb) for verb in (*_REMOVERS, Verb.REMOVE_SERVER))
"""Clouds that remove nothing of one kind, for as long as that is in force."""


def any_settings(seed: int, random: Random) -> CloudSettings:
    return CloudSettings(
        seed=seed,
        build_seconds=random.choice([0.0, 0.0, 3.0]),
        boot_seconds=random.choice([0.0, 1.0, 5.0]),
        delete_seconds=random.choice([0.0, 0.5, 2.0]),
        quota=Quota(
            servers=random.choice([None, None, 6]), ports=random.choice([None, None, None, 7])
        ),
        stale_seconds=random.choice([0.0, 5.0, 30.0]),
        image_content=bool(seed % 2),
    )


def any_policy(policy: Policy, random: Random) -> Policy:
    """Return *policy* with other budgets; how long a late request may take stays as it is."""
    return replace(
        policy,
        give_up_after=timedelta(seconds=random.choice([300, 300, 60, 15])),
        longest_pause=timedelta(seconds=random.choice([20, 5])),
        removal_tries=random.choice([6, 2, 1]),
        leftover_pause=timedelta(seconds=random.choice([60, 15])),
    )


def any_guard(random: Random) -> GuardPolicy:
    """Return a guard that may hold a few, or let few be recovered at a time, and not for long."""
    return GuardPolicy(
        share=random.choice([0.5, 0.3]),
        least=random.choice([5, 2]),
        longest=timedelta(seconds=random.choice([60, 300])),
        per_host=random.choice([10, 1]),
        per_vim=random.choice([100, 2]),
    )


def any_rules(random: Random) -> tuple[Rule, ...]:
    """Return faults of the cloud itself, which end with the bad weather."""
    if random.random() < 0.5:
        return ()
    roll = random.random
    there = [
        Rule(fault=Fault.SLOW, seconds=random.choice([5, 40, 400]), probability=0.3),
        Rule(fault=Fault.ERROR, probability=0.15),
        Rule(fault=Fault.SILENT, probability=0.1),
        Rule(
            fault=Fault.SILENT,
            seconds=random.choice([0, 10, 60]),
            lasts=random.choice([3, 45, 200]),
            probability=0.4,
        ),
        Rule(fault=Fault.POWER_OFF, seconds=random.choice([2, 90]), probability=0.2),
        Rule(
            fault=Fault.VANISH,
            verb=random.choice([verb for verb in MAKERS if verb is not Verb.ENSURE_VOLUME]),
            seconds=random.choice([0, 1, 20, 120]),
            probability=0.3,
        ),
        Rule(fault=Fault.QUOTA, verb=Verb.ENSURE_SERVER, probability=0.2),
        Rule(fault=Fault.QUOTA, verb=Verb.ENSURE_PORT, probability=0.1),
        Rule(fault=Fault.REFUSE, verb=Verb.REMOVE_SERVER, skip=1, count=random.choice([1, 7])),
        Rule(fault=Fault.REFUSE, verb=random.choice(_REMOVERS), count=random.choice([1, 7])),
        Rule(fault=Fault.HANG, count=3, takes_effect=roll() < 0.5, probability=0.2),
        Rule(fault=Fault.UNREACHABLE, begin=random.choice([0, 30]), end=random.choice([50, 400])),
    ]
    return tuple(random.sample(there, random.randint(1, 3)))


def any_weather(random: Random) -> Weather:
    roll = random.random
    if roll() < 0.3:
        return CALM
    return Weather(
        late=roll() * 0.2,
        lost_request=roll() * 0.1,
        lost_answer=roll() * 0.1,
        refused=roll() * 0.03,
        unknown=roll() * 0.1,
        unreachable=roll() * 0.1,
        disk_full=roll() * 0.05,
        disk_broken=roll() * 0.05,
    )


def any_step(random: Random) -> float:
    """Return by how many seconds the machine's clock was set while the daemon was down."""
    return random.choice([0.0, 0.0, 0.0, 3600.0, 90.0, -120.0])
