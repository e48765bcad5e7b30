"""The context of trades: no candle of later than they knew changes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from learning.context.candles import HOUR_MS, Candles, days_of
from learning.context.excursions import Excursions, NoPath
from learning.context.trade_context import (
    Markets,
    TradeContext,
    TradeFacts,
    reference_phases,
    trade_contexts,
)
from tests.learning.context.candle_builders import START_MS, candles, walk

N = 24 * 60
NAMES = ["BTC/USDT", *(f"C{i}/USDT" for i in range(14))]


def world() -> dict[str, Candles]:
    return {
        name: candles(walk(N, seed=i), symbol=name, spread=0.4, volume=float(1 + i % 7))
        for i, name in enumerate(NAMES)
    }


def trades(n: int = 60) -> list[TradeFacts]:
    rng = np.random.default_rng(8)
    first = datetime.fromtimestamp(START_MS / 1000, UTC) + timedelta(days=30)
    made = []
    for i in range(n):
        opened = first + timedelta(hours=int(rng.integers(0, 24 * 25)))
        made.append(
            TradeFacts(
                bot="b",
                trade_id=f"t{i}",
                symbol=NAMES[i % len(NAMES)].replace("/", ""),
                side="long" if i % 2 else "short",
                opened_at=opened,
                closed_at=opened + timedelta(hours=int(rng.integers(12, 60))),
                entry_price=100.0,
                exit_price=101.0,
                risk_per_unit=2.0,
                is_stopped=i % 3 == 0,
            )
        )
    return made


def told(facts: list[TradeFacts], of: dict[str, Candles]) -> dict[str, TradeContext]:
    def candles_of(name: str) -> list[Candles]:
        return [of[name]]

    markets = Markets(
        {name: days_of(one) for name, one in of.items()},
        reference_phases(of, candles_of, named=None),
        candles_of,
    )
    return {one.facts.trade_id: one for one in trade_contexts(facts, markets)}


def test_cut_off_at_its_entry_a_trade_has_the_same_scope() -> None:
    whole = told(trades(), world())
    for trade in trades():
        known = {name: one.until(trade.opened_ms) for name, one in world().items()}
        assert told([trade], known)[trade.trade_id].scope == whole[trade.trade_id].scope
    dims = {"macro_phase", "meso_phase", "micro_phase", "bucket", "bucket_leader",
            "bucket_rank_position", "volume_rank", "session"}  # fmt: skip
    assert all(set(one.scope) == dims for one in whole.values())
    assert len({one.scope["bucket_leader"] for one in whole.values()}) > 1


def test_cut_off_at_its_close_a_trade_has_the_same_path() -> None:
    whole = told(trades(), world())
    for trade in trades():
        known = {name: one.until(trade.closed_ms) for name, one in world().items()}
        assert told([trade], known)[trade.trade_id].excursions == whole[trade.trade_id].excursions
    assert all(isinstance(one.excursions, Excursions) for one in whole.values())


def test_the_future_is_what_the_tests_above_would_notice() -> None:
    trade = trades(1)[0]
    changed = world()
    for name, one in changed.items():
        late = one.start_ms >= trade.opened_ms - HOUR_MS  # the last hour before the entry too
        close = np.where(late, one.close * np.linspace(1, 9, N), one.close)
        changed[name] = candles(close, symbol=name, spread=0.4, volume=one.quote_volume[0])
    one, other = told([trade], world())["t0"], told([trade], changed)["t0"]
    assert one.scope["micro_phase"] != other.scope["micro_phase"]
    assert one.excursions != other.excursions


def test_a_market_without_candles_still_has_phases_and_session() -> None:
    trade = trades(1)[0]
    alone = TradeFacts(**{**_fields(trade), "symbol": "NOWHERE/USDT"})
    found = told([alone], world())["t0"]
    assert found.excursions == NoPath("its market has no candles")
    assert {"macro_phase", "session"} <= set(found.scope)
    assert "bucket" not in found.scope
    assert found.reference == "BTC/USDT"


def test_the_finest_candles_that_hold_a_trade_are_taken() -> None:
    trade = trades(1)[0]
    coarse = world()
    minutes = candles(
        [100.0] * 60 * 24 * 4, symbol="BTC/USDT", bar_ms=60_000, start_ms=trade.opened_ms - HOUR_MS
    )
    markets = Markets(
        {name: days_of(one) for name, one in coarse.items()},
        {},
        lambda name: [minutes, coarse[name]] if name == "BTC/USDT" else [coarse[name]],
    )
    later, earlier = (
        trade,
        TradeFacts(
            **{
                **_fields(trade),
                "trade_id": "early",
                "opened_at": trade.opened_at - timedelta(days=20),
                "closed_at": trade.closed_at - timedelta(days=20),
            }
        ),
    )
    bars = {one.facts.trade_id: one.bar_ms for one in trade_contexts([later, earlier], markets)}
    assert bars == {"t0": 60_000, "early": HOUR_MS}


def _fields(trade: TradeFacts) -> dict[str, object]:
    return {name: getattr(trade, name) for name in TradeFacts.__slots__}
