"""Buckets by traded value where no market cap is known, and which of them leads.

A proxy: the rank of a market's mean daily quote volume among all markets, under the names of the
cap buckets. It says how big a market is among the ones given, not in dollars.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from learning.context.candles import DAY_MS, Days, Milliseconds

VOLUME_DAYS: Final = 7
RETURN_DAYS: Final = 3
LEAST_MARKETS: Final = 10  # a rank among fewer says nothing of size
_SHARES: Final = ((0.05, "xl"), (0.20, "large"), (0.50, "big"), (0.80, "mid"), (1.0, "micro"))


def volume_bucket(rank: int, markets: int) -> str:
    """Return the bucket of a market by its place in traded value, 1 the most traded.

    Examples:
        >>> [volume_bucket(rank, 100) for rank in (5, 6, 50, 80, 81)]
        ['xl', 'large', 'big', 'mid', 'micro']
    """
    return next(name for share, name in _SHARES if rank / markets <= share)


@dataclass(frozen=True, slots=True)
class DayBuckets:
    """The buckets of a day, from the days before it.

    ``bucket`` per symbol; ``volume_rank`` per symbol, 1 the most traded; ``order`` the buckets by
    mean return, the leader first.
    """

    bucket: Mapping[str, str]
    volume_rank: Mapping[str, int]
    order: tuple[str, ...]

    def scope_of(self, symbol: str) -> dict[str, str | int]:
        """Return the scope dimensions of a market on this day; what is not known is absent."""
        found: dict[str, str | int] = {}
        bucket = self.bucket.get(symbol)
        if self.order:
            found["bucket_leader"] = self.order[0]
        if bucket in self.order:
            found["bucket_rank_position"] = self.order.index(bucket) + 1
        if bucket is not None:
            found |= {"bucket": bucket, "volume_rank": self.volume_rank[symbol]}
        return found


class BucketHistory:
    """The buckets of any day, each computed once.

    Args:
        markets: Symbol → its days.
    """

    def __init__(self, markets: Mapping[str, Days]) -> None:
        self._volume = _by_day(
            {name: (days.day, days.quote_volume) for name, days in markets.items()}
        )
        self._close = _by_day({name: (days.day, days.close) for name, days in markets.items()})
        self._made: dict[int, DayBuckets] = {}

    def at(self, moment_ms: int) -> DayBuckets:
        """Return the buckets of the day of a moment, which rest on the days before it alone."""
        day = int(moment_ms // DAY_MS)
        if day not in self._made:
            self._made[day] = self._of_day(day)
        return self._made[day]

    def _of_day(self, day: int) -> DayBuckets:
        volumes = self._volume.loc[day - VOLUME_DAYS : day - 1].mean().dropna()
        volumes = volumes[volumes > 0]
        if len(volumes) < LEAST_MARKETS:
            return DayBuckets({}, {}, ())
        values = volumes.to_numpy(dtype=np.float64)
        traded = {str(name): float(one) for name, one in zip(volumes.index, values, strict=True)}
        names = sorted(traded, key=lambda name: (-traded[name], name))
        rank = {name: place for place, name in enumerate(names, start=1)}
        bucket = {name: volume_bucket(place, len(names)) for name, place in rank.items()}
        return DayBuckets(bucket, rank, self._order(day, bucket))

    def _order(self, day: int, bucket: Mapping[str, str]) -> tuple[str, ...]:
        """The buckets by the mean return of their markets over three days up to yesterday."""
        last, first = day - 1, day - 1 - RETURN_DAYS
        if last not in self._close.index or first not in self._close.index:
            return ()
        returns = (self._close.loc[last] / self._close.loc[first] - 1.0).dropna()
        of_bucket = returns.groupby([bucket.get(name, "") for name in returns.index]).mean()
        means = dict(zip(of_bucket.index, of_bucket.to_numpy(dtype=np.float64), strict=True))
        known = {str(name): float(mean) for name, mean in means.items() if name}
        return tuple(sorted(known, key=lambda name: (-known[name], name)))


def _by_day(markets: Mapping[str, tuple[Milliseconds, np.ndarray]]) -> pd.DataFrame:
    """Days as rows, symbols as columns."""
    columns = {name: pd.Series(values, index=day) for name, (day, values) in markets.items()}
    return pd.DataFrame(columns).sort_index() if columns else pd.DataFrame(index=pd.Index([], int))
