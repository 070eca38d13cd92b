"""What Alembic runs: the caller brings the connection and its transaction (see `migrate`)."""

from alembic import context

from esc_daemon.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,  # the BEGIN is ours, so SQLite takes back tables as well
    render_as_batch=True,  # SQLite's ALTER TABLE can do little: later changes copy the table
)
context.run_migrations()
