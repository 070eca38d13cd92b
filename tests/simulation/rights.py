"""A user who may change nothing of one tenant, and that the rules (RFC 8341) are kept."""

from collections.abc import Mapping
from functools import cache
from random import Random
from typing import Any, Final

from esc_daemon.access.control import AccessControl
from esc_daemon.datamodel.names import NAMESPACE
from esc_daemon.domain.ids import Key, TenantName
from esc_daemon.domain.intent import Deployment
from esc_daemon.netconf.errors import ErrorTag, RpcError, RpcErrors
from esc_daemon.netconf.xml import NACM_NS
from tests.access_control import modules_of
from tests.simulation.papers import schema

USER: Final = "client"
GUEST: Final = "guest"
_BARRED: Final = TenantName("b")
_RULES: Final = (
    f'<nacm xmlns="{NACM_NS}" xmlns:e="{NAMESPACE}"><write-default>permit</write-default>'
    "<rule-list><name>guests</name><group>guests</group><rule><name>barred</name>"
    f"<path>/e:esc_datamodel/e:tenants/e:tenant[e:name='{_BARRED}']</path>"
    "<access-operations>create update delete</access-operations><action>deny</action></rule>"
    "</rule-list><rule-list><name>all</name><group>*</group><rule><name>all</name>"
    "<module-name>*</module-name><action>permit</action></rule></rule-list></nacm>"
).encode()


@cache
def access() -> AccessControl:
    """Return what judges by these rules."""
    return AccessControl(
        rules=lambda: _RULES,
        groups_of=lambda user: frozenset({f"{user}s"}),
        model=schema(),
        modules=modules_of(schema()),
        clock=lambda: 0.0,
    )


class Rights:
    """Who edits, and what must not have been answered to whom."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._users = (USER, USER, GUEST)
        self.problems: list[str] = []

    def any_user(self) -> str:
        """Return who sends the next edit."""
        return self._random.choice(self._users)

    def no_more_guests(self) -> None:
        """Let everything be done by who may do it."""
        self._users = (USER,)

    def taken(self, user: str, edit: Mapping[Key, Any]) -> None:
        """Look at an *edit* that was taken; a deployment that is drawn is another than there is."""
        if user == GUEST and any(
            key.tenant == _BARRED and isinstance(intent, Deployment) for key, intent in edit.items()
        ):
            self.problems.append(f"{user} changed what is barred: {edit}")

    def refused(self, user: str, edit: Mapping[Key, Any], error: Exception) -> None:
        """Look at why an *edit* was refused."""
        errors = error.errors if isinstance(error, RpcErrors) else (error,)
        denied = any(
            isinstance(each, RpcError) and each.tag is ErrorTag.ACCESS_DENIED for each in errors
        )
        barred = any(_BARRED in {key.tenant, key.name} for key in edit)
        if denied and not (user == GUEST and barred):
            self.problems.append(f"{user} was denied what everybody may: {edit}")
