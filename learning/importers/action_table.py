"""The actions of a table of trades, at hand when their trade is read."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from learning.domain.pattern_key import ACTION_CATEGORIES, action_category
from learning.importers.field_values import RowRejected, as_instant, as_name
from learning.importers.import_report import ReportTally
from learning.importers.imported_trade import TradeAction
from learning.importers.mapping import ColumnMapping
from learning.importers.table_file import Chunk, TableFile

ACTION_COLUMNS: Final = ("trade_id", "action_category", "time")
_OPTIONAL: Final = ("seq",)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class ActionIndex:
    """Every action of a table, found by its trade.

    Memory is bounded by the rows: about 30 bytes an action and 250 bytes a trade (a million
    actions of 400,000 trades take about 130 MB). The file may come in any order.
    """

    def __init__(self) -> None:
        self._times = array("q")  # microseconds since 1970
        self._seqs = array("d")
        self._rows = array("q")
        self._codes = bytearray()
        self._decisions: dict[int, str] = {}
        self._of_trade: dict[str, array[int]] = {}
        self.n_taken = 0

    def add(
        self, trade_id: str, *, decision: str, acted_at: datetime, seq: float, row: int
    ) -> None:
        """Keep one action."""
        category = action_category(decision)
        place = len(self._times)
        if decision.strip().lower() != category:
            self._decisions[place] = decision.strip()
        self._times.append((acted_at - _EPOCH) // _MICROSECOND)
        self._seqs.append(seq)
        self._rows.append(row)
        self._codes.append(ACTION_CATEGORIES.index(category))
        self._of_trade.setdefault(trade_id, array("q")).append(place)

    def take(self, trade_id: str) -> tuple[TradeAction, ...]:
        """Return and forget the actions of a trade, in the order of time, then of ``seq``."""
        places = self._of_trade.pop(trade_id, None)
        if places is None:
            return ()
        self.n_taken += len(places)
        times, seqs = self._times, self._seqs
        ordered = sorted(places, key=lambda place: (times[place], seqs[place]))
        return tuple(
            TradeAction(
                ACTION_CATEGORIES[self._codes[place]],
                _EPOCH + timedelta(microseconds=times[place]),
                self._decisions.get(place),
            )
            for place in ordered
        )

    def left(self) -> Iterator[tuple[int, str]]:
        """Yield row number and trade of each action whose trade was never asked for."""
        for trade_id, places in self._of_trade.items():
            for place in places:
                yield self._rows[place], trade_id


def read_actions(table: TableFile, mapping: ColumnMapping, tally: ReportTally) -> ActionIndex:
    """Read a table of actions; rows that break a rule are rejected in the tally."""
    index = ActionIndex()
    names = {ours: mapping.column(ours) for ours in (*ACTION_COLUMNS, *_OPTIONAL)}
    for chunk in table.chunks(list(names.values())):
        for row, why in chunk.broken:
            tally.actions_found += 1
            tally.reject(table.path.name, "action", row, why)
        _read_chunk(index, chunk, table, mapping, tally)
    return index


def _read_chunk(
    index: ActionIndex,
    chunk: Chunk,
    table: TableFile,
    mapping: ColumnMapping,
    tally: ReportTally,
) -> None:
    nothing = [None] * len(chunk.row_numbers)
    columns = [
        chunk.columns.get(mapping.column(ours), nothing) for ours in (*ACTION_COLUMNS, *_OPTIONAL)
    ]
    for row, cells in zip(chunk.row_numbers, zip(*columns, strict=True), strict=True):
        tally.actions_found += 1
        try:
            _add_row(index, cells, row, table, mapping)
        except RowRejected as why:
            tally.reject(table.path.name, "action", row, why)


def _add_row(
    index: ActionIndex,
    cells: tuple[object, ...],
    row: int,
    table: TableFile,
    mapping: ColumnMapping,
) -> None:
    cell: object = None
    column = "row"
    try:
        column, cell = "trade_id", cells[0]
        trade_id = as_name(cell)
        column, cell = "action_category", cells[1]
        decision = as_name(cell)
        column, cell = "time", cells[2]
        acted_at = as_instant(cell, zone=mapping.zone)
        column, cell = "seq", cells[3]
        seq = table.number(cell) or 0.0
        if trade_id is None or decision is None or acted_at is None:
            column = (
                "trade_id" if trade_id is None
                else "action_category" if decision is None else "time"
            )  # fmt: skip
            raise ValueError("must be given")
        column, cell = "action_category", decision
        index.add(trade_id, decision=decision, acted_at=acted_at, seq=seq, row=row)
    except ValueError as error:
        raise RowRejected(column, _rule(error), cell) from None


def _rule(error: ValueError) -> str:
    """A domain sentence "x must be …, got y" without its name and value: those stand apart."""
    text = str(error).partition(", got ")[0]
    return text[text.find("must ") :] if "must " in text else text
