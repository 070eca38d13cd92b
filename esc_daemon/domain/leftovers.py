"""
What stays in a VIM though it should be gone (ruling 8): named, chosen, and when it has left.

No event tells of its end, for its deployment has ended.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Final, NamedTuple, Protocol

from esc_daemon.domain.errors import Refused
from esc_daemon.domain.ids import NO_VIM, Key, Kind, RecordId, ServerKey, VimId, parts_of
from esc_daemon.domain.record import DeploymentRecord, Leftover, Record, ResourceRecord
from esc_daemon.domain.states import ResourceState
from esc_daemon.domain.step import Step
from esc_daemon.domain.triggers import LeftoversPurged, LeftoversRetried, LeftoverTrigger

RETRY: Final = "ask for leftoverAction RETRY (esc_nc_cli leftover retry)"
"""What makes the next try now, for texts of refusals."""

_NAMED: Final = 5
"""Leftovers that a refusal names."""


class LeftoverRef(NamedTuple):
    """
    One leftover, by the words that opdata has for it.

    *subject* is what it is to its record. *id* is that of the VIM, "" where it never told one.
    """

    subject: ServerKey | RecordId
    kind: str
    name: str
    id: str
    tenant: str
    deployment: str
    vim: VimId

    @property
    def of_tenant(self) -> str:
        """The tenant that it belongs to or is, "" for what stands at the root."""
        return self.name if self.kind == Kind.TENANT else self.tenant

    def words(self) -> dict[str, str]:
        """Return what a log line calls it."""
        return {name: word for name, word in zip(self._fields[1:], self[1:], strict=True) if word}

    def __str__(self) -> str:
        """Say what it is and where, for people."""
        of = "/".join(part for part in (self.tenant, self.deployment) if part)
        place = f" in VIM {self.vim}" if self.vim else ""
        return f"{self.kind} {self.name}" + (f" of {of}" if of else "") + place


class Asker(Protocol):
    """Who asks for leftovers: what he may not see is not there for him."""

    def sees(self, left: LeftoverRef) -> bool:
        """Tell whether he may know of *left*."""
        ...

    def check(self, left: LeftoverRef) -> None:
        """Raise an error unless he may act upon *left*, which he sees."""
        ...


class _Anybody:
    def sees(self, left: LeftoverRef) -> bool:  # noqa: ARG002
        return True

    def check(self, left: LeftoverRef) -> None:
        pass


ANYBODY: Final[Asker] = _Anybody()
"""Who may see and do everything."""


class LeftoverActionType(StrEnum):
    """What an operator may do about leftovers."""

    PURGE = "PURGE"
    """Forget them: nothing is asked of the VIM."""

    RETRY = "RETRY"
    """Try their removal again now."""


@dataclass(kw_only=True, slots=True, frozen=True)
class LeftoverAction:
    """What to do about which leftovers: those that every field which is not None fits."""

    type: LeftoverActionType
    kind: str | None = None
    name: str | None = None
    id: str | None = None
    tenant: str | None = None
    deployment: str | None = None
    vim: str | None = None

    def chosen(self, record: Record | None, asker: Asker = ANYBODY) -> Iterator[LeftoverRef]:
        """Yield the leftovers of *record* that it means when *asker* asks for it."""
        asked = (self.kind, self.name, self.id, self.tenant, self.deployment, self.vim)
        for each in leftovers_of(record):
            told = each[1:]
            fits = all(word in {None, said} for word, said in zip(asked, told, strict=True))
            if fits and asker.sees(each):
                yield each


def leftovers_of(record: Record | None) -> Iterator[LeftoverRef]:
    """Yield what *record* has left in a VIM; what is still being removed is none of it."""
    if isinstance(record, DeploymentRecord):
        for each in record.leftovers:
            yield _server(record, each)
    elif isinstance(record, ResourceRecord) and record.state is ResourceState.LEFTOVER:
        owner, handle = record.owner, record.handle
        yield LeftoverRef(
            subject=record.id,
            kind=record.key.kind.value,
            name=parts_of(record.key.name)[-1],
            id=handle.resource_id if handle else "",
            tenant=record.key.tenant or "",
            deployment=owner[0].name if owner else "",
            vim=record.vim or (handle.vim if handle else NO_VIM),
        )


def _server(record: DeploymentRecord, leftover: Leftover) -> LeftoverRef:
    vm = leftover.vm
    return LeftoverRef(
        subject=ServerKey(vm.id, vm.generation),
        kind="vm",
        name=vm.name,
        id=vm.server.resource_id if vm.server else "",
        tenant=record.key.tenant or "",
        deployment=record.key.name,
        vim=vm.vim,
    )


def outlived(record: Record, vim: VimId) -> frozenset[ServerKey]:
    """Return the servers that *vim* still has of VMs which live elsewhere: they may run twice."""
    if not isinstance(record, DeploymentRecord):
        return frozenset()
    left = (each.vm for each in record.leftovers if each.vm.vim == vim)
    return frozenset(ServerKey(vm.id, vm.generation) for vm in left if vm.id in record.vms)


def departed(step: Step) -> Iterator[LeftoverRef]:
    """Yield each leftover that *step* ends, for the log; what is adopted does not end."""
    before, record = step.before, step.record
    if isinstance(before, DeploymentRecord):
        if not before.leftovers:
            return
    elif record is not None and not _waited(before, record):
        return
    stays = {each.subject for each in leftovers_of(record)}
    yield from (each for each in leftovers_of(before) if each.subject not in stays)


def _waited(before: Record | None, record: Record) -> bool:
    """Tell whether *record* is what waited for the end of *before*."""
    later = before.successor if isinstance(before, ResourceRecord) else None
    return later is not None and record.id == later.id


def asked(
    action: LeftoverAction,
    found: Mapping[Key, Sequence[LeftoverRef]],
    asker: Asker,
    records: Iterable[Record],
) -> dict[Key, LeftoverTrigger]:
    """
    Return what the records of *found*, chosen by *action* for *asker* among *records*, are told.

    Raises:
        Refused: There are none (data-missing); or what `Asker.check` raises.

    """
    if not any(found.values()):
        raise Refused("data-missing", none_fits(records, asker))
    for each in chain.from_iterable(found.values()):
        asker.check(each)
    return {key: trigger_of(action, left) for key, left in found.items()}


def trigger_of(action: LeftoverAction, found: Iterable[LeftoverRef]) -> LeftoverTrigger:
    """Return what their record is told of *found*, which *action* has chosen."""
    subjects = frozenset(each.subject for each in found)
    if action.type is LeftoverActionType.PURGE:
        return LeftoversPurged(subjects=subjects)
    return LeftoversRetried(subjects=subjects)


def none_fits(records: Iterable[Record], asker: Asker = ANYBODY) -> str:
    """Return the refusal of an action that means none in *records* of those that *asker* sees."""
    there_are = (each for record in records for each in leftovers_of(record))
    named = [str(each) for each in there_are if asker.sees(each)]
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    there = ", ".join(named[:_NAMED]) or "none"
    return f"no leftover fits all that was given (there are: {there}{more})"
