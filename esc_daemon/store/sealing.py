"""
What a client configured, sealed at rest (DESIGN section 8).

The place of a text is its table and the key of its row, so that no row can be put in another's
stead. Whether a database is sealed, and by which key, is told by one row of `SEAL`: once it is
there, plain text in a sealed column is damage.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import Column, Connection, Table, bindparam, insert, select, update

from esc_daemon.store.base import StoreBroken, StoreSealed
from esc_daemon.store.tables import ENTRIES, INTENTS, RECORDS, SEAL, UNDO
from esc_daemon.vault import Vault, VaultError, is_sealed

_PROOF: Final = "esc_daemon"
_PROOF_PLACE: Final = "seal"
_TEXTS: Final[Sequence[tuple[Table, Column[str]]]] = (
    (RECORDS, RECORDS.c.body),
    (INTENTS, INTENTS.c.body),
    (ENTRIES, ENTRIES.c.xml),
    (UNDO, UNDO.c.xml),
)
_AT: Final = ("at_kind", "at_tenant", "at_name")


class Sealing:
    """How rows are written and read: sealed, or as they are where there is no vault."""

    def __init__(self, vault: Vault | None) -> None:
        self._vault = vault

    def seal(self, table: Table, place: Sequence[str], text: str) -> str:
        """Return *text* as it is stored in *table*; *place* is the key of its row."""
        return text if self._vault is None else self._vault.seal(text, _named(table, place))

    def unseal(self, table: Table, place: Sequence[str], text: str) -> str:
        """
        Return what was stored as *text*.

        Raises:
            StoreBroken: It was not sealed by our key for this row.

        """
        if self._vault is None:
            return text
        try:
            return self._vault.unseal(text, _named(table, place))
        except VaultError as error:
            raise StoreBroken(f"{error}; restore the database from a backup") from error


def check(connection: Connection, vault: Vault | None) -> bool:
    """
    Tell whether the database is sealed.

    Raises:
        StoreSealed: It is, by another key than that of *vault*.

    """
    proof: str | None = connection.execute(select(SEAL.c.proof)).scalar()
    if proof is None:
        return False
    if vault is None:
        raise StoreSealed("it is sealed; it needs the key that it was sealed with")
    _verify(vault, proof, _PROOF_PLACE)
    return True


def mark(connection: Connection, vault: Vault) -> None:
    """Write down that everything is sealed by the key of *vault*."""
    connection.execute(insert(SEAL).values(proof=vault.seal(_PROOF, _PROOF_PLACE)))


def seal_rows(connection: Connection, vault: Vault) -> None:
    """
    Seal the rows of an earlier version; those that an interrupted run has sealed are left.

    Raises:
        StoreSealed: One is sealed by another key than that of *vault*.

    """
    for table, column in _TEXTS:
        key = (table.c.kind, table.c.tenant, table.c.name)
        plain = []
        there = select(*key, column).where(column.is_not(None))
        for *place, text in connection.execute(there).all():
            if text is None:
                continue
            named = _named(table, place)
            if is_sealed(text):
                _verify(vault, text, named)
            else:
                at = dict(zip(_AT, place, strict=True))
                plain.append({**at, "sealed": vault.seal(text, named)})
        if plain:
            here = (own == bindparam(name) for own, name in zip(key, _AT, strict=True))
            change = update(table).where(*here).values({column: bindparam("sealed")})
            connection.execute(change, plain)


def _verify(vault: Vault, sealed: str, place: str) -> None:
    try:
        vault.unseal(sealed, place)
    except VaultError as error:
        raise StoreSealed(
            "it is sealed by another key; put back the key file that belongs to this database, or"
            " name its place by the setting vault_key_file"
        ) from error


def _named(table: Table, place: Sequence[str]) -> str:
    return msgspec.json.encode((str(table.name), *place)).decode()
