"""
Deliberate breaks: what is left undone, and the words with which the simulation must notice it.

`python -m tests.simulation.breaks` finds for each the first seed that shows it: `first` moves with
whatever is drawn anew.
"""

import argparse
import logging
import re
import sys
import time
from collections.abc import Iterable
from copy import copy
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

import structlog

from esc_daemon.access.control import AccessControl, Denied
from esc_daemon.datamodel.candidate import Candidate
from esc_daemon.domain import day_zero, interruption, kpi, neighbours, placing, plan, tell
from esc_daemon.domain.advance import (
    broken_off,
    deploy,
    heal,
    healed,
    held,
    life,
    migrate,
    operate,
    resource,
    scale,
    settling,
    undeploy,
)
from esc_daemon.domain.interruption import TAKEN, Activity, Request
from esc_daemon.domain.pools import Pools
from esc_daemon.domain.states import ServiceState
from esc_daemon.domain.step import Step
from esc_daemon.engine import calls, connectors, guard, performer
from esc_daemon.engine.boxes import Boxes
from esc_daemon.engine.guard import Guard
from esc_daemon.engine.performer import Performer
from esc_daemon.engine.timers import Timers
from esc_daemon.engine.uploads import Uploads
from esc_daemon.monitor.monitor import Monitor
from esc_daemon.northbound.configuration import Configuration
from esc_daemon.northbound.management import Manager
from esc_daemon.northbound.ssh.locks import Locks
from esc_daemon.vim.simulator.servers import Servers
from esc_daemon.vim.simulator.volumes import Volumes
from tests.simulation import world
from tests.simulation.network import LossyVim
from tests.simulation.world import Broken, World


class Break(NamedTuple):
    """*broken* stands in for *name* of *owner*; *first* is a seed that shows it by *text*."""

    owner: Any
    name: str
    broken: Any
    text: str
    first: int


async def nothing(*_):
    return None


def nobody(*_):
    return None


def none(*_):
    return 0


def of_the_old(exchange):
    """Let the server have the other volume, and boot from the old one."""

    def broken(servers, key, volume, now):
        row = servers.row(key)
        old, done = row.root, exchange(servers, key, volume, now)
        row.root = old
        return done

    return broken


def asked_once(permits):
    """Let nobody ask for a turn for another round."""

    def broken(record, *, heals):
        for permit, moment in permits(record, heals=heals):
            if record.vms[permit.server.vm].recovery.queued is None:
                yield permit, moment

    return broken


def no_larger(_volumes, row, _size):
    return row


def at_any_time(goer, removal, now):
    return plan._when(goer.attempt, removal, now)


def forgotten(record):
    """Let the next incarnation go untold."""
    return Step(key=record.key, before=record, record=replace(record, successor=None))


async def confirmed_until_the_next_start(configuration, user):
    """Forget in the store that it was confirmed."""
    await configuration._editing.take(configuration.candidate.pending, user)
    configuration._trial = None
    Configuration._wake_at(configuration, None)


def at_the_first(observe):
    """Let one sample be enough."""
    return lambda counter, kpi, value, **more: observe(
        counter, replace(kpi, occurrences_true=1, occurrences_false=1), value, **more
    )


def with_alarms(observe, *, every):
    """Let every poll be told, or only changes, whatever was asked for."""
    return lambda counter, kpi, value, **more: observe(
        counter,
        replace(kpi, collector=replace(kpi.collector, continuous_alarm=every)),
        value,
        **more,
    )


def unguarded(monitor, probe):
    return monitor._select(probe.target, probe.kpi)


def written_anyhow(advance):
    def advanced(*given):
        step = advance(*given)
        return step if step.moved else replace(step, record=copy(step.record))

    return advanced


def untold(record, vm, event, now):
    """Tell of no switch."""
    return settling.settled(record, settling.with_vm(record, vm), (), now)


def as_before(record, *_):
    return Step(key=record.key, before=record, record=record)


def as_it_is(record, *_):
    return record


def false(*_):
    return False


def whoever_is_there(vm):
    return vm.server is not None


def enough(*_):
    """Count more than a group may have."""
    return 99


def of_the_first(rendered):
    """Give every VM the values of the first."""
    return lambda files, texts, **more: rendered(files, texts, **(more | {"index": 0}))


def never_no_more(wake):
    """Let a record be called although it is no more."""
    return lambda timers, key, at: None if at is None else wake(timers, key, at)


def whole(intent, *_):
    """Know nothing of what was drawn before."""
    return Pools(intent, ())


def stopping(**changed):
    """Let a stop end otherwise."""
    ends = dict(settling._ENDS)
    ends[ServiceState.STOPPING] = ends[ServiceState.STOPPING]._replace(**changed)
    return ends


def error_of_a_whole_one(first_error):
    """Find an error in services that are well."""
    return lambda record: (
        first_error(record) or ("nobody knows" if record.state is ServiceState.ACTIVE else None)
    )


ANYTHING_GOES: Final = {**TAKEN, Activity.STOPPED: frozenset(Request)}
"""Take whatever is asked of a service that is stopped."""


def silently(step):
    """Take *step*, and tell nothing of it."""
    return lambda *given: replace(step(*given), events=())


def unremoved(vm, attempt, leaving=migrate.leaving):
    """Make a VM in the VIM that it moves to before it is removed where it is."""
    going = leaving(vm, attempt)
    if not migrate.is_under_way(going):
        return going
    nobody: Any = SimpleNamespace(tenant=None)
    return migrate._made_next(nobody, going, attempt)


def unremembered(record, *given, not_removed=migrate.not_removed):
    """Forget what the VIM that a VM left did not let go."""
    step = not_removed(record, *given)
    return replace(step, record=replace(step.record, leftovers=record.leftovers))


def untold_end(*given, ended=broken_off._ended):
    """Break a recovery off, and tell nothing of it."""
    return ended(*given)[0], ()


def still_awaited(alive_again):
    """Wait for the life of who lives."""

    def lives(record, vm, now):
        step = alive_again(record, vm, now)
        again = replace(step.record.vms[vm.id], deadline=vm.deadline)
        return replace(step, record=settling.with_vm(step.record, again))

    return lives


BREAKS: Final = (
    Break(world, "POLICY", replace(world.POLICY, settle=timedelta(0)), "doubled|left behind", 58),
    Break(deploy, "turns", lambda _: {}, "out of order", 1),
    Break(performer, "run_scripts", nothing, "never ran", 4),
    Break(connectors, "check_connectors", nobody, "lives in no VIM", 88),
    Break(LossyVim, "remove_ports", nothing, "left behind in", 1),
    Break(LossyVim, "remove_volume", nothing, "left behind in", 11),
    Break(LossyVim, "attach_volume", nothing, "has lost VolumeKey", 53),
    Break(Volumes, "_grown", no_larger, "not as large as was asked for", 40),
    Break(Boxes, "unused", nobody, "mailboxes of records that are no more", 0),
    Break(plan, "_when_sure", at_any_time, "asked without a pause", 6),
    Break(undeploy, "_without_successor", forgotten, "its end was not told", 18),
    Break(LossyVim, "remove_subnet", nothing, "left behind in", 70),
    Break(LossyVim, "remove_tenant", nothing, "left behind in", 1),
    Break(undeploy, "leftovers_due", as_before, "was not tried again", 26),
    Break(resource, "_leftover_told", as_before, "was forgotten and is there again", 263),
    Break(kpi, "observe", at_the_first(kpi.observe), "told before it was so often enough", 1),
    Break(kpi, "observe", with_alarms(kpi.observe, every=False), "was not told", 1),
    Break(kpi, "observe", with_alarms(kpi.observe, every=True), "told again", 1),
    Break(Performer, "_crossed", nobody, "after it had been told alive", 1),
    Break(Monitor, "_choice", unguarded, "hardly ever asked", 81),
    Break(life, "kpi_crossed", written_anyhow(life.kpi_crossed), "was written unchanged", 1),
    Break(Configuration, "_take_back", nothing, "was on trial and is not taken back", 6),
    Break(Configuration, "take_back", nothing, "after a start .* is none of", 137),
    Break(Configuration, "_confirm", confirmed_until_the_next_start, "is none of", 417),
    Break(Configuration, "_check_not_on_trial", nobody, "is none of|by others", 228),
    Break(Candidate, "holds", false, "while it was to go", 96),
    Break(Configuration, "_wake_at", nobody, "on trial for ever|is not taken back", 6),
    Break(operate, "_told", untold, "began . times and ended", 21),
    Break(settling, "first_error", nobody, "it is active with VMs", 5),
    Break(settling, "_well", false, "it is in error with VMs", 21),
    Break(interruption, "TAKEN", ANYTHING_GOES, "it is stopped with VMs", 188),
    Break(settling, "_ENDS", stopping(told=tell.service_alive), "its last switch told", 87),
    Break(settling, "_action_ended", false, "ENABLE_MONITOR never ended", 260),
    Break(healed, "closed", as_it_is, "its operation never ended", 3),
    Break(plan, "_permits", asked_once(plan._permits), "its recovery", 51),
    Break(heal, "rebooted", silently(heal.rebooted), "VM_RECOVERY_REBOOT'>.* began", 18),
    Break(Servers, "exchange_root", of_the_old(Servers.exchange_root), "is to boot from", 363),
    Break(plan, "_switching", lambda *_: (None, None), "never came to rest", 14),
    Break(life, "alive_again", still_awaited(operate.alive_again), "is waited for", 23),
    Break(life, "after_start", lambda _, vm, now: vm, "was over and nobody had looked", 28),
    Break(plan, "seconds_to_tell", none, "was over and nobody had looked", 1754),
    Break(held, "life_lost", as_before, "nobody noticed that its guest is silent", 8),
    Break(
        settling,
        "first_error",
        error_of_a_whole_one(settling.first_error),
        "it is broken and told",
        23,
    ),
    Break(plan, "watched", whoever_is_there, "watched and not to be", 1),
    Break(calls, "rendered", of_the_first(day_zero.rendered), "without its day-0 files", 4),
    Break(neighbours, "released", lambda *_: True, "failed without a cause", 269),
    Break(neighbours, "released", lambda *_: True, "went on before", 4),
    Break(scale, "active_in", enough, "has . VMs", 21),
    Break(placing, "Pools", whole, "given twice", 54),
    Break(LossyVim, "remove_image", nothing, "left behind in .* ImageRow", 11),
    Break(Uploads, "_uploaded", nothing, "not as it was asked to be", 31),
    Break(LossyVim, "remove_server", nothing, "left behind in the cloud", 1),
    Break(guard, "judged", lambda *_: {}, "the guard was on", 3),
    Break(guard, "turns", lambda *_: ([], None), "was not healed|never came to rest", 3),
    Break(Configuration, "_gate", nobody, "changed what is barred", 13),
    Break(Locks, "check", nobody, "changed what .* has locked", 9),
    Break(Locks, "forget", nobody, "was denied .*, in whose way is|a lock of nobody", 9),
    Break(Configuration, "on_trial", property(nobody), "in spite of the commit of", 74),
    Break(Configuration, "discard_changes", nobody, "under a lock outlived it", 10),
    Break(AccessControl, "pruner", lambda *_: nobody, "reader was shown", 39),
    Break(AccessControl, "check_call", nobody, "reader acted upon", 9),
    Break(Manager, "_check", nobody, "guest acted upon", 74),
    Break(Denied, "operations", property(none, nobody), "denied-operations is", 13),
    Break(Guard, "forget", nobody, "permits of records that are no more", 18),
    Break(migrate, "leaving", unremoved, "was made in .* beside", 17),
    Break(migrate, "not_removed", unremembered, "was made in .* beside", 39),
    Break(broken_off, "_ended", untold_end, "in the middle of", 39),
    Break(Timers, "wake", never_no_more(Timers.wake), "timers of records that are no more", 5),
)


def noticed(it: Break, seeds: Iterable[int]) -> int | None:
    """Return the first of *seeds* that shows *it*; None: they show nothing, or something else."""
    whole = getattr(it.owner, it.name)
    setattr(it.owner, it.name, it.broken)
    try:
        return next((seed for seed in seeds if re.search(it.text, _found(seed))), None)
    finally:
        setattr(it.owner, it.name, whole)


def _found(seed: int) -> str:
    """Return what does not hold in the world of *seed*, in the words of the invariants."""
    try:
        World(seed).run()
    except Broken as found:
        return str(found)
    except Exception:  # noqa: BLE001  a break may break more than was meant
        return ""
    return ""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=300, help="look at so many at most")
    options.add_argument("--text", default="", help="only breaks with this in their words")
    chosen = options.parse_args()
    critical = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=critical)
    lost = 0
    for it in (each for each in BREAKS if chosen.text in each.text):
        began = time.process_time()
        first = noticed(it, (it.first, *range(chosen.seeds)))
        lost += first is None
        spent = time.process_time() - began
        print(f"{it.name}: {it.text!r}: {it.first} -> {first}, {spent:.1f} s", flush=True)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
