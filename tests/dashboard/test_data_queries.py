"""Counting all dimensions in one pass finds what counting entry by entry finds."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, timedelta
from random import Random

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from dashboard import data_queries
from dashboard.data_queries import FIELDS, RECENT_DAYS, read_levels, read_missing
from dashboard.queries import read_health
from jobs.ingest_strands import ingest_strands
from learning.settings import Settings
from learning.store import strand_rows
from learning.store.database import transaction
from learning.store.schema import pattern_trade_events
from tests.strand_builders import START, action, close

# the last stands in no scope; the quote must stay a name
DIMS = ("bucket", "timeframe", "bucket_leader", "it's 100 %")
LEVELS = {
    "bucket": ("micro", "mid", "xl", None),
    "timeframe": ("1h", "null", "4h", None),
    "bucket_leader": (True, False, None, None),
}
COUNTED = (*Settings().every_dimension(), DIMS[-1])
LAST_DAY = 90


def store_random_trades(engine: Engine, seed: int, n: int = 90) -> None:
    """Trades of two bots; some close on the day before the recent ones, one closes last of all."""
    rng = Random(seed)
    days = [LAST_DAY, *[LAST_DAY - RECENT_DAYS] * 4, *(rng.uniform(1, 85) for _ in range(n))]
    strands = []
    for i, day in enumerate(days):
        bot = f"bot-{'ab'[i % 2]}"
        scope = {name: rng.choice(levels) for name, levels in LEVELS.items()}
        for category in ("entry", "entry", "add", "exit")[: rng.randint(1, 4)]:
            known = {"category": category, "bot": bot, "scope": scope, "name": f"{seed}/{i}"}
            known["name"] += f"/{len(strands)}"
            strands.append(action(f"t{i}", **known))
        at = (START + timedelta(days=day)).isoformat()
        strands.append(close(f"t{i}", bot=bot, closed_at=at))
    with transaction(engine) as connection:
        strand_rows.append(connection, strands)
    ingest_strands(engine, Settings())


def counted_singly(engine: Engine, bot: str | None) -> dict[tuple[str, str | None], list[int]]:
    """Per dimension and level the entries of the recent days and those before."""
    e = pattern_trade_events.c
    dim = sa.literal_column("dim.name", sa.Text)
    named = sa.text("unnest(CAST(:dims AS text[])) AS dim (name)").bindparams(dims=list(DIMS))
    query = (
        sa.select(dim, e.scope.op("->>")(dim), e.closed_at)
        .select_from(pattern_trade_events, named)
        .where(e.seq == 0, e.action_category == "entry")
    )
    with engine.connect() as connection:
        rows = connection.execute(query if bot is None else query.where(e.bot == bot)).all()
    days = [closed_at.astimezone(UTC).date() for *_, closed_at in rows]
    since = max(days) - timedelta(days=RECENT_DAYS)
    told = [(name, level) for name, level, _ in rows]
    recent = Counter(one for one, day in zip(told, days, strict=True) if day > since)
    before = Counter(one for one, day in zip(told, days, strict=True) if day <= since)
    return {key: [recent[key], before[key]] for key in recent | before}


@pytest.mark.parametrize("seed", [1, 2])
def test_levels_of_random_trades_are_counted_as_one_by_one(
    engine_of_page: Engine, seed: int
) -> None:
    store_random_trades(engine_of_page, seed)
    source = read_health(engine_of_page).source(engine_of_page)
    for bot in (None, "bot-a", "bot-b"):
        found = read_levels(source, DIMS, bot, COUNTED)
        told = {
            (str(row["dimension"]), row["level"]): [row["recent"], row["before"]]
            for row in found.astype(object).where(found.notna(), None).to_dict("records")
        }
        assert len(found) == len(told)
        assert told == counted_singly(engine_of_page, bot)
        assert told[DIMS[-1], None] == [sum(n) for n in zip(*_of(told, "bucket"), strict=True)]
    assert {level for name, level in told if name == "timeframe"} >= {"1h", "null", None}


def _of(told: dict[tuple[str, str | None], list[int]], dim: str) -> list[list[int]]:
    return [counts for (name, _), counts in told.items() if name == dim]


def test_without_trades_there_are_no_levels(engine_of_page: Engine) -> None:
    source = read_health(engine_of_page).source(engine_of_page)
    assert read_levels(source, DIMS, None, COUNTED).empty


def lacking_singly(engine: Engine, bot: str | None) -> Counter[tuple[date, str]]:
    """Per Monday and name the first entries that lack it, and under "n" all of them."""
    query = sa.select(pattern_trade_events)
    with engine.connect() as connection:
        events = [row for row in connection.execute(query) if bot in (None, row.bot)]
    found: Counter[tuple[date, str]] = Counter()
    for event in events:
        if event.seq == 0 and event.action_category == "entry":
            day = event.closed_at.astimezone(UTC).date()
            monday = day - timedelta(days=day.weekday())
            found[monday, "n"] += 1
            found.update((monday, name) for name in FIELDS if getattr(event, name) is None)
            found.update((monday, name) for name in DIMS if name not in event.scope)
    return found


@pytest.mark.parametrize("bot", [None, "bot-a"])
def test_missing_values_of_random_trades_are_counted_as_one_by_one(
    engine_of_page: Engine, bot: str | None
) -> None:
    store_random_trades(engine_of_page, 3)
    source = read_health(engine_of_page).source(engine_of_page)
    expected = lacking_singly(engine_of_page, bot)
    found = read_missing(source, DIMS, bot, COUNTED)
    assert set(found["field"]) == {*FIELDS, *DIMS}
    for row in found.to_dict("records"):
        assert row["n"] == expected[row["period"].date(), "n"] > 0
        assert row["missing"] == expected[row["period"].date(), row["field"]]
    assert found["n"].sum() == len((*FIELDS, *DIMS)) * sum(
        n for (_, name), n in expected.items() if name == "n"
    )


def test_over_a_year_and_a_half_missing_values_are_told_by_month(
    engine_of_page: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_random_trades(engine_of_page, 3)
    monkeypatch.setattr(data_queries, "LONGEST_WEEKLY_DAYS", 60)
    source = read_health(engine_of_page).source(engine_of_page)
    found = read_missing(source, DIMS, None, COUNTED)
    assert {one.day for one in found["period"]} == {1}
    assert len(found["period"].unique()) == 3  # March to May 2024
