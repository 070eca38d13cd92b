"""Secrets are sealed at the door: nobody behind it has an entry with a secret in clear."""

from collections.abc import Iterator
from typing import Final

from lxml import etree

from esc_daemon.datamodel.entries import EntryPath
from esc_daemon.datamodel.objection import Objection
from esc_daemon.datamodel.shape import steps, text_at
from esc_daemon.domain.ids import Kind
from esc_daemon.domain.secrets import FILE_SERVER_PASSWORD, is_secret, secret_place
from esc_daemon.vault import MARK, Vault, VaultError, is_sealed

_PROPERTIES: Final = "properties/property"
_CREDENTIALS: Final = f"credentials/{_PROPERTIES}"
_NOT_OURS: Final = (
    f"text that begins with {MARK} is a sealed secret, and this one was not sealed here for this"
    " place; send the secret itself"
)


def seal(path: EntryPath, entry: etree._Element, vault: Vault) -> list[Objection]:
    """
    Put sealed text in place of each secret of *entry*; return what cannot be taken.

    Text that is sealed for its place stays as it is: a client sends back what it was shown. There
    is an objection to text that was sealed for another place or by another manager. No secret is
    left in clear in any case.
    """
    objections: list[Objection] = []
    for leaf, names in _secrets(path.kind, entry):
        place = secret_place(path.kind, path.name, *names)
        text = leaf.text or ""
        shown = text.strip()
        leaf.text = shown if is_sealed(shown) else vault.seal(text, place)
        # a prefix that the secret begins with may be declared on its leaf
        etree.cleanup_namespaces(leaf)
        try:
            vault.unseal(leaf.text, place)
        except VaultError:
            objections.append(Objection(leaf, _NOT_OURS))
    return objections


def _secrets(kind: Kind, entry: etree._Element) -> Iterator[tuple[etree._Element, tuple[str, ...]]]:
    """Yield each leaf that holds a secret, with the names that tell it from the entry's others."""
    if kind is Kind.VIM_CONNECTOR:
        yield from _among(entry, _PROPERTIES)
        for user in entry.findall(steps("users/user")):
            yield from _among(user, _CREDENTIALS, text_at(user, "id") or "")
    if kind is Kind.FILE_SERVER:
        yield from _among(entry, _PROPERTIES)
        password = entry.find(steps(FILE_SERVER_PASSWORD))
        if password is not None and password.text:
            yield password, (FILE_SERVER_PASSWORD,)


def _among(
    element: etree._Element, path: str, *above: str
) -> Iterator[tuple[etree._Element, tuple[str, ...]]]:
    for entry in element.findall(steps(path)):
        name = text_at(entry, "name") or ""
        value = entry.find(steps("value"))
        if is_secret(name) and value is not None and value.text:
            yield value, (*above, name)
