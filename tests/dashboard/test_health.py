"""What the header says of the data."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from dashboard import health, queries

LAST = datetime(2024, 3, 26, 23, 40, tzinfo=UTC)


@pytest.mark.parametrize(
    ("age", "told"),
    [(timedelta(hours=3), "26 Mar 23:40 UTC"), (timedelta(days=976), "26 Mar 2024")],
)
def test_trades_that_ended_long_ago_are_told_with_their_year(
    engine_of_page: Engine, age: timedelta, told: str
) -> None:
    found = replace(queries.read_health(engine_of_page), last_trade_at=LAST, now=LAST + age)
    assert health.data_notice(found).label == f"data to {told}"
