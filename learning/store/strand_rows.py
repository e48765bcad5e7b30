"""The inbox ``ad_strands`` and its ledger.

Pending is what has no ledger row: never "id above the last one seen", since identities are
given before transactions commit. A worker claims the strands of a trade together, by a lock that
ends with its transaction; whoever finds a trade locked passes it by, so that workers neither wait
for each other nor do anything twice, and a killed one leaves nothing behind.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from learning.events.strands import CLOSE_KIND, StoredStrand, Strand
from learning.events.verdicts import TradeKey, Verdict
from learning.store.copying import copy_into
from learning.store.inbox_count_rows import Accounts
from learning.store.schema import ad_strands, strand_ledger

_SQL = Path(__file__).parent / "sql"
_COLUMNS = (
    "strand_key", "kind", "module", "bot", "origin", "position_id", "trade_id", "content",
    "regime_context", "raw", "import_batch_id",
)  # fmt: skip
_STORED = (
    ad_strands.c.id,
    ad_strands.c.strand_key,
    ad_strands.c.kind,
    ad_strands.c.module,
    ad_strands.c.bot,
    ad_strands.c.origin,
    ad_strands.c.position_id,
    ad_strands.c.trade_id,
    sa.cast(ad_strands.c.content, sa.Text).label("content"),
    sa.cast(ad_strands.c.regime_context, sa.Text).label("regime_context"),
    ad_strands.c.conflicts_with,
)


def append(
    connection: Connection, strands: Iterable[Strand], *, import_batch_id: int | None = None
) -> int:
    """Append strands to the inbox and return how many were new.

    A strand whose key is known already is skipped where its content is the same, and stored as
    a conflict where it is not. Content that PostgreSQL cannot hold as JSON (NaN, NUL, lone
    surrogates) is kept as the bytes it was, and quarantined when it is read.
    """
    rows = (_row(strand, import_batch_id) for strand in strands)
    return copy_into(connection, ad_strands, _COLUMNS, rows)


def _row(strand: Strand, import_batch_id: int | None) -> tuple[Any, ...]:
    content, raw = _stored_json(strand.content)
    regime = None
    if strand.regime_context is not None:
        regime, broken = _stored_json(strand.regime_context)
        if broken is not None:
            content, raw = None, broken
    return (
        strand.strand_key, strand.kind, strand.module, strand.bot, strand.origin,
        strand.position_id, strand.trade_id, content, regime, raw, import_batch_id,
    )  # fmt: skip


def _stored_json(value: Mapping[str, Any]) -> tuple[str | None, bytes | None]:
    """JSON text that jsonb takes, or else the bytes of what it was."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()  # a lone surrogate fails here
    except (ValueError, TypeError, RecursionError):
        return None, _as_it_was(value)
    return (None, text.encode()) if "\\u0000" in text else (text, None)


def _as_it_was(value: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(value, default=repr).encode("utf-8", "backslashreplace")
    except (ValueError, TypeError, RecursionError):
        return b"content that is no JSON"


def read_pending(connection: Connection, limit: int, low_water: int = 0) -> list[StoredStrand]:
    """Claim and return up to ``limit`` pending strands with an id above ``low_water``.

    Those of trades that another transaction works on are passed by. The claim ends with the
    transaction (READ COMMITTED); settle the strands within it.
    """
    # The claim saw the ledger before it held the lock: another worker may have settled
    # a strand in between. A new statement sees that.
    unsettled = ~sa.exists().where(strand_ledger.c.strand_id == ad_strands.c.id)
    return _claimed(connection, "claim_pending_strands", unsettled, limit=limit, after=low_water)


def read_quarantined(connection: Connection, limit: int, after: int = 0) -> list[StoredStrand]:
    """Claim and return up to ``limit`` quarantined strands with an id above ``after``."""
    quarantined = sa.exists().where(
        strand_ledger.c.strand_id == ad_strands.c.id, strand_ledger.c.status == "quarantined"
    )
    return _claimed(connection, "claim_quarantined_strands", quarantined, limit=limit, after=after)


def _claimed(
    connection: Connection,
    statement: str,
    condition: sa.ColumnElement[bool],
    *,
    limit: int,
    after: int,
) -> list[StoredStrand]:
    """The next strands that are claimed and still meet the condition."""
    while ids := _claim(connection, statement, limit=limit, after=after):
        strands = _read(connection, ids, condition)
        if strands:
            return strands
        after = ids[-1]
    return []


def _claim(connection: Connection, statement: str, *, limit: int, after: int) -> list[int]:
    claimed = connection.execute(_statement(statement), {"limit": limit, "after": after})
    return list(claimed.scalars())


@cache
def _statement(name: str) -> sa.TextClause:
    return sa.text((_SQL / f"{name}.sql").read_text())


def _read(
    connection: Connection, ids: Sequence[int], condition: sa.ColumnElement[bool]
) -> list[StoredStrand]:
    chosen = ad_strands.c.id == sa.any_(sa.literal(ids, sa.ARRAY(sa.BigInteger)))
    query = sa.select(*_STORED).where(chosen, condition).order_by(ad_strands.c.id)
    return [StoredStrand(*row) for row in connection.execute(query)]


def settle(connection: Connection, verdicts: Sequence[Verdict]) -> int:
    """Write what became of strands; return how many ledger rows were written.

    A quarantined strand that is decided again keeps its one row and counts the attempt; an
    ingested or ignored one is never touched.
    """
    if not verdicts:
        return 0
    columns = {
        "ids": [verdict.strand_id for verdict in verdicts],
        "statuses": [verdict.status for verdict in verdicts],
        "reasons": [verdict.reason for verdict in verdicts],
    }
    return connection.execute(_statement("settle_strands"), columns).rowcount


def read_closes(connection: Connection, trades: Sequence[TradeKey]) -> list[StoredStrand]:
    """Return the ingested closes of trades."""
    if not trades:
        return []
    wanted = these_trades(trades)
    query = (
        sa.select(*_STORED)
        .select_from(wanted)
        .join(ad_strands, is_of(ad_strands, wanted))
        .join(strand_ledger, strand_ledger.c.strand_id == ad_strands.c.id)
        .where(ad_strands.c.kind == CLOSE_KIND, strand_ledger.c.status == "ingested")
    )
    return [StoredStrand(*row) for row in connection.execute(query)]


def read_known_closes(connection: Connection, *, after: int, limit: int) -> list[StoredStrand]:
    """Return the next closes with an id above ``after`` that are ingested or still pending."""
    refused = sa.exists().where(
        strand_ledger.c.strand_id == ad_strands.c.id, strand_ledger.c.status != "ingested"
    )
    query = (
        sa.select(*_STORED)
        .where(ad_strands.c.kind == CLOSE_KIND, ad_strands.c.id > after, ~refused)
        .order_by(ad_strands.c.id)
        .limit(limit)
    )
    return [StoredStrand(*row) for row in connection.execute(query)]


class OtherClose(NamedTuple):
    """A close of another bot: whose, from where, which setup, and what it tells of the trade."""

    bot: str
    origin: str
    pattern_key: str | None
    summary: Mapping[str, Any]


def read_other_closes(
    connection: Connection, *, bot: str, batches: Sequence[int]
) -> Iterator[list[OtherClose]]:
    """Yield the closes of other bots, a few thousand at a time.

    Those that bots recorded themselves, and those of the named import runs.
    """
    context = ad_strands.c.content["entry_context"]
    query = sa.select(
        ad_strands.c.bot,
        ad_strands.c.origin,
        context["pattern_key"].astext,
        ad_strands.c.content["trade_summary"],
    ).where(
        ad_strands.c.kind == CLOSE_KIND,
        ad_strands.c.bot != bot,
        ad_strands.c.conflicts_with.is_(None),
        sa.func.jsonb_typeof(ad_strands.c.content["trade_summary"]) == "object",
        ad_strands.c.import_batch_id.is_(None)
        | (ad_strands.c.import_batch_id == sa.any_(sa.literal(batches, sa.ARRAY(sa.BigInteger)))),
    )
    rows = connection.execute(query, execution_options={"yield_per": 2000})
    for part in rows.partitions():
        yield [OtherClose(*row) for row in part]


def lock_trades(connection: Connection, trades: Sequence[TradeKey]) -> None:
    """Wait for the locks of trades and hold them to the end of the transaction.

    Those that ``read_pending`` takes; in order, so that two who wait never wait for each other.
    """
    connection.execute(
        _statement("lock_trades"),
        {"bots": [bot for bot, _, _ in trades], "trade_ids": [name for _, _, name in trades]},
    )


def these_trades(trades: Sequence[TradeKey]) -> sa.TableValuedAlias:
    """Return trades as a table with the columns bot, origin and trade_id, to join with."""
    columns = [[trade[i] for trade in trades] for i in range(3)]
    return (
        sa.func.unnest(*(sa.literal(values, sa.ARRAY(sa.Text)) for values in columns))
        .table_valued("bot", "origin", "trade_id", name="wanted")
        .render_derived()
    )


def is_of(table: sa.Table, wanted: sa.TableValuedAlias) -> sa.ColumnElement[bool]:
    """Return the condition that a row of a table belongs to one of ``these_trades``."""
    return sa.and_(*(table.c[name] == wanted.c[name] for name in ("bot", "origin", "trade_id")))


def newest_id(connection: Connection) -> int:
    """Return the highest id of the inbox, 0 where it is empty."""
    return connection.scalar(sa.select(sa.func.max(ad_strands.c.id))) or 0


def now(connection: Connection) -> datetime:
    """Return the present by the database's clock."""
    found: datetime = connection.scalars(sa.select(sa.func.clock_timestamp())).one()
    return found


def low_water(connection: Connection, *, margin: int = 100_000) -> int:
    """Return an id below which a quick look need not search; sweep from 0 now and then.

    Identities that commit later than ``margin`` younger ones are found by the sweep only.
    """
    newest = connection.scalar(sa.select(sa.func.max(strand_ledger.c.strand_id)))
    return max((newest or 0) - margin, 0)


def accounts(connection: Connection) -> Accounts:
    """Count the strands, and by the ledger what became of them."""
    row = connection.execute(_statement("count_strands")).one()
    return Accounts(*row)


def quarantine_reasons(connection: Connection, *, limit: int = 100) -> list[tuple[str, int]]:
    """Return why strands are quarantined, with how many each, the commonest first."""
    c = strand_ledger.c
    n = sa.func.count().label("n")
    rows = connection.execute(
        sa.select(c.reason, n)
        .where(c.status == "quarantined")
        .group_by(c.reason)
        .order_by(n.desc(), c.reason)
        .limit(limit)
    )
    return [(reason, count) for reason, count in rows]
