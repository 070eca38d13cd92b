"""Access control as a first start has it, around any datastore."""

from collections.abc import Mapping

from esc_daemon.access.control import AccessControl
from esc_daemon.access.users import ADMINISTRATORS
from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.entries import RULES
from esc_daemon.datamodel.schema import Schema
from esc_daemon.netconf.xml import NACM_NS

OPEN = f'<nacm xmlns="{NACM_NS}"><enable-nacm>false</enable-nacm></nacm>'.encode()


def open_to_all(schema: Schema) -> AccessControl:
    """Return what denies nothing, for tests of other things."""
    return AccessControl(
        rules=lambda: OPEN,
        groups_of=lambda _: frozenset(),
        model=schema,
        modules=modules_of(schema),
    )


def by_rules(schema: Schema, datastore: Datastore, groups: Mapping[str, set[str]]) -> AccessControl:
    """Return what goes by the rules in *datastore*, with the *groups* of each user."""
    known = {"admin": {ADMINISTRATORS}} | dict(groups)

    def rules() -> bytes | None:
        entry = datastore.entry(RULES)
        return None if entry is None else entry.xml

    return AccessControl(
        rules=rules,
        groups_of=lambda user: frozenset(known.get(user, ())),
        model=schema,
        modules=modules_of(schema),
        clock=lambda: 0.0,
    )


def modules_of(schema: Schema) -> dict[str, str]:
    return {each.namespace: each.name for each in schema.library().modules}
