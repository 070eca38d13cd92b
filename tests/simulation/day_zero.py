"""Day-0 files of the simulation: what is asked for, what happens on the way, what must arrive."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from random import Random

from esc_daemon.dayzero.base import DayZeroRefused, DayZeroUnknown
from esc_daemon.domain.ids import ServerKey
from esc_daemon.domain.intent import DayZero
from esc_daemon.domain.placing import group_of
from esc_daemon.domain.record import DeploymentRecord, Record, VmRecord
from esc_daemon.domain.states import ServiceState
from tests.dayzero.shelf import Shelf
from tests.simulation.clouds import Clouds
from tests.simulation.network import Weather

SHELF = {"file:///var/tmp/a.sh": "address $NICID_0_IP_ADDRESS"}
INLINE = DayZero(dst="name", data="host $NAME", variables=(("NAME", ("one", "two")),))
ON_THE_SHELF = DayZero(dst="a.sh", file="file:///var/tmp/a.sh")
MISSING = DayZero(dst="b.sh", file="/var/tmp/b.sh")


def any_files(random: Random) -> tuple[DayZero, ...]:
    if random.random() < 0.04:
        return (MISSING,)
    return random.choice([(), (), (INLINE,), (ON_THE_SHELF,), (INLINE, ON_THE_SHELF)])


class LossyShelf(Shelf):
    """Files that come late, not now, or not at all, as the weather is."""

    def __init__(self, weather: Callable[[], Weather], random: Random) -> None:
        super().__init__(SHELF)
        self._weather = weather
        self._random = random

    async def texts(self, files: Sequence[DayZero]) -> tuple[str, ...]:
        w, roll = self._weather(), self._random.random
        await asyncio.sleep(self._random.uniform(0, w.longest if roll() < w.late else 0.05))
        if roll() < w.unknown + w.unreachable:
            raise DayZeroUnknown("sim: the file server answers 503")
        if roll() < w.refused:
            raise DayZeroRefused("sim: somebody moved the file")
        return await super().texts(files)


def misfiled(record: Record, clouds: Clouds) -> Iterator[str]:
    """Yield the VMs of an active deployment whose guests do not find what was asked for."""
    if isinstance(record, DeploymentRecord) and record.state is ServiceState.ACTIVE:
        gone = clouds.vanished_ports
        whole = {row.key for _, row in clouds.servers() if gone.isdisjoint(row.ports)}
        for vm in record.vms.values():
            key = ServerKey(vm.id, vm.generation)
            if key in clouds.lost or key not in whole:
                continue  # with a port that vanished went the address that the guest was told
            found = clouds.vims[vm.vim].cloud.cloud.files(key)
            wanted = [(each.dst, _text(each, vm)) for each in group_of(record, vm).day_zero]
            if [(each.dst, each.text) for each in found] != wanted:
                yield vm.name


def _text(file: DayZero, vm: VmRecord) -> str:
    if file.dst == ON_THE_SHELF.dst:
        return f"address {vm.interfaces[0].ip_address}"
    return "host one" if vm.seat == 0 else "host two"
