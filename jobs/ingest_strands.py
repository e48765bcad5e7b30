"""Turn what arrived in the inbox into events: exactly once, whatever stops the worker."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, Engine

from jobs.job import JobContext, JobReport
from learning.domain.pattern_key import MODULES
from learning.errors import LearningError
from learning.events.attribution import CreditedTrade, credit
from learning.events.completed_trades import Dimensions
from learning.events.strands import ActionStrand, StoredStrand
from learning.events.verdicts import (
    Judged,
    Readings,
    TradeKey,
    Verdict,
    closes_by_trade,
    judge,
    position_of,
    read_strands,
    trade_of,
)
from learning.settings import Settings
from learning.store import (
    context_rows,
    day_count_rows,
    event_rows,
    inbox_count_rows,
    state_rows,
    strand_rows,
)
from learning.store.copying import REFUSED
from learning.store.database import transaction

CLOCKS_DIFFER: Final = timedelta(days=1)
"""How far ahead of the database's clock a close may be: that of a bot may be wrong."""

QUICK_MARGIN: Final = 10_000
"""Ids below the newest ingested one that a quick look goes back."""

Progress = Callable[["Ingested"], None]
Read = Callable[[Connection, int, int], list[StoredStrand]]


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


def ingest_arrived(context: JobContext) -> JobReport:
    """Take in what is pending; a run for an arrival looks at what is new alone."""
    is_quick = context.trigger == "notify"
    with transaction(context.engine, read_only=True) as connection:
        # what commits later than so many younger strands is found by the runs that look at all
        low_water = strand_rows.low_water(connection, margin=QUICK_MARGIN) if is_quick else 0
        pending = None if is_quick else strand_rows.accounts(connection).pending

    def tell(done: Ingested) -> None:
        context.progress(done.strands, pending, "strands")

    done = ingest_strands(context.engine, context.settings, low_water=low_water, progress=tell)
    with context.transaction() as connection:
        if done.strands:
            state_rows.touch(connection)
        inbox_count_rows.store_changed(connection)
        if not is_quick:  # under a busy bot the day would be counted anew at every close
            day_count_rows.store_changed(connection, context.settings.every_dimension())
    changed = {"ingested": done.ingested, "quarantined": done.quarantined, "ignored": done.ignored}
    return JobReport(done.strands, done.events, changed)


def ingest_strands(
    engine: Engine, settings: Settings, *, low_water: int = 0, progress: Progress | None = None
) -> Ingested:
    """Decide every pending strand that no other worker holds; return what became of them.

    What arrives while it runs is left to the next run, so that it ends however much arrives.

    Args:
        engine: Each batch is one short transaction on it.
        settings: Dimensions, batch size, the largest distance of a stop.
        low_water: Look above this id only, for a quick look (``strand_rows.low_water``); 0: all.
        progress: Called after each commit with the counts so far.
    """
    done, newest = Ingested(), _newest(engine)
    while True:  # again from the start: a strand with a lower id may have been committed meanwhile
        swept = _sweep(
            engine, settings, strand_rows.read_pending, (low_water, newest), done, progress
        )
        if swept == done:
            return done
        done = swept


def redrive_quarantined(
    engine: Engine, settings: Settings, *, progress: Progress | None = None
) -> Ingested:
    """Decide every quarantined strand again, each once; those in order now are ingested."""
    span = 0, _newest(engine)
    return _sweep(engine, settings, strand_rows.read_quarantined, span, Ingested(), progress)


def _sweep(
    engine: Engine,
    settings: Settings,
    read: Read,
    span: tuple[int, int],
    done: Ingested,
    progress: Progress | None,
) -> Ingested:
    after, newest = span
    while True:
        with transaction(engine) as connection:
            claimed = read(connection, settings.batch_size, after)
            strands = [strand for strand in claimed if strand.id <= newest]
            decided = ingest_batch(connection, strands, settings)
        if not strands:
            return done
        after = strands[-1].id
        done += decided
        if progress is not None:
            progress(done)


def _newest(engine: Engine) -> int:
    with transaction(engine, read_only=True) as connection:
        return strand_rows.newest_id(connection)


def ingest_batch(
    connection: Connection, strands: Sequence[StoredStrand], settings: Settings
) -> Ingested:
    """Decide claimed strands within the connection's transaction.

    Where the database itself refuses a strand, that one is quarantined and the others are
    ingested.
    """
    if not strands:
        return Ingested()
    try:
        with connection.begin_nested():
            return _decide(connection, strands, settings)
    except REFUSED as error:
        if len(strands) == 1:
            return _refused(connection, strands[0], error)
    alone = Ingested()
    for strand in strands:
        alone += ingest_batch(connection, [strand], settings)
    return alone


def _refused(connection: Connection, strand: StoredStrand, error: Exception) -> Ingested:
    said = str(getattr(error, "orig", error)).strip().partition("\n")[0][:200]
    reason = f"the database refuses it: {said}"
    strand_rows.settle(connection, [Verdict(strand.id, "quarantined", reason)])
    return Ingested(quarantined=1)


def _decide(
    connection: Connection, strands: Sequence[StoredStrand], settings: Settings
) -> Ingested:
    closed_by = strand_rows.now(connection) + CLOCKS_DIFFER
    readings = read_strands(strands, dims=_dimensions(settings), closed_by=closed_by)
    judged = _judge(connection, readings, settings)
    credited = _credit(connection, judged, settings)
    event_rows.add_actions(connection, judged.actions)
    events = event_rows.replace_trades(connection, credited)
    if strand_rows.settle(connection, judged.verdicts) != len(strands):
        # the locks forbid it; should they ever fail, nothing of this batch stays
        raise LearningError("another worker decided on a strand of this batch meanwhile")
    counts = Counter(verdict.status for verdict in judged.verdicts)
    return Ingested(counts["ingested"], counts["quarantined"], counts["ignored"], events)


def _judge(connection: Connection, readings: Readings, settings: Settings) -> Judged:
    stored = strand_rows.read_closes(connection, readings.trades)
    before = read_strands(stored, dims=_dimensions(settings))
    reason_of = {verdict.strand_id: verdict.reason or "" for verdict in before.verdicts}
    unreadable = {
        (strand.bot, strand.origin, str(strand.trade_id)): reason_of[strand.id]
        for strand in stored
        if strand.id in reason_of
    }
    return judge(readings, closes_by_trade(before.closes), unreadable)


def _credit(connection: Connection, judged: Judged, settings: Settings) -> list[CreditedTrade]:
    """The trades to derive anew, with the actions that arrived before and those of the batch."""
    if not judged.closed:
        return []
    actions: defaultdict[TradeKey, list[ActionStrand]] = defaultdict(list)
    for action in judged.actions:
        actions[trade_of(action)].append(action)
    for trade, earlier in event_rows.read_actions(connection, list(judged.closed)).items():
        actions[trade] += earlier
    contexts = context_rows.read_contexts(connection, list(judged.closed))
    return [
        credit(
            close,
            actions[trade],
            max_stop_distance=settings.max_stop_distance,
            context=contexts.get(position_of(close)),
        )
        for trade, closes in judged.closed.items()
        for close in closes
    ]


def derive_again(connection: Connection, trades: Sequence[TradeKey], settings: Settings) -> int:
    """Derive the events of closed trades anew; return how many rows were written.

    The caller holds the trades' locks (``strand_rows.lock_trades``). Trades that are not closed,
    or whose close waits in the inbox, have no events yet and get none.
    """
    stored = strand_rows.read_closes(connection, trades)
    readings = read_strands(stored, dims=_dimensions(settings))
    judged = Judged(actions=(), closed=closes_by_trade(readings.closes), verdicts=())
    return event_rows.replace_trades(connection, _credit(connection, judged, settings))


def _dimensions(settings: Settings) -> Dimensions:
    return {module: settings.dimensions(module) for module in MODULES}
