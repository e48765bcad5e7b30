"""The first trades of a source as they would be imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from learning.importers.import_report import RejectedRow, ReportTally
from learning.importers.import_source import ImportSource
from learning.importers.imported_trade import ImportedTrade

PREVIEW_ROWS: Final = 20
_COLUMNS: Final = (
    "opened_at", "closed_at", "symbol", "side", "pattern_key", "entry_price", "exit_price",
    "return_net_pct", "r_multiple_net", "r_multiple", "rr_path", "rr_kind", "actions", "no_risk",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ImportPreview:
    """Some trades by column, and the rows that were rejected on the way to them.

    ``is_all``: the source ended before.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    rejected: tuple[RejectedRow, ...]
    is_all: bool


def preview(source: ImportSource, n: int = PREVIEW_ROWS) -> ImportPreview:
    """Return the first ``n`` usable trades of a source; reads no further than they stand."""
    tally = ReportTally()
    rows: list[tuple[object, ...]] = []
    is_all = True
    for trade in source.reader.trades(tally):
        if len(rows) == n:
            is_all = False
            break
        rows.append(_row(trade))
    return ImportPreview(_COLUMNS, tuple(rows), tuple(tally.rejected_rows[:n]), is_all)


def _row(trade: ImportedTrade) -> tuple[object, ...]:
    told = dict(trade.summary) | {
        "pattern_key": trade.pattern_key,
        "opened_at": trade.opened_at,
        "closed_at": trade.closed_at,
        "actions": ", ".join(action.category for action in trade.actions),
        "no_risk": trade.no_risk,
    }
    return tuple(told.get(name) for name in _COLUMNS)
