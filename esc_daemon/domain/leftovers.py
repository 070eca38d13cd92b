"""What has left the list of leftovers: no event tells of it, for its deployment has ended."""

from collections.abc import Iterator

from esc_daemon.domain.ids import VimId, parts_of
from esc_daemon.domain.record import DeploymentRecord, ResourceRecord
from esc_daemon.domain.states import ResourceState
from esc_daemon.domain.step import Step


def departed(step: Step) -> Iterator[tuple[str, str, VimId]]:
    """Yield kind, name and VIM of each leftover that *step* ends, for the log."""
    before, record = step.before, step.record
    if isinstance(before, DeploymentRecord) and before.leftovers:
        left = record.leftovers if isinstance(record, DeploymentRecord) else ()
        stays = {(each.vm.id, each.vm.generation) for each in left}
        for each in before.leftovers:
            if (each.vm.id, each.vm.generation) not in stays:
                yield "vm", each.vm.name, each.vm.vim
    elif (
        isinstance(before, ResourceRecord)
        and before.state is ResourceState.LEFTOVER
        and record is None
    ):
        yield before.key.kind.value, "/".join(parts_of(before.key.name)), before.vim
