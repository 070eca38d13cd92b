"""
Which VIM connectors there are, what lives where, and what an edit may not do about it.

Pure: an edit is judged by its steps, so that the order of its changes does not matter (ruling 14),
and what no step touches is looked at only where a connector goes or changes its nature (law 8).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from esc_daemon.domain.advance.resource_intent import in_vim
from esc_daemon.domain.changed import replace
from esc_daemon.domain.errors import Node, Refused
from esc_daemon.domain.ids import DEFAULT_VIM, Key, Kind, VimId, parts_of
from esc_daemon.domain.intent import DefaultVimConnector, Deployment, Intent, VimConnector
from esc_daemon.domain.leftovers import RETRY, leftovers_of
from esc_daemon.domain.placing import home_of
from esc_daemon.domain.record import DeploymentRecord, Record, ResourceRecord
from esc_daemon.domain.step import Step


def connector_key(vim: VimId) -> Key:
    """Return the key of the connector *vim*."""
    return Key(Kind.VIM_CONNECTOR, None, vim)


@dataclass(kw_only=True, slots=True, frozen=True)
class Connectors:
    """The connectors that are configured, by id, and which of them is *named* as the default."""

    intents: Mapping[VimId, VimConnector] = field(default_factory=dict)
    named: VimId | None = None

    @property
    def default(self) -> VimId | None:
        """The one that is named, else the only one that there is."""
        if self.named is not None:
            return self.named if self.named in self.intents else None
        return next(iter(self.intents)) if len(self.intents) == 1 else None

    def after(self, key: Key, intent: Intent | None) -> "Connectors":
        """Return what is there once the entry of *key* is *intent*; most keys change nothing."""
        if key.kind is Kind.DEFAULT_VIM_CONNECTOR:
            assert intent is None or isinstance(intent, DefaultVimConnector)
            return replace(self, named=VimId(intent.vim_id) if intent else None)
        if key.kind is not Kind.VIM_CONNECTOR:
            return self
        intents = {vim: there for vim, there in self.intents.items() if vim != key.name}
        if intent is not None:
            assert isinstance(intent, VimConnector)
            intents = {**self.intents, VimId(key.name): intent}
        return replace(self, intents=intents)

    def absent(self, vim: VimId) -> str:
        """Return the text that says that there is no connector *vim*, and which there are."""
        known = ", ".join(sorted(self.intents)) or "none"
        return f"there is no VIM connector {vim} (there are: {known})"


class Home(NamedTuple):
    """
    Where a part of a record lives: *id* is the part's, *what* its name within the record.

    *group* is the name of a vm_group, which may move.
    """

    id: str
    what: str
    vim: VimId
    group: str = ""


def homes(record: Record | None) -> Iterator[Home]:
    """Yield where each part of *record* lives or is to live; what is in no VIM has no home."""
    if isinstance(record, DeploymentRecord):
        yield from _homes_of_deployment(record)
    elif isinstance(record, ResourceRecord):
        if in_vim(record.made):
            yield Home(record.id, "", record.vim)
        later = record.successor
        if later is not None and in_vim(later.intent):
            yield Home(later.id, "", later.vim)


def _homes_of_deployment(record: DeploymentRecord) -> Iterator[Home]:
    for asked in (record, record.successor):
        if asked is not None and asked.intent is not None:
            for group in asked.intent.groups:
                part = f"vm_group {group.name}"
                home = home_of(group, asked.vim)
                yield Home(f"{asked.id} {group.name}", part, home, group.name)
    for vm in record.vms.values():
        yield Home(vm.id, f"VM {vm.name}", vm.vim)
        if vm.migration is not None and vm.migration.source is not None:  # it may have to go back
            yield Home(vm.id, f"VM {vm.name}", vm.migration.source.vim)
    for leftover in record.leftovers:
        yield Home(leftover.vm.id, f"VM {leftover.vm.name}", leftover.vm.vim)


def check_creations(
    steps: Iterable[Step], after: Connectors, problem: Callable[[VimId], str]
) -> None:
    """
    Refuse what cannot be made where it would be made, or moved to (ruling 13).

    *problem* says what keeps a connector from working once the edit is taken, as far as is known:
    "" for one that works, and for one that was not checked yet.

    Raises:
        Refused: No such connector, no default, or one that does not work; *key* is the record's.

    """
    for step in steps:
        there = set(homes(step.before))
        known = {home.id for home in there}
        for home in homes(step.record):
            if home in there:
                continue
            text = _objection(home.vim, after, problem)
            if text is not None:
                place = f"{home.what}: " if home.what else ""
                moves = home.group and home.id in known
                below = _locator(home.group) if moves else ()
                raise Refused("operation-failed", place + text, key=step.key, below=below)


def check_locators(changes: Iterable[tuple[Key, Intent | None]], after: Connectors) -> None:
    """
    Refuse the first locator in *changes* that names no connector.

    Raises:
        Refused: It does; *key* is the deployment's, *below* leads to the locator.

    """
    for key, intent in changes:
        for group in intent.groups if isinstance(intent, Deployment) else ():
            vim = VimId(group.locator.vim_id)
            if vim and vim not in after.intents:
                text = f"vm_group {group.name}: {after.absent(vim)}"
                raise Refused("operation-failed", text, key=key, below=_locator(group.name))


def _locator(group: str) -> tuple[Node, ...]:
    return Node("vm_group", group), Node("locator")


def check_migrations(
    steps: Iterable[Step], after: Connectors, migrates: Callable[[str], bool]
) -> None:
    """
    Refuse that VMs move between VIMs that cannot have them from one another.

    *migrates* tells of a type of connector. Within one VIM they move from project to project.

    Raises:
        Refused: They do; *key* is the deployment's, *below* leads to the locator.

    """
    for step in steps:
        for group, old, new in _migrations(step):
            of = {
                vim: each.type
                for vim in (old, new)
                if (each := after.intents.get(vim or after.default or vim))
            }
            if len(of) < len({old, new}):
                continue  # there is no such connector: `check_creations`
            if len(set(of.values())) == 1 and migrates(of[new]):
                continue
            text = (
                f"vm_group {group}: VMs do not move from VIM {old} (type {of[old]}) to VIM {new} "
                f"(type {of[new]}); add a vm_group with the new locator and remove this one"
            )
            raise Refused("operation-not-supported", text, key=step.key, below=_locator(group))


def _migrations(step: Step) -> Iterator[tuple[str, VimId, VimId]]:
    """Yield the groups whose VMs are to move by *step*, from where and to where."""
    before, record = step.before, step.record
    if not (isinstance(before, DeploymentRecord) and isinstance(record, DeploymentRecord)):
        return
    for vm in record.vms.values():
        was = before.vms.get(vm.id)
        if vm.migration is not None and (was is None or vm.migration != was.migration):
            yield vm.group, vm.vim, vm.migration.vim


def _objection(vim: VimId, after: Connectors, problem: Callable[[VimId], str]) -> str | None:
    if not vim:
        known = ", ".join(sorted(after.intents)) or "none"
        return f"no VIM is named and there is no default: set default_vim_connector (to: {known})"
    if vim not in after.intents:
        return after.absent(vim)
    why = problem(vim)
    return f"nothing can be made in VIM connector {vim} now: {why}" if why else None


def check_connectors(
    before: Connectors,
    after: Connectors,
    records: Callable[[], Iterable[Record]],
    needs_users: Callable[[str], bool],
) -> None:
    """
    Refuse a change of connectors that would cut off what lives in them.

    *records* returns all there are once the edit is taken, and is called for a change that might;
    *needs_users* tells of a type of connector.

    Raises:
        Refused: A connector in use would go, become another one or lose its last user; or the
            default would name none, or move away from the resources that live there.

    """
    _check_named(before, after)
    deeds = {
        vim: deed
        for vim, intent in before.intents.items()
        if (deed := _deed(intent, after.intents.get(vim), needs_users))
    }
    default = after.default if after.default != before.default else None
    if not deeds and default is None:
        return
    there = tuple(records())
    for vim, deed in deeds.items():
        tenants = [each for each in there if _lives_at(each, vim, before)]
        if tenants:
            why = _by_whom(tenants, vim, before, deed)
            raise Refused("in-use", f"VIM connector {vim} is in use: {why}", key=connector_key(vim))
    if default is not None:
        _check_default(before, default, there)


def _deed(
    old: VimConnector, new: VimConnector | None, needs_users: Callable[[str], bool]
) -> str | None:
    """Return what an edit does to a connector in use and may not do."""
    if new is None:
        return "delete it"
    if new.type != old.type:
        return "change its type"
    if old.users and not new.users and needs_users(new.type):
        return "delete its last user"
    return None


def _lives_at(record: Record | None, vim: VimId, before: Connectors) -> bool:
    return any((home.vim or before.default) == vim for home in homes(record))


def _by_whom(tenants: Sequence[Record], vim: VimId, before: Connectors, deed: str) -> str:
    """Return who of *tenants* keeps *vim*, and when *deed* may be done; leftovers last."""
    living = [each for each in tenants if _lives_at(_without_leftovers(each), vim, before)]
    if living:
        return f"{_first_of(living)} lives there; {deed} when that is gone"
    left = [
        each
        for record in tenants
        for each in leftovers_of(record)
        if (each.vim or before.default) == vim
    ]
    more = f" (with {len(left) - 1} more)" if len(left) > 1 else ""
    return f"{left[0]}{more} is left over; {deed} when that is gone: {RETRY}, or PURGE to forget it"


def _without_leftovers(record: Record) -> Record | None:
    if isinstance(record, DeploymentRecord):
        return replace(record, leftovers=())
    waited_for = isinstance(record, ResourceRecord) and record.successor is not None
    return None if any(leftovers_of(record)) and not waited_for else record


def _check_named(before: Connectors, after: Connectors) -> None:
    if after.named is None or after.named in after.intents:
        return
    if after.named in before.intents:
        text = (
            f"VIM connector {after.named} is the default: to delete it, name another in "
            "default_vim_connector, or none"
        )
        raise Refused("in-use", text, key=connector_key(after.named))
    raise Refused("data-missing", after.absent(after.named), key=DEFAULT_VIM)


def _check_default(before: Connectors, default: VimId, records: tuple[Record, ...]) -> None:
    """What is made outside deployments lives in the default VIM, all of it."""
    left = [
        record
        for record in records
        if isinstance(record, ResourceRecord) and record.owner is None
        for home in homes(record)
        if (home.vim or before.default or default) != default
    ]
    if left:
        vim = left[0].vim or before.default
        text = (
            f"{_first_of(left)} lives in VIM {vim}: tenants, networks, images and flavors live in "
            f"the default VIM, and have to be gone before it is {default}"
        )
        raise Refused("in-use", text, key=DEFAULT_VIM)


def _first_of(records: Sequence[Record]) -> str:
    key = records[0].key
    name = f"{key.kind.value} {'/'.join(parts_of(key.name))}"
    if key.tenant is not None:
        name += f" of tenant {key.tenant}"
    return name if len(records) == 1 else f"{name} (with {len(records) - 1} more)"
