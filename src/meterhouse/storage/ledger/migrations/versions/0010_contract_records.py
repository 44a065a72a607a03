"""What contracts keep beside events, catalogs and accounts."""

from alembic import op
from sqlalchemy import BigInteger, Column, Text

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Creates the table."""
    op.create_table(
        "contract_records",
        Column("contract", Text, primary_key=True),
        Column("namespace", Text, primary_key=True),
        Column("kind", Text, primary_key=True),
        Column("id", Text, primary_key=True),
        Column("key", Text),
        Column("parent", Text),
        Column("body", Text, nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("updated_at", BigInteger, nullable=False),
        Column("deleted_at", BigInteger),
    )
    columns = ["contract", "kind", "key", "namespace"]
    op.create_index("contract_records_key", "contract_records", columns, unique=True)
    op.create_index("contract_records_parent", "contract_records", ["parent"])
