"""Healing among many, by several KPIs, and again and again: what it costs, where it ends."""

from collections.abc import Iterator, ValuesView
from dataclasses import replace

from esc_daemon.domain.ids import VmId
from esc_daemon.domain.plan import plan
from esc_daemon.domain.record import VmRecord
from tests.domain.elastic import the_vms, up
from tests.domain.stories import SHOP, a_group


class CountedVms(dict[VmId, VmRecord]):
    """VMs that count how often anybody goes through all of them."""

    walks = 0

    def __iter__(self) -> Iterator[VmId]:
        self.walks += 1
        return super().__iter__()

    def values(self) -> ValuesView[VmRecord]:
        self.walks += 1
        return super().values()


def test_a_plan_goes_through_the_vms_as_often_for_many_as_for_few() -> None:
    walks = []
    for vms in (2, 40):
        # given
        world = up(a_group("web", "net", vms=vms))
        counted = CountedVms({vm.id: vm for vm in the_vms(world)})
        # when
        plan(replace(world.deployment(SHOP), vms=counted), world.now)
        # then
        walks.append(counted.walks)
    assert walks[0] == walks[1] > 0
