"""The access rules that a manager begins with: administrators may do everything."""

from typing import Final

from esc_daemon.access.users import ADMINISTRATORS
from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.entries import RULES
from esc_daemon.engine.edit import Edit
from esc_daemon.netconf.xml import NACM_NS, parse
from esc_daemon.northbound.editing import edit_of

_FIRST: Final = f"""\
<config><nacm xmlns="{NACM_NS}"><enable-nacm>true</enable-nacm>\
<groups><group><name>{ADMINISTRATORS}</name></group></groups>\
<rule-list><name>{ADMINISTRATORS}</name><group>{ADMINISTRATORS}</group>\
<rule><name>permit-all</name><module-name>*</module-name>\
<access-operations>*</access-operations><action>permit</action></rule>\
</rule-list></nacm></config>"""


def first_rules(datastore: Datastore) -> Edit | None:
    """
    Return the edit that configures the first access rules; None where there ever were any.

    For all others the defaults of RFC 8341 hold: they may read and change nothing. Rules that
    somebody deleted are not made again: what is left of them says so (`entries.EMPTY`).
    """
    if datastore.entry(RULES) is not None:
        return None
    pending = datastore.edit(parse(_FIRST.encode()))

    def committed() -> None:
        datastore.commit(pending)

    return edit_of(pending, committed)
