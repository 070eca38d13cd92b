"""What must never be in the VIM of a `World`."""

from esc_daemon.domain.record import DeploymentRecord
from tests.domain.pure_world import World


def in_vim_but_unknown(world: World) -> list[str]:
    """Return what the VIM has and no record and no leftover knows (ruling 8)."""
    vms: set[str] = set()
    for record in world.records.values():
        if isinstance(record, DeploymentRecord):
            vms |= {*record.vms, *(left.vm.id for left in record.leftovers)}
    lost = []
    for vim in world.vims:
        lost += [s.id for s in vim.servers.values() if s.key.vm not in vms]
        lost += [f"ports of {vm}" for vm in vim.ports if vm not in vms]
        lost += [f"volume {id_}" for key, id_ in vim.volumes.made.items() if key.owner not in vms]
        lost += [i for i, key in vim.resources.items() if key not in world.records]
    return lost


def doubled(world: World) -> list[object]:
    """Return what VIMs have twice, and what two had at once."""
    keys: list[object] = [s.key for vim in world.vims for s in vim.servers.values()]
    keys += [key for vim in world.vims for key in vim.resources.values()]
    return [*(key for key in keys if keys.count(key) > 1), *world.beside]
