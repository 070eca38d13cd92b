"""The VIM connector that a manager begins with (ruling 15a)."""

from dataclasses import replace
from typing import Final

from esc_daemon.datamodel.datastore import Datastore
from esc_daemon.datamodel.names import NAMESPACE
from esc_daemon.engine.edit import Edit
from esc_daemon.netconf.xml import parse
from esc_daemon.northbound.editing import edit_of

FIRST_CONNECTOR: Final = "default_sim_vim"


def first_connector(datastore: Datastore, type_: str) -> Edit:
    """Return the edit that configures a connector of *type_* as the default and tells nothing."""
    config = (
        f'<config><esc_system_config xmlns="{NAMESPACE}"><vim_connectors>'
        f"<default_vim_connector>{FIRST_CONNECTOR}</default_vim_connector>"
        f"<vim_connector><id>{FIRST_CONNECTOR}</id><type>{type_}</type></vim_connector>"
        "</vim_connectors></esc_system_config></config>"
    )
    pending = datastore.edit(parse(config.encode()))

    def committed() -> None:
        datastore.commit(pending)

    return replace(edit_of(pending, committed), told=False)
