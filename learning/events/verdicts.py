"""What becomes of strands: ingested, ignored, or quarantined with a reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from learning.errors import MalformedStrand
from learning.events.completed_trades import Dimensions
from learning.events.strands import (
    ActionStrand,
    ClosedTrade,
    StoredStrand,
    is_run,
    parse_strand,
)

TradeKey = tuple[str, str, str]
"""A bot, the origin of what it did, and a trade_id; a trade may have several positions."""

PositionKey = tuple[str, str, str, str | None]
"""A trade, and the position of it that closed: None where it has but one."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a strand; ``reason`` is None exactly for the ingested."""

    strand_id: int
    status: Literal["ingested", "quarantined", "ignored"]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Readings:
    """Strands that could be read, in order of their ids, and the verdicts on the others."""

    actions: Sequence[ActionStrand]
    closes: Sequence[ClosedTrade]
    verdicts: Sequence[Verdict]

    @property
    def trades(self) -> list[TradeKey]:
        """The trades that these strands belong to, sorted."""
        actions = {trade_of(action) for action in self.actions}
        return sorted(actions | {trade_of(close) for close in self.closes})


def trade_of(strand: ActionStrand | ClosedTrade) -> TradeKey:
    """Return the trade that a strand belongs to."""
    return strand.bot, strand.origin, strand.trade_id


def position_of(close: ClosedTrade) -> PositionKey:
    """Return the position that a close closes."""
    return *trade_of(close), close.position_id


def closes_by_trade(closes: Iterable[ClosedTrade]) -> dict[TradeKey, list[ClosedTrade]]:
    """Return the closes of each trade, one for each of its positions."""
    found: dict[TradeKey, list[ClosedTrade]] = {}
    for close in closes:
        found.setdefault(trade_of(close), []).append(close)
    return found


def read_strands(
    strands: Iterable[StoredStrand], *, dims: Dimensions, closed_by: datetime | None = None
) -> Readings:
    """Read strands, each by itself: one that is malformed keeps no other from being read.

    Args:
        strands: In order of their ids.
        dims: Scope dimensions of each module.
        closed_by: Closes later than this are malformed; None: any may be.
    """
    actions: list[ActionStrand] = []
    closes: list[ClosedTrade] = []
    verdicts: list[Verdict] = []
    for stored in strands:
        try:
            strand = parse_strand(stored, dims=dims, closed_by=closed_by)
        except MalformedStrand as error:
            verdicts.append(Verdict(stored.id, "quarantined", str(error)))
            continue
        if isinstance(strand, ActionStrand):
            actions.append(strand)
        elif isinstance(strand, ClosedTrade):
            closes.append(strand)
        else:
            verdicts.append(Verdict(stored.id, "ignored", strand.reason))
    return Readings(actions, closes, verdicts)


@dataclass(frozen=True, slots=True)
class Judged:
    """What a batch of strands changes.

    Attributes:
        actions: To be added to the actions.
        closed: The trades whose events are to be derived anew, with all their closes.
        verdicts: One per strand.
    """

    actions: Sequence[ActionStrand]
    closed: Mapping[TradeKey, Sequence[ClosedTrade]]
    verdicts: Sequence[Verdict]


def judge(
    readings: Readings,
    closed_before: Mapping[TradeKey, Sequence[ClosedTrade]],
    unreadable: Mapping[TradeKey, str],
) -> Judged:
    """Decide on strands by what their trades had before.

    A position is closed once: the first close stands and another is quarantined. A close that
    names no position closes the whole trade. A trade that two runs of a backtest took is one
    trade, since a re-run is not more evidence: that of the first run stands.

    Args:
        readings: The strands of the batch.
        closed_before: Earlier closes of their trades.
        unreadable: Trades whose earlier close breaks a rule by now (another dimension was
            configured), with the rule; what arrives for them is quarantined.
    """
    closed = {trade: list(closes) for trade, closes in closed_before.items()}
    new_closes: list[ClosedTrade] = []
    verdicts = list(readings.verdicts)
    for close in readings.closes:
        others = closed.get(trade_of(close), ())
        reason = next(filter(None, (_repeats(close, other) for other in others)), None)
        if trade_of(close) in unreadable:
            verdicts.append(_unreadable(close, unreadable))
        elif reason is not None:
            verdicts.append(Verdict(close.strand_id, "quarantined", reason))
        else:
            closed.setdefault(trade_of(close), []).append(close)
            new_closes.append(close)
    actions = [action for action in readings.actions if trade_of(action) not in unreadable]
    verdicts += [_unreadable(a, unreadable) for a in readings.actions if trade_of(a) in unreadable]
    accepted: list[ActionStrand | ClosedTrade] = [*actions, *new_closes]
    verdicts += [Verdict(strand.strand_id, "ingested") for strand in accepted]
    touched = {trade_of(strand) for strand in accepted}
    return Judged(
        actions=actions,
        closed={trade: closed[trade] for trade in sorted(touched) if trade in closed},
        verdicts=verdicts,
    )


def _repeats(close: ClosedTrade, standing: ClosedTrade) -> str | None:
    """Why a close is no other than one that stands; None where it closes another position."""
    position, before = close.position_id, standing.position_id
    if None in (position, before) or position == before:
        return f"trade {close.trade_id!r} was already closed by strand {standing.strand_key}"
    if is_run(close.origin, position) and is_run(close.origin, before):
        return (
            f"trade {close.trade_id!r} was recorded before, by {before}: a re-run of a backtest "
            "is not more evidence"
        )
    return None


def _unreadable(strand: ActionStrand | ClosedTrade, unreadable: Mapping[TradeKey, str]) -> Verdict:
    reason = f"the close of trade {strand.trade_id!r} can no longer be read: "
    return Verdict(strand.strand_id, "quarantined", reason + unreadable[trade_of(strand)])
