"""The context of real trades, recomputed from their candles, beside the columns they came with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jobs.fill_contexts import markets_of
from learning.context.excursions import Excursions, is_stop
from learning.context.trade_context import TradeFacts, trade_contexts
from learning.importers.candle_files import open_candles

FOLDER = os.environ.get("EDGEKEEPER_REAL_DATA")
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.slow,
    pytest.mark.skipif(FOLDER is None, reason="EDGEKEEPER_REAL_DATA names no folder"),
]
CANDLES = {
    "crypto": ("ohlcv_crypto_1h.parquet", "ohlcv_crypto_5m.parquet"),
    "tradfi": ("ohlcv_tradfi_1h.parquet",),
}
PHASES = ("macro_phase", "meso_phase", "micro_phase")


def facts(trades: pd.DataFrame) -> Iterator[TradeFacts]:
    for row in trades.itertuples():
        yield TradeFacts(
            bot="real",
            trade_id=str(row.trade_id),
            symbol=row.symbol,
            side=row.side,
            opened_at=row.entry_time.to_pydatetime(),
            closed_at=row.exit_time.to_pydatetime(),
            entry_price=row.entry_price,
            exit_price=row.exit_price,
            risk_per_unit=abs(row.entry_price - row.initial_stop),
            is_stopped=is_stop(row.exit_reason),
            has_adds=row.has_add,
        )


@cache
def beside(kind: str) -> pd.DataFrame:
    """The trades of a set with their own columns and, as ``c_…``, the recomputed ones."""
    folder = Path(str(FOLDER))
    library = open_candles([folder / name for name in CANDLES[kind]])
    trades = pd.read_parquet(folder / f"trades_{kind}.parquet")
    rows = []
    for one in trade_contexts(list(facts(trades)), markets_of(library, reference=None)):
        row = {"trade_id": int(one.facts.trade_id), "bar_ms": one.bar_ms}
        row |= {f"c_{name}": value for name, value in one.scope.items()}
        if isinstance(one.excursions, Excursions):
            told = one.excursions
            row |= {"c_mfe": told.mfe_r, "c_mae": told.mae_r, "c_payback": told.payback_hours,
                    "c_drawdown": told.max_drawdown_pct}  # fmt: skip
        rows.append(row)
    return trades.merge(pd.DataFrame(rows), on="trade_id", validate="one_to_one")


def share_equal(found: pd.Series, expected: pd.Series, *, within: float) -> float:
    both_absent = found.isna() & expected.isna()
    return float(((found - expected).abs() <= within).where(~both_absent, True).mean())


@pytest.mark.parametrize("kind", CANDLES)
@pytest.mark.parametrize("phase", PHASES)
def test_phases_agree_on_99_of_100_trades(kind: str, phase: str) -> None:
    trades = beside(kind)
    agrees = trades[f"c_{phase}"].astype(object) == trades[phase].astype(object)
    # what differs lies on a bound of z, where candles rounded to 32 bits decide
    assert agrees.mean() >= 0.9998


@pytest.mark.parametrize(("kind", "bar_ms"), [("crypto", 300_000), ("tradfi", 3_600_000)])
def test_on_the_candles_of_their_simulation_excursions_are_equal(kind: str, bar_ms: int) -> None:
    trades = beside(kind)
    exact = trades[trades["bar_ms"] == bar_ms]
    of_markets = trades["symbol"].isin(exact["symbol"].unique())
    assert len(exact) == of_markets.sum() > 7_000  # every trade of those markets has its path
    assert share_equal(exact["c_mfe"], exact["mfe_r"], within=2e-3) == 1.0
    assert share_equal(exact["c_mae"], exact["mae_r"], within=2e-3) == 1.0
    assert share_equal(exact["c_payback"], exact["hours_to_1r"], within=1e-3) > 0.9998
    alone = exact[~exact["has_add"]]
    assert share_equal(alone["c_drawdown"], alone["max_drawdown_pct"], within=2e-3) == 1.0


def test_the_order_of_markets_by_traded_value_is_theirs() -> None:
    """The buckets rank 126 and 136 markets, of which the candles hold 40: the order must agree."""
    places = {"xl": 0, "large": 1, "big": 2, "mid": 3, "micro": 4}
    trades = beside("crypto").dropna(subset=["c_volume_rank"])
    trades = trades.assign(
        day=trades["entry_time"].dt.floor("D"), place=trades["bucket"].astype(str).map(places)
    )
    first = trades.groupby(["day", "symbol"], observed=True)[["c_volume_rank", "place"]].first()
    for _, of_day in first.groupby(level="day"):
        ordered = of_day.sort_values("c_volume_rank")["place"].to_numpy()
        assert np.all(np.diff(ordered) >= 0)
