"""What must never be in the VIM of a `World`."""

from esc_daemon.domain.record import DeploymentRecord
from tests.domain.pure_world import World


def in_vim_but_unknown(world: World) -> list[str]:
    """Return what the VIM has and no record and no leftover knows (ruling 8)."""
    vms: set[str] = set()
    for record in world.records.values():
        if isinstance(record, DeploymentRecord):
            vms |= {*record.vms, *(left.vm.id for left in record.leftovers)}
    lost = [s.id for s in world.vim.servers.values() if s.key.vm not in vms]
    lost += [f"ports of {vm}" for vm in world.vim.ports if vm not in vms]
    lost += [f"volume {id_}" for key, id_ in world.vim.volumes.made.items() if key.owner not in vms]
    lost += [i for i, key in world.vim.resources.items() if key not in world.records]
    return lost


def doubled(world: World) -> list[object]:
    """Return what the VIM has twice."""
    keys: list[object] = [server.key for server in world.vim.servers.values()]
    keys += list(world.vim.resources.values())
    return [key for key in keys if keys.count(key) > 1]
