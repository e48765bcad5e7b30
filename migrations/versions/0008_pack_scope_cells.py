"""Scope cells in packs: arrays of cells of one group and mask instead of a row a cell."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_CODES = "one code per dimension of the mask, in order, cell after cell"
_ARRAYS = {
    "scope_codes": (sa.SmallInteger, _CODES),
    "n": (sa.Integer, "distinct trades"),
    "sum_rr": (sa.Double, "R"),
    "sum_rr_sq": (sa.Double, "R²"),
    "variance": (sa.Double, "R², of the clipped outcome"),
    "rr_baseline": (sa.Double, "R"),
    "edge_raw": (sa.Double, "the compatible ranking score; never evidence"),
    "time_efficiency": (sa.REAL, "0 to 1, 0.5 is neutral"),
    "field_coherence": (sa.REAL, "0 to 1"),
    "recurrence_score": (sa.REAL, "0 to 1"),
    "segments_tested": (sa.SmallInteger, None),
    "segments_positive": (sa.SmallInteger, None),
}


def upgrade() -> None:
    op.execute("DROP VIEW pattern_scope_stats")
    op.rename_table("scope_stat_cells", "old_cells")
    _create_packs()
    _run("0008_pack_scope_cells")
    op.drop_table("old_cells")
    _run("0008_scope_stats_view")


def _create_packs() -> None:
    op.create_table(
        "scope_stat_packs",
        sa.Column("group_id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("scope_mask", sa.SmallInteger, autoincrement=False, nullable=False),
        sa.Column(
            "part",
            sa.Integer,
            autoincrement=False,
            nullable=False,
            comment="0, 1, … within group and mask",
        ),
        *(
            sa.Column(name, ARRAY(kind), nullable=False, comment=comment)
            for name, (kind, comment) in _ARRAYS.items()
        ),
        sa.ForeignKeyConstraint(
            ["group_id"],
            ["scope_groups.id"],
            name=op.f("fk_scope_stat_packs_group_id_scope_groups"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("group_id", "scope_mask", "part", name=op.f("pk_scope_stat_packs")),
        comment="Stored scopes, many to a row; read through the views scope_stat_cells and "
        "pattern_scope_stats.",
    )


def downgrade() -> None:
    op.execute("DROP VIEW pattern_scope_stats")
    op.execute("ALTER VIEW scope_stat_cells RENAME TO packed_cells")
    _create_cells()
    op.execute("INSERT INTO scope_stat_cells SELECT * FROM packed_cells")
    op.execute("DROP VIEW packed_cells")
    op.drop_table("scope_stat_packs")
    _run("0008_scope_stats_view")


def _create_cells() -> None:
    op.create_table(
        "scope_stat_cells",
        sa.Column("group_id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("scope_mask", sa.SmallInteger, autoincrement=False, nullable=False),
        sa.Column(
            "scope_codes",
            ARRAY(sa.SmallInteger),
            nullable=False,
            comment="one code per dimension of the mask, in order",
        ),
        *(
            sa.Column(
                name,
                kind,
                nullable=name in ("time_efficiency", "recurrence_score"),
                comment=comment,
            )
            for name, (kind, comment) in list(_ARRAYS.items())[1:]
        ),
        sa.ForeignKeyConstraint(
            ["group_id"],
            ["scope_groups.id"],
            name=op.f("fk_scope_stat_cells_group_id_scope_groups"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "group_id", "scope_mask", "scope_codes", name=op.f("pk_scope_stat_cells")
        ),
        comment="One row per stored scope; read through the view pattern_scope_stats.",
    )
    op.create_index("ix_scope_stat_cells_mask", "scope_stat_cells", ["scope_mask", "group_id"])


def _run(name: str) -> None:
    """Run the statements of a file beside this one."""
    sql = Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8")
    op.execute(sql.replace("@schema", _schema()))


def _schema() -> str:
    if context.is_offline_mode():
        return "public"
    return str(op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())")))
