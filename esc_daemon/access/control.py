"""
Access control for every door: whose rights count now, what they refuse, and how often.

For one thread; what a `pruner` returns is for any.

The rules are configuration (``/nacm``) and are looked at with each question, so that an edit of
theirs counts at once. The groups of a user stand in the users' file and count within a second, for
sessions that are open too.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Final

import structlog
from lxml import etree

from esc_daemon.access.errors import AccessError
from esc_daemon.access.first_start import LOCAL_CLIENT
from esc_daemon.access.nacm import Nacm, read_nacm
from esc_daemon.access.rights import Rights, Sight
from esc_daemon.access.tenancy import Tenancy
from esc_daemon.access.users import Users
from esc_daemon.access.writing import Model, WriteCheck
from esc_daemon.netconf.errors import RpcError

log = structlog.get_logger()

_LOOK_AGAIN_SECONDS: Final = 1.0
"""Between two looks at a user's groups."""
_REMEMBERED: Final = 1024
"""Users whose rights are kept; when full, all are made anew."""
_LONGEST_PATH: Final = 512
"""Of a path in the log: clients choose what stands in it."""
_CLOSED: Final = Nacm(read_default=False, exec_default=False, members={})
"""What counts while the rules cannot be read: nobody but the local client may do anything."""

GroupsOf = Callable[[str], frozenset[str]]


@dataclass(slots=True)
class Denied:
    """How often something was denied since the start (RFC 8341 section 3.5, state of nacm)."""

    operations: int = 0
    data_writes: int = 0
    notifications: int = 0


@dataclass(slots=True)
class _Known:
    groups: frozenset[str]
    rights: Rights
    until: float


class AccessControl:
    """Asked by name: who he is has been found out before."""

    def __init__(
        self,
        *,
        rules: Callable[[], bytes | None],
        groups_of: GroupsOf,
        model: Model,
        modules: Mapping[str, str],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """
        Make one; *modules* gives the name of a YANG module by its namespace.

        *rules* returns the container nacm as it is stored, the same object until it changes.
        """
        self._rules = rules
        self._groups_of = groups_of
        self._model = model
        self._modules = modules
        self._clock = clock
        self._read_from: bytes | None = None
        self._nacm = read_nacm(None)
        self._known: dict[str, _Known] = {}
        self.denied: Final = Denied()

    def rights(self, user: str) -> Rights:
        """Return what *user* may do at this moment."""
        xml = self._rules()
        if xml is not self._read_from:
            self._nacm = _read(xml)
            self._read_from = xml
            self._known.clear()
        known, now = self._known.get(user), self._clock()
        if known is not None and now < known.until:
            return known.rights
        groups = self._groups_of(user)
        if known is None or known.groups != groups:
            rules = self._nacm.rules_for(user, groups)
            # the recovery session of RFC 8341 section 3.3.3
            unlimited = user == LOCAL_CLIENT
            rights = Rights(
                self._nacm,
                rules,
                modules=self._modules,
                guards_call=self._model.guards_call,
                unlimited=unlimited,
            )
            known = _Known(groups, rights, now)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[user] = known
        known.until = now + _LOOK_AGAIN_SECONDS
        return known.rights

    def check_call(self, user: str, operation: tuple[str, str]) -> None:
        """
        Look whether *user* may call *operation*, (namespace, name).

        Raises:
            RpcError: access-denied.

        """
        if self.rights(user).may_call(*operation):
            return
        self.denied.operations += 1
        log.info("access.denied", user=user, operation=operation[1])
        raise RpcError.access_denied("", f"access to the operation {operation[1]} is denied")

    def hears_all(self, user: str) -> bool:
        """Tell whether every event may be sent to *user*."""
        return self.rights(user).hears_all

    def may_hear(self, user: str, notification: tuple[str, str]) -> bool:
        """Tell whether *notification*, (namespace, name), may be sent to *user*; count a no."""
        if self.rights(user).may_hear(*notification):
            return True
        self.denied.notifications += 1
        return False

    def sight(self, user: str, root: tuple[str, str]) -> Sight:
        """Tell how much *user* may read of the top-level node *root*, (namespace, name)."""
        rights = self.rights(user)
        schema = None if rights.reads_all else self._model.data_root(*root)
        return Sight.ALL if schema is None else rights.sight(schema)

    def prune(self, data: etree._Element, user: str) -> None:
        """Take out of *data*, whose children are top-level nodes, what *user* may not read."""
        self.pruner(user)(data)

    def pruner(self, user: str) -> Callable[[etree._Element], None]:
        """
        Return what prunes as *user* may read at this moment.

        It may be called in any thread: it asks neither for the rules nor for the groups any more.
        """
        return functools.partial(self.rights(user).prune, roots=self._model.data_root)

    def write_check(self, user: str) -> WriteCheck | None:
        """Return what looks at an edit of *user*, None where nothing has to be looked at."""
        rights = self.rights(user)
        if rights.writes_all:
            return None

        def refused(path: str) -> None:
            self.denied.data_writes += 1
            log.info("access.denied", user=user, path=path[:_LONGEST_PATH])

        return WriteCheck(rights, self._model, refused)

    def tenancy(self, user: str) -> Tenancy:
        """Return what *user* may at this moment of what belongs to tenants."""
        return Tenancy(self.rights(user), self._model, self.write_check(user))


def groups_in(users: Users) -> GroupsOf:
    """Return what finds a user's groups in the file of *users*; while it is damaged, none."""

    def groups(name: str) -> frozenset[str]:
        try:
            user = users.find(name)
        except AccessError as error:
            log.error("access.groups_unknown", error=str(error))  # noqa: TRY400  the text says it
            return frozenset()
        return frozenset() if user is None else frozenset(user.member_of)

    return groups


def _read(xml: bytes | None) -> Nacm:
    try:
        return read_nacm(xml)
    except ValueError:
        log.exception("access.rules_unreadable", hint="log in as the local client and mend /nacm")
        return _CLOSED
