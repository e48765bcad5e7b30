"""Fills in the order of their positions and of time, however the file has them.

A private temporary database holds them while they are sorted: memory stays bounded, a million
fills take about 150 MB of disk and are gone with the ledger.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Final

from learning.importers.context_columns import NO_CONTEXT, TradeContext
from learning.importers.round_trips import Fill

_COLUMNS: Final = (
    "key", "symbol", "at_us", "quantity", "price", "row", "fee", "base_fee", "opens", "can_short",
    "ord", "ref", "tag", "strategy", "stop", "multiplier", "currency", "account",
    "profit", "is_inverse", "context",
)  # fmt: skip
_AT_ONCE: Final = 2000
_CACHE_KB: Final = 32_000


class FillLedger:
    """A sorter of fills; a context manager, since its file must go."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="edgekeeper-fills-")
        self._db = sqlite3.connect(Path(self._folder.name) / "fills.sqlite")
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
        self._db.execute(f"CREATE TABLE fills (seq INTEGER PRIMARY KEY, {', '.join(_COLUMNS)})")
        self._db.execute("CREATE TABLE stops (key, at_us, is_buy, price)")
        self._waiting: list[tuple[object, ...]] = []
        self._last = 0
        self._steps = 0  # forward less backward: which way the file runs
        self._n_stops = self._n_refs = 0

    def __enter__(self) -> FillLedger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._db.close()
        self._folder.cleanup()

    def add(self, fill: Fill) -> None:
        """Keep a fill."""
        self._steps += (fill.at_us > self._last) - (fill.at_us < self._last)
        self._last = fill.at_us
        self._n_refs += fill.ref is not None
        self._waiting.append(
            (
                fill.key, fill.symbol, fill.at_us, fill.quantity, fill.price, fill.row, fill.fee,
                fill.base_fee, fill.opens, fill.can_short, fill.order, fill.ref, fill.tag,
                fill.strategy, fill.stop, fill.multiplier, fill.currency, fill.account,
                fill.profit, fill.is_inverse, _text_of(fill.context),
            )
        )  # fmt: skip
        if len(self._waiting) >= _AT_ONCE:
            self._flush()

    def add_stop(self, key: str, at_us: int, *, is_buy: bool, price: float) -> None:
        """Keep a protective stop order, which may never have filled."""
        self._n_stops += 1
        self._db.execute("INSERT INTO stops VALUES (?, ?, ?, ?)", (key, at_us, is_buy, price))

    def stop_of(self, key: str, at_us: int, *, is_long: bool, within_us: int) -> float | None:
        """Return the stop that was placed with an entry, at most ``within_us`` from it."""
        if not self._n_stops:
            return None
        found = self._db.execute(
            "SELECT price FROM stops WHERE key = ? AND is_buy = ? AND at_us BETWEEN ? AND ? "
            "ORDER BY abs(at_us - ?), rowid LIMIT 1",
            (key, not is_long, at_us - within_us, at_us + within_us, at_us),
        ).fetchone()
        return None if found is None else float(found[0])

    def repeated(self) -> Iterator[tuple[int, str]]:
        """Yield and forget the fills whose id was given before: their row and their id."""
        self._flush()
        if not self._n_refs:
            return
        self._db.execute("CREATE INDEX by_ref ON fills (key, ref, seq)")
        again = (
            "FROM fills WHERE ref IS NOT NULL AND EXISTS (SELECT 1 FROM fills AS before WHERE "
            "before.key = fills.key AND before.ref = fills.ref AND before.seq < fills.seq)"
        )
        self._db.execute(f"CREATE TEMP TABLE repeated AS SELECT seq, row, ref {again}")
        self._db.execute("DELETE FROM fills WHERE seq IN (SELECT seq FROM repeated)")
        yield from self._db.execute("SELECT row, ref FROM repeated ORDER BY seq")

    def positions(self) -> Iterator[Iterator[Fill]]:
        """Yield the fills of each position, in the order of time; the file's order where equal."""
        self._flush()
        if self._n_stops:
            self._db.execute("CREATE INDEX IF NOT EXISTS by_key ON stops (key, is_buy, at_us)")
        seq = "seq DESC" if self._steps < 0 else "seq"
        rows = self._db.execute(
            f"SELECT {', '.join(_COLUMNS)} FROM fills ORDER BY key, at_us, {seq}"  # noqa: S608
        )
        for _, found in groupby(rows, key=lambda row: row[0]):
            yield (_fill(row) for row in found)

    def _flush(self) -> None:
        if self._waiting:
            marks = ", ".join("?" * len(_COLUMNS))
            names = ", ".join(_COLUMNS)
            self._db.executemany(
                f"INSERT INTO fills ({names}) VALUES ({marks})",  # noqa: S608
                self._waiting,
            )
            self._waiting.clear()


def _text_of(context: TradeContext) -> str | None:
    if context is NO_CONTEXT:
        return None
    return json.dumps((context.scope, context.signals, context.knobs))


def _context_in(text: object) -> TradeContext:
    return NO_CONTEXT if text is None else TradeContext(*json.loads(str(text)))


def _fill(row: tuple[object, ...]) -> Fill:
    named = dict(zip(_COLUMNS, row, strict=True))
    opens = named.pop("opens")
    named["context"] = _context_in(named["context"])
    for flag in ("can_short", "is_inverse"):
        named[flag] = bool(named[flag])
    named["order"] = named.pop("ord")
    return Fill(opens=None if opens is None else bool(opens), **named)  # type: ignore[arg-type]
