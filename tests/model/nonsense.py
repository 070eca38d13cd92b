"""Requests that are always refused, and with what."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st

from esc_daemon.netconf.xml import BASE_NS
from tests.datamodel.documents import ESC
from tests.model.sheets import (
    INSIDE,
    OUTSIDE,
    Group,
    Place,
    action,
    config,
    deployment,
    edit,
    interface,
    scaling,
    tag,
    tenant,
)

NOBODY: Final = ("nobody", "nothing")
NO_VM: Final = "shop_web_0_00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Nonsense:
    """A request and the error-tags of its refusal, which has a *path* where an edit is at fault."""

    operation: str
    tags: tuple[str, ...]
    path: bool = False


def _edit(tags: tuple[str, ...], *bodies: str) -> Nonsense:
    return Nonsense(edit(config(*bodies)), tags, path=True)


def _group(**wrong: Any) -> str:
    return Group(name="odd", **wrong).xml()


def _act(name: str, tag_: str, **words: str) -> Nonsense:
    return Nonsense(action(name, **words), (tag_,))


def _new(*inside: str) -> str:
    return deployment(NOBODY, "".join(inside))


_BAD: Final = ("invalid-value",)
_NOTHING: Final = ("data-missing",)
_CONNECTORS: Final = (
    f'<esc_system_config xmlns="{ESC}" xmlns:nc="{BASE_NS}">'
    '<vim_connectors nc:operation="delete"/></esc_system_config>'
)
REQUESTS: Final = (
    _act("serviceAction", "data-missing", actionType="STOP", tenantName="nobody", depName="x"),
    _act("serviceAction", "invalid-value", actionType="EXPLODE", tenantName="acme", depName="x"),
    _act("serviceAction", "missing-element", actionType="STOP", tenantName="acme"),
    _act("vmAction", "data-missing", actionType="REBOOT", vmName=NO_VM),
    _act("vmAction", "data-missing", actionType="REBOOT", vmName="no such VM"),
    _act("recoveryVmAction", "data-missing", actionType="DO", vmName=NO_VM),
    _act("leftoverAction", "data-missing", actionType="RETRY", tenantName="nobody"),
    _act("leftoverAction", "operation-failed", actionType="PURGE"),
    _act("recoveryGuardAction", "data-missing", actionType="RELEASE"),
    Nonsense("<commit><persist-id>nobody's</persist-id></commit>", ("invalid-value",)),
    Nonsense("<cancel-commit/>", ("operation-failed",)),
    Nonsense("<unlock><target><running/></target></unlock>", ("operation-failed",)),
    Nonsense(f'<teleport xmlns="{ESC}"/>', ("operation-not-supported",)),
    Nonsense(
        "<get-config><source><startup/></source></get-config>",
        ("invalid-value", "bad-element", "operation-not-supported"),
    ),
    _edit(_NOTHING, deployment(NOBODY, "", "delete")),
    _edit(_NOTHING, tenant("nobody", op="delete")),
    _edit(("unknown-element",), _new(tag("teapot"))),
    _edit(("data-missing",), _new(tag("vm_group", tag("name", "odd")))),
    _edit(("operation-failed",), _new(_group(low=3, high=2))),
    _edit(_BAD, _new(_group(image=""))),
    _edit(("resource-denied",), _new(_group(low=501, high=501))),
    _edit(
        ("resource-denied",),
        _new(tag("networks"), _group(low=5, high=5, pool=True, networks=INSIDE[:1])),
    ),
)
requests = st.sampled_from(REQUESTS)


def _create(place: Place) -> Nonsense:
    return _edit(("data-exists",), deployment(place, Group(name="odd").xml(), "create"))


def _without_a_group(place: Place) -> Nonsense:
    return _edit(_NOTHING, deployment(place, tag("vm_group", tag("name", "odd"), op="delete")))


def _upside_down(place: Place) -> Nonsense:
    wrong = tag("vm_group", tag("name", "odd"), scaling(4, 2))
    return _edit(("data-missing",), deployment(place, wrong))


def _half_a_group(place: Place) -> Nonsense:
    wrong = tag("vm_group", tag("name", "odd"), tag("interfaces", interface(0, OUTSIDE[0])))
    return _edit(("data-missing",), deployment(place, wrong))


def _without_connectors(place: Place) -> Nonsense:
    del place  # whichever it is, it lives in one
    return Nonsense(edit(_CONNECTORS), ("in-use",), path=True)


ABOUT_A_DEPLOYMENT: Final[tuple[Callable[[Place], Nonsense], ...]] = (
    _without_connectors,
    _create,
    _without_a_group,
    _upside_down,
    _half_a_group,
)
