"""Turn what arrived in the inbox into events: exactly once, whatever stops the worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, IntegrityError

from learning.errors import MalformedStrand
from learning.events.attribution import CreditedTrade, credit
from learning.events.strands import (
    ActionStrand,
    ClosedTrade,
    Ignored,
    StoredStrand,
    parse_strand,
)
from learning.settings import Settings
from learning.store import event_rows, strand_rows
from learning.store.database import transaction
from learning.store.strand_rows import LedgerRow

Progress = Callable[["Ingested"], None]
Batch = Callable[[Connection, int, int], list[StoredStrand]]
TradeKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of the strands of a run; ``events`` counts rows written, rewritten too."""

    ingested: int = 0
    quarantined: int = 0
    ignored: int = 0
    events: int = 0

    @property
    def strands(self) -> int:
        """Strands that were decided."""
        return self.ingested + self.quarantined + self.ignored

    def __add__(self, other: Ingested) -> Ingested:
        return Ingested(
            self.ingested + other.ingested,
            self.quarantined + other.quarantined,
            self.ignored + other.ignored,
            self.events + other.events,
        )


def ingest_strands(
    engine: Engine, settings: Settings, *, low_water: int = 0, progress: Progress | None = None
) -> Ingested:
    """Decide every pending strand that no other worker holds; return what became of them.

    Args:
        engine: Each batch is one short transaction on it.
        settings: Dimensions, batch size, the largest distance of a stop.
        low_water: Look above this id only, for a quick look (``strand_rows.low_water``); 0: all.
        progress: Called after each commit with the counts so far.
    """
    done = Ingested()
    while True:  # again from the start: a strand with a lower id may have been committed meanwhile
        swept = _sweep(engine, settings, strand_rows.read_pending, low_water, done, progress)
        if swept == done:
            return done
        done = swept


def redrive_quarantined(
    engine: Engine, settings: Settings, *, progress: Progress | None = None
) -> Ingested:
    """Decide every quarantined strand again, each once; those in order now are ingested."""
    return _sweep(engine, settings, strand_rows.read_quarantined, 0, Ingested(), progress)


def _sweep(
    engine: Engine,
    settings: Settings,
    read: Batch,
    after: int,
    done: Ingested,
    progress: Progress | None,
) -> Ingested:
    while True:
        with transaction(engine) as connection:
            strands = read(connection, settings.batch_size, after)
            decided = ingest_batch(connection, strands, settings)
        if not strands:
            return done
        after = strands[-1].id
        done += decided
        if progress is not None:
            progress(done)


def ingest_batch(
    connection: Connection, strands: Sequence[StoredStrand], settings: Settings
) -> Ingested:
    """Decide claimed strands within the connection's transaction.

    A strand that the database itself refuses is quarantined alone, the others are ingested.
    """
    if not strands:
        return Ingested()
    try:
        with connection.begin_nested():
            return _decide(connection, strands, settings)
    except (DataError, IntegrityError) as error:
        if len(strands) == 1:
            return _refused(connection, strands[0], error)
    alone = Ingested()
    for strand in strands:
        alone += ingest_batch(connection, [strand], settings)
    return alone


def _refused(
    connection: Connection, strand: StoredStrand, error: DataError | IntegrityError
) -> Ingested:
    said = str(error.orig).strip().splitlines()[0][:200]
    row = LedgerRow(strand.id, "quarantined", f"the database refuses it: {said}")
    strand_rows.settle(connection, [row])
    return Ingested(quarantined=1)


def _decide(
    connection: Connection, strands: Sequence[StoredStrand], settings: Settings
) -> Ingested:
    batch = _Batch(connection, settings)
    ledger = [batch.decide(strand) for strand in strands]
    ...
