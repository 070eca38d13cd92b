"""The proof of the key by which rows are sealed; the rows themselves are sealed by `sealing`."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "seal",
        sa.Column(
            "proof",
            sa.Text(),
            nullable=False,
            comment="fixed text, sealed by the key of all rows",
        ),
        sa.PrimaryKeyConstraint("proof", name="pk_seal"),
    )


def downgrade() -> None:
    op.drop_table("seal")
