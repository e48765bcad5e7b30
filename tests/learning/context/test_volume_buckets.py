"""Buckets by traded value, from the days before."""

from __future__ import annotations

import numpy as np
import pytest

from learning.context.candles import DAY_MS, Days
from learning.context.volume_buckets import BucketHistory, volume_bucket


def markets(n: int, *, days: int = 12) -> dict[str, Days]:
    """Market i trades i + 1 a day; its price grows by i per thousand a day."""
    day = np.arange(days)
    return {
        f"M{i:02d}": Days(day, 100.0 * (1 + i / 1000) ** day, np.full(days, float(i + 1)))
        for i in range(n)
    }


def test_the_most_traded_twentieth_is_xl_and_the_last_fifth_micro() -> None:
    buckets = BucketHistory(markets(40)).at(10 * DAY_MS).bucket
    counts = {name: list(buckets.values()).count(name) for name in set(buckets.values())}
    assert counts == {"xl": 2, "large": 6, "big": 12, "mid": 12, "micro": 8}
    assert buckets["M39"] == buckets["M38"] == "xl"
    assert buckets["M00"] == "micro"


def test_the_bucket_whose_markets_rose_most_leads() -> None:
    found = BucketHistory(markets(40)).at(10 * DAY_MS)
    assert found.order == ("xl", "large", "big", "mid", "micro")  # the more traded rise more here
    assert found.scope_of("M10") == {
        "bucket_leader": "xl", "bucket_rank_position": 4, "bucket": "mid", "volume_rank": 30,
    }  # fmt: skip
    assert found.scope_of("other") == {"bucket_leader": "xl"}


def test_a_day_is_told_by_the_days_before_it_alone() -> None:
    known = markets(12)
    later = {
        name: Days(days.day, days.close, np.where(days.day >= 10, 1e9 / (1 + i), days.quote_volume))
        for i, (name, days) in enumerate(known.items())
    }
    cut = {name: Days(d.day[:10], d.close[:10], d.quote_volume[:10]) for name, d in known.items()}
    for moment in (10 * DAY_MS, 11 * DAY_MS - 1):
        found = [BucketHistory(one).at(moment) for one in (known, later, cut)]
        assert found[0] == found[1] == found[2]
    assert BucketHistory(known).at(11 * DAY_MS) != BucketHistory(later).at(11 * DAY_MS)


def test_a_rank_among_fewer_than_ten_markets_is_none() -> None:
    assert BucketHistory(markets(9)).at(10 * DAY_MS).scope_of("M08") == {}
    assert BucketHistory({}).at(10 * DAY_MS).scope_of("M08") == {}


def test_markets_of_no_known_volume_have_no_bucket() -> None:
    silent = {
        name: Days(d.day, d.close, d.quote_volume * np.nan) for name, d in markets(20).items()
    }
    assert BucketHistory(silent).at(10 * DAY_MS).bucket == {}


@pytest.mark.parametrize(
    ("rank", "of", "bucket"), [(1, 20, "xl"), (2, 20, "large"), (20, 20, "micro")]
)
def test_a_bucket_is_a_share_of_the_ranks(rank: int, of: int, bucket: str) -> None:
    assert volume_bucket(rank, of) == bucket
