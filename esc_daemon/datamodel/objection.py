"""What the YANG allows and we do not."""

from typing import Final

from lxml import etree

from esc_daemon.netconf.errors import ErrorTag


class Objection(Exception):
    """*element* of an entry cannot be taken; the message says why and what would be."""

    def __init__(
        self, element: etree._Element, message: str, tag: ErrorTag = ErrorTag.INVALID_VALUE
    ) -> None:
        self.element: Final = element
        self.tag: Final = tag
        super().__init__(message)
