"""
Namespaces, and the one parser that touches XML from outside.

    XmlRefused          a document that is not read
      + NotWellFormed   with the place where reading stopped
      + DoctypeRefused  no NETCONF message has one (RFC 6241 section 3)
"""

from typing import NamedTuple

from lxml import etree

BASE = "urn:ietf:params:xml:ns:netconf:base:1.0"
NOTIFICATION = "urn:ietf:params:xml:ns:netconf:notification:1.0"
ESC = "http://www.cisco.com/esc/esc"


class XmlRefused(Exception):
    """The document is not read; the text says why."""


class Flaw(NamedTuple):
    """One thing that the parser met; *line* and *column* count from 1."""

    line: int
    column: int
    reason: str


class NotWellFormed(XmlRefused):
    """*flaws* holds all that the parser met, in the order of the document."""

    def __init__(self, flaws: tuple[Flaw, ...]) -> None:
        self.flaws = flaws
        first = flaws[0]
        super().__init__(f"line {first.line}, column {first.column}: {first.reason}")


class DoctypeRefused(XmlRefused):
    """A document type declaration could define entities."""


def parse(document: bytes, *, blanks: bool = True) -> etree._Element:
    """
    Return the root of *document*, without comments and processing instructions.

    No entity is expanded and nothing is fetched. With *blanks* false the white space
    between elements is dropped, so that the tree can be printed anew.

    Raises:
        XmlRefused: Not well-formed, or with a DOCTYPE.
    """
    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
        remove_blank_text=not blanks,
    )
    try:
        root = etree.fromstring(document, parser)
    except etree.XMLSyntaxError as error:
        # The error's own log is that of the whole thread; the parser's is of this document.
        flaws = tuple(Flaw(e.line, e.column, e.message) for e in parser.error_log)
        raise NotWellFormed(flaws or (Flaw(1, 1, error.msg or "no XML"),)) from error
    # The library lets a prefix without a declaration pass where a mere warning comes after it.
    errors = [e for e in parser.error_log if e.level >= etree.ErrorLevels.ERROR]
    if errors:
        raise NotWellFormed(tuple(Flaw(e.line, e.column, e.message) for e in errors))
    if root.getroottree().docinfo.internalDTD is not None:
        raise DoctypeRefused("a DOCTYPE is refused: NETCONF messages have none")
    return root


def qname(namespace: str, name: str) -> str:
    return f"{{{namespace}}}{name}"


def local_name(element: etree._Element) -> str:
    return etree.QName(element).localname


def namespace_of(element: etree._Element) -> str | None:
    return etree.QName(element).namespace


def leaf(element: etree._Element, *path: str, namespace: str = ESC) -> str | None:
    """Return the text at *path* below *element*, stripped; None if there is none."""
    found = element.find("/".join(qname(namespace, name) for name in path))
    text = None if found is None else (found.text or "").strip()
    return text or None


def child(
    parent: etree._Element, name: str, text: str | None = None, *, namespace: str = ESC
) -> etree._Element:
    """Add an element to *parent*."""
    element: etree._Element = etree.SubElement(parent, qname(namespace, name))
    element.text = text
    return element
