"""
The tables, the same on SQLite and PostgreSQL.

A record is a row in `records`, its intent a row in `intents`, each VM a row in `vms`: a step writes
only the rows whose objects it replaced (law 8). An empty tenant stands for none.

Bodies of records and intents and the text of entries are sealed (see `sealing`): each can hold
what a client configured. VMs and events hold names, ids and addresses alone.
"""

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text

METADATA: Final = MetaData(
    naming_convention={"pk": "pk_%(table_name)s", "ix": "ix_%(table_name)s_%(column_0_N_name)s"}
)

# SQLite takes a primary key for its row number only if it is called INTEGER (64 bits there).
SEQUENCE: Final = BigInteger().with_variant(Integer(), "sqlite")

RECORDS: Final = Table(
    "records",
    METADATA,
    Column("kind", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("id", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)

INTENTS: Final = Table(
    "intents",
    METADATA,
    Column("kind", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("body", Text, nullable=False),
)

VMS: Final = Table(
    "vms",
    METADATA,
    Column("kind", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("vm", Text, primary_key=True),
    Column("body", Text, nullable=False),
)

ENTRIES: Final = Table(
    "entries",
    METADATA,
    Column("kind", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("position", BigInteger, nullable=False, index=True),
    Column("revision", BigInteger, nullable=False),
    Column("xml", Text, nullable=False),
)

UNDO: Final = Table(
    "undo",
    METADATA,
    Column("kind", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("xml", Text, comment="null: there was no such entry"),
)

SEAL: Final = Table(
    "seal",
    METADATA,
    Column("proof", Text, primary_key=True, comment="fixed text, sealed by the key of all rows"),
)

EVENTS: Final = Table(
    "events",
    METADATA,
    Column("seq", SEQUENCE, primary_key=True, autoincrement=False),
    Column("time", BigInteger, nullable=False, comment="microseconds since 1970 UTC"),
    Column("stream", Text, nullable=False),
    Column("audience", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("tenant", Text),
    Column("deployment", Text),
    Column("payload", Text, nullable=False),
    # The time is in it so that looking for a replay's start reads the index alone.
    Index(None, "stream", "seq", "time"),
)
