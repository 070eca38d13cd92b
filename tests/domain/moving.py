"""What the tests of moves between VIMs share: three VIMs, a service in the first, and its way."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from esc_daemon.domain.commands import call_slot
from esc_daemon.domain.events import Event
from esc_daemon.domain.ids import OperationId, ServerKey, VimId
from esc_daemon.domain.intent import (
    Locator,
    VmGroup,
)
from esc_daemon.domain.record import VmRecord
from tests.domain.fake_vim import FakeVim
from tests.domain.lost import doubled, in_vim_but_unknown
from tests.domain.pure_world import VIM, Luck, World
from tests.domain.stories import SHOP, a_deployment, a_group
from tests.domain.updates import CHANGED, POOL, change, the_vms

FAR = VimId("far")
MOON = VimId("moon")
OP = OperationId("33333333-3333-3333-3333-333333333333")
ONE = a_group("web", "net", pool=POOL)
MOVED = "VIM Locator Updated Successfully"


def on(vim: str, group: VmGroup = ONE, project: str = "") -> VmGroup:
    return replace(group, locator=Locator(vim_id=vim, vim_project=project))


def pair(group: VmGroup = ONE) -> VmGroup:
    return replace(group, scaling=replace(group.scaling, min_active=2, max_active=2))


def world_of(*groups: VmGroup, **more: Any) -> World:
    """Return a world with three VIMs, whose service is active in the first."""
    world = World(others={FAR: FakeVim(), MOON: FakeVim()})
    world.apply({SHOP: a_deployment(*groups, **more)})
    world.rest()
    world.log.clear()
    return world


def moved(world: World, *groups: VmGroup, rest: bool = True) -> World:
    change(world, a_deployment(*groups), rest=rest)
    assert not doubled(world)
    assert not in_vim_but_unknown(world)
    return world


def the_vm(world: World) -> VmRecord:
    return the_vms(world)[0]


def servers(world: World) -> dict[str, list[ServerKey]]:
    return {
        name: sorted(server.key for server in vim.servers.values())
        for name, vim in ((VIM, world.vim), *world.others.items())
        if vim.servers
    }


def until(world: World, met: Callable[[World], bool]) -> None:
    """Let everything go well until *met*."""
    while not met(world):
        assert world._deed(strays=False)


def under_way(world: World, kind: str, vim: str = FAR) -> bool:
    """Tell whether that call about the VM is on its way to *vim*."""
    flight = world.flights.get((SHOP, call_slot(VimId(vim), the_vm(world).id)))
    return flight is not None and type(flight.command).__name__ == kind


def meet(world: World, kind: str, luck: Luck, vim: str = FAR) -> None:
    """Let all go well until a call of *kind* about the VM is on its way, and meet with *luck*."""
    until(world, lambda it: under_way(it, kind, vim))
    slot = SHOP, call_slot(VimId(vim), the_vm(world).id)
    world.perform(slot, luck)
    world.deliver(slot)


def last(world: World, kind: str = CHANGED) -> Event:
    return world.told(kind)[-1]
