"""What a confirmed commit goes back to."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "undo",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("xml", sa.Text(), nullable=True, comment="null: there was no such entry"),
        sa.PrimaryKeyConstraint("kind", "tenant", "name", name="pk_undo"),
    )


def downgrade() -> None:
    op.drop_table("undo")
