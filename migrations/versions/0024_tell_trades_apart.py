"""A trade is known by bot, origin and id, and each of its positions closes by itself."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import context, op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_KEY = ["bot", "trade_id", "origin", "position_id", "pattern_key", "action_category", "seq"]
_OLD = "uq_pattern_trade_events_bot_trade_id_pattern_key_action_category_seq"
_NEW = "uq_pattern_trade_events_action"


def upgrade() -> None:
    op.drop_constraint(op.f(_OLD), "pattern_trade_events")
    _run("0024_tell_trades_apart.sql")
    op.create_unique_constraint(
        op.f(_NEW), "pattern_trade_events", _KEY, postgresql_nulls_not_distinct=True
    )


def downgrade() -> None:
    op.drop_constraint(op.f(_NEW), "pattern_trade_events")
    _run("0024_tell_trades_apart_undone.sql")
    key = [name for name in _KEY if name not in ("origin", "position_id")]
    op.create_unique_constraint(op.f(_OLD), "pattern_trade_events", key)


def _run(name: str) -> None:
    schema = "public"
    if not context.is_offline_mode():
        schema = str(op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())")))
    sql = (Path(__file__).parent / name).read_text(encoding="utf-8")
    op.execute(sql.replace("@schema", schema))
