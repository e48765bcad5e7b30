"""Small strands as writers make them, and histories of trades drawn from a seed."""

from __future__ import annotations

import copy
import hashlib
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection

from learning.events.strands import StoredStrand, Strand

START = datetime(2024, 3, 1, 12, tzinfo=UTC)


def key(name: str) -> UUID:
    """A strand key that depends on a name only."""
    return UUID(bytes=hashlib.blake2b(name.encode(), digest_size=16).digest())


def action(
    trade_id: str = "t1",
    category: str = "entry",
    *,
    name: str | None = None,
    pattern: str = "pm.uptrend.S1.buy_flag",
    hours: float = 0,
    position_id: str | None = None,
    bot: str = "bot-a",
    **content: Any,
) -> Strand:
    """An action strand; keywords beyond the named ones go into its content."""
    module = pattern.partition(".")[0]
    said = {
        "pattern_key": pattern,
        "action_category": category,
        "scope": {"bucket": "micro", "timeframe": "1h"},
        "controls": {"signals": {"TS": 0.6}},
        "ts": (START + timedelta(hours=hours)).isoformat(),
        **content,
    }
    return Strand(
        strand_key=key(name or f"{bot}/{trade_id}/{category}/{pattern}/{hours}"),
        kind=f"{module}_action",
        module=module,
        bot=bot,
        origin="live",
        content=said,
        position_id=position_id,
        trade_id=trade_id,
    )


def close(
    trade_id: str = "t1",
    *,
    name: str | None = None,
    position_id: str | None = None,
    bot: str = "bot-a",
    completed: list[Any] | None = None,
    entered: dict[str, Any] | None = None,
    regime: dict[str, Any] | None = None,
    **summary: Any,
) -> Strand:
    """A close with an R multiple of 1.5; keywords beyond the named ones go into its summary."""
    said = {
        "symbol": "BONK",
        "side": "long",
        "opened_at": START.isoformat(),
        "closed_at": (START + timedelta(hours=24)).isoformat(),
        "r_multiple": 1.5,
        **summary,
    }
    content = {
        "trade_id": trade_id,
        "entry_context": entered or {},
        "trade_summary": said,
        "completed_trades": completed or [],
    }
    return Strand(
        strand_key=key(name or f"{bot}/{trade_id}/close"),
        kind="position_closed",
        module="pm",
        bot=bot,
        origin="live",
        content=content,
        position_id=position_id,
        trade_id=trade_id,
        regime_context=regime,
    )


def stored(strand: Strand, *, strand_id: int = 1, **changes: Any) -> StoredStrand:
    """The strand as the inbox holds it."""
    row: dict[str, Any] = {
        "id": strand_id,
        "strand_key": strand.strand_key,
        "kind": strand.kind,
        "module": strand.module,
        "bot": strand.bot,
        "origin": strand.origin,
        "position_id": strand.position_id,
        "trade_id": strand.trade_id,
        "content": json.dumps(strand.content),
        "regime_context": json.dumps(strand.regime_context),
    }
    return StoredStrand(**{**row, **changes})


def history(n_trades: int, *, seed: int, bot: str = "bot-a") -> list[Strand]:
    """Trades with 1 to 5 actions each and their closes, in order; a twentieth never closes."""
    rng = random.Random(seed)
    strands: list[Strand] = []
    for i in range(n_trades):
        trade_id = f"{seed}-{i}"
        categories = ["entry", *rng.choices(["add", "trim"], k=rng.randrange(4)), "exit"]
        for j, category in enumerate(categories[: rng.randint(1, 5)]):
            scope = {"bucket": rng.choice(["micro", "mid", "Unknown"]), "bucket_rank_position": j}
            name = f"{bot}/{trade_id}/{j}"
            strands.append(action(trade_id, category, name=name, hours=j, bot=bot, scope=scope))
        if rng.random() < 0.95:
            strands.append(close(trade_id, bot=bot, r_multiple=rng.gauss(0, 1)))
    return strands


def spoiled(strand: Strand, rng: random.Random) -> Strand:
    """The strand with one to three places of its content replaced by what nobody expects."""
    content: Any = copy.deepcopy(dict(strand.content))
    for _ in range(rng.randint(1, 3)):
        _spoil(content, rng)
    changes: dict[str, Any] = {"content": content, "strand_key": UUID(int=rng.getrandbits(128))}
    if rng.random() < 0.2:
        names = ("macro_phase", "bucket_rank", "bucket_phases")
        changes["regime_context"] = {rng.choice(names): rng.choice(HOSTILE)}
    if rng.random() < 0.2:
        name = rng.choice(["kind", "module", "origin", "bot", "trade_id", "position_id"])
        changes[name] = rng.choice(["", "x" * 300, "\u202e", "live", "dm", "pm_action", "t1"])
    return Strand(**{name: changes.get(name, getattr(strand, name)) for name in Strand.__slots__})


def nested(depth: int) -> list[Any]:
    """A list in a list in a list …"""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


HOSTILE = (
    None, True, False, 0, -1, 1e308, -1e308, 10**400, -(10**5000), 2**63, 0.1, "", "NaN",
    "Infinity", "-inf", "1.5", "Unknown", "x" * 10_000, "\u202e\u0001", "= 1 + 1", "'; --", [],
    {}, [[]], {"a": {"b": {"c": {"d": {"e": 1}}}}}, nested(300), nested(5000), "2024-03-01",
    "2024-03-01T12:00:00", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00",
    float("nan"), float("inf"), "\ud800", "nul\u0000", {"x" * 500: 1}, {"": 1}, {"NaN": "NaN"},
    [None], [1, "a"], {"signals": {"TS": 10**400}}, {"signals": [1]}, "pm.a.b", "dm.a.b.c",
    {"missed_rr": "big"}, list(range(2000)),
)  # fmt: skip


def _spoil(content: Any, rng: random.Random) -> None:
    place = content
    while True:
        names: list[Any] = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not names:
            return
        name = rng.choice(names)
        inner = place[name]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.7:
            place = inner
            continue
        place[name] = rng.choice(HOSTILE)
        return


def digest(connection: Connection) -> dict[str, list[str]]:
    """What ingestion made, free of the ids and times of writing: the rows of each table, sorted."""
    queries = {
        "ledger": """
            SELECT s.strand_key, l.status, l.reason
            FROM strand_ledger AS l JOIN ad_strands AS s ON s.id = l.strand_id""",
        "actions": """
            SELECT s.strand_key, to_jsonb(a) - '{id,strand_id}'::text[]
            FROM trade_actions AS a JOIN ad_strands AS s ON s.id = a.strand_id""",
        "events": """
            SELECT c.strand_key, a.strand_key,
                to_jsonb(e) - '{id,strand_id,action_strand_id}'::text[]
            FROM pattern_trade_events AS e
            JOIN ad_strands AS c ON c.id = e.strand_id
            LEFT JOIN ad_strands AS a ON a.id = e.action_strand_id""",
    }
    return {
        name: sorted(str(tuple(row)) for row in connection.execute(sa.text(query)))
        for name, query in queries.items()
    }
