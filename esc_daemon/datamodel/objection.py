"""What the YANG allows and we do not."""

from collections.abc import Iterator
from typing import Final

from lxml import etree

from esc_daemon.datamodel.entries import EntryPath
from esc_daemon.datamodel.names import bindings_of
from esc_daemon.datamodel.tree import Node
from esc_daemon.netconf.edit import instance_step
from esc_daemon.netconf.errors import ErrorTag, ErrorType, RpcError
from esc_daemon.netconf.xml import name_of, qualified


class Objection(Exception):
    """*element* of an entry cannot be taken; the message says why and what would be."""

    def __init__(
        self, element: etree._Element, message: str, tag: ErrorTag = ErrorTag.INVALID_VALUE
    ) -> None:
        self.element: Final = element
        self.tag: Final = tag
        super().__init__(message)

    def rpc_error(self, path: EntryPath, entry: etree._Element, schema: Node) -> RpcError:
        """Return what is told the client of the *entry* at *path*, whose node is *schema*."""
        below = "".join(reversed(list(_steps_up(self.element, entry, schema))))
        at = path.instance_path() + below
        return RpcError(
            ErrorType.APPLICATION,
            self.tag,
            str(self),
            path=at,
            namespaces=bindings_of(at),
        )


def _steps_up(element: etree._Element, entry: etree._Element, schema: Node) -> Iterator[str]:
    """Yield the steps of an instance path from *element* up to below *entry*."""
    lineage = [element, *element.iterancestors()]
    names = [name_of(each)[1] for each in lineage[: lineage.index(entry)]]
    for depth, name in enumerate(names):
        node = schema
        for step in reversed(names[depth:]):
            node = node.children[step]
        at = lineage[depth]
        keys = tuple(at.findtext(qualified(node.namespace, key)) or "" for key in node.keys)
        values = (at.text or "",) if not node.children else keys
        yield instance_step(node, values)
        assert name == node.name
