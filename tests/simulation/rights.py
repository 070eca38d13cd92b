"""Users who may not do or see everything, and that the rules (RFC 8341) are kept."""

from collections.abc import Mapping
from random import Random
from typing import Any, Final

from lxml import etree

from esc_daemon.access.control import AccessControl
from esc_daemon.datamodel.names import NAMESPACE
from esc_daemon.domain.ids import Key, TenantName
from esc_daemon.domain.intent import Deployment
from esc_daemon.netconf.errors import ErrorTag, RpcError, RpcErrors
from esc_daemon.netconf.xml import BASE_NS, NACM_NS
from tests.access_control import modules_of
from tests.simulation.papers import schema

USER: Final = "client"
GUEST: Final = "guest"
"""Changes nothing of one tenant."""
READER: Final = "reader"
"""Sees nothing of that tenant, nor when any VM was expected to be up, and acts upon none."""
_BARRED: Final = TenantName("b")
_OF_BARRED: Final = f"/e:esc_datamodel/e:tenants/e:tenant[e:name='{_BARRED}']"
_HIDDEN: Final = (
    _OF_BARRED,
    f"/e:esc_datamodel/e:opdata/e:tenants/e:tenant[e:name='{_BARRED}']",
    "/e:esc_datamodel/e:tenants/e:tenant/e:deployments/e:deployment/e:vm_group/e:bootup_time",
)
_EMPTY: Final = (
    "//e:tenants[not(*)]",
    "/e:esc_datamodel/e:opdata[not(*)]",
    "/e:esc_datamodel[not(*)]",
)
FORBIDDEN: Final = ("serviceAction", "vmAction", "recoveryVmAction", "lock")
"""What a reader may not call."""


def _denied(name: str, what: str, accesses: str) -> str:
    return (
        f"<rule><name>{name}</name>{what}<access-operations>{accesses}</access-operations>"
        "<action>deny</action></rule>"
    )


def _list(group: str, *rules: str) -> str:
    return f"<rule-list><name>{group}</name><group>{group}</group>{''.join(rules)}</rule-list>"


_RULES: Final = (
    f'<nacm xmlns="{NACM_NS}" xmlns:e="{NAMESPACE}"><write-default>permit</write-default>'
    + _list("guests", _denied("barred", f"<path>{_OF_BARRED}</path>", "create update delete"))
    + _list(
        "readers",
        *(_denied(f"h{at}", f"<path>{path}</path>", "read") for at, path in enumerate(_HIDDEN)),
        *(
            _denied(name, f"<module-name>*</module-name><rpc-name>{name}</rpc-name>", "exec")
            for name in FORBIDDEN
        ),
    )
    + "<rule-list><name>all</name><group>*</group><rule><name>all</name>"
    "<module-name>*</module-name><action>permit</action></rule></rule-list></nacm>"
).encode()


def access() -> AccessControl:
    """Return what judges by these rules, and has denied nothing yet."""
    return AccessControl(
        rules=lambda: _RULES,
        groups_of=lambda user: frozenset({f"{user}s"}),
        model=schema(),
        modules=modules_of(schema()),
        clock=lambda: 0.0,
    )


def is_denied(error: Exception) -> bool:
    """Tell whether something was refused for want of a right."""
    errors = error.errors if isinstance(error, RpcErrors) else (error,)
    return any(isinstance(each, RpcError) and each.tag is ErrorTag.ACCESS_DENIED for each in errors)


class Rights:
    """Who edits, acts and reads, and what must not have been answered to whom."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._users: tuple[str, ...] = (USER, USER, GUEST)
        self._asked: dict[Key, Deployment] = {}
        """What was taken last of each deployment that is barred."""
        self.problems: list[str] = []

    def any_user(self) -> str:
        """Return who sends the next edit."""
        return self._random.choice(self._users)

    def no_more_guests(self) -> None:
        """Let everything be done by who may do it."""
        self._users = (USER,)

    def taken(self, user: str, edit: Mapping[Key, Any]) -> None:
        """Look at an *edit* that was taken; to ask again for what stands there changes nothing."""
        barred = {
            key: intent
            for key, intent in edit.items()
            if key.tenant == _BARRED and isinstance(intent, Deployment)
        }
        changed = any(self._asked.get(key) != intent for key, intent in barred.items())
        self._asked = {key: it for key, it in self._asked.items() if key not in edit} | barred
        if user == GUEST and changed:
            self.problems.append(f"{user} changed what is barred: {edit}")

    def refused(self, user: str, edit: Mapping[Key, Any], error: Exception) -> None:
        """Look at why an *edit* was refused."""
        barred = any(_BARRED in {key.tenant, key.name} for key in edit)
        if is_denied(error) and not (user == GUEST and barred):
            self.problems.append(f"{user} was denied what everybody may: {edit}")

    def acted(self, user: str, key: Key, error: Exception | None) -> None:
        """Look at the answer to an action of *user* upon what stands at *key*."""
        barred = user == READER or (user == GUEST and key.tenant == _BARRED)
        denied = error is not None and is_denied(error)
        if denied is not barred:
            self.problems.append(f"{user} acted upon {key}, barred: {barred}, and got: {error}")

    def shown(self, user: str, whole: etree._Element, seen: etree._Element) -> None:
        """Look at what *user* has *seen* of the *whole*, two replies of the same moment."""
        want = _data(whole)
        for path in _HIDDEN if user == READER else ():
            _remove(want, path)
        wanted, shown = _canonical(want), _canonical(_data(seen))
        if wanted != shown:
            self.problems.append(f"{user} was shown {shown!r} and not {wanted!r}")


def _data(reply: etree._Element) -> etree._Element:
    found = reply.find(f"{{{BASE_NS}}}data")
    return etree.Element("data") if found is None else found


def _remove(data: etree._Element, path: str) -> None:
    for node in data.xpath(f".{path}", namespaces={"e": NAMESPACE}):
        node.getparent().remove(node)


def _canonical(data: etree._Element) -> bytes:
    """Return *data* as one text, without containers that nothing is left in: they tell nothing."""
    for path in _EMPTY:
        _remove(data, path)
    return etree.tostring(data, method="c14n")
