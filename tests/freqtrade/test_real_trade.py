"""Trades of a live bot, in freqtrade's own database: what a backtest does not reach.

Run by ``tests/freqtrade/run``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytest.importorskip(
    "freqtrade", reason="freqtrade is not installed here; tests/freqtrade/run installs and tests it"
)

from freqtrade.persistence import Order, Trade, init_db
from freqtrade.persistence.usedb_context import enable_database_use
from freqtrade.strategy.strategy_wrapper import strategy_safe_wrapper

from learning.bot import freqtrade as adapter
from learning.bot.freqtrade import EdgekeeperMixin
from learning.runtime.in_force import uninstall

AT = datetime(2026, 3, 1, 12, 7, 30, tzinfo=UTC)
PAIR = "BTC/USDT"


class Live(EdgekeeperMixin):
    timeframe = "5m"

    def __init__(self) -> None:
        self.config = {"runmode": "dry_run", "exchange": {"name": "binance"}}


class Notes:
    """A recorder that keeps what it is told."""

    def __init__(self) -> None:
        self.actions: list[dict[str, Any]] = []
        self.closes: list[dict[str, Any]] = []

    def record_action(self, **action: Any) -> None:
        self.actions.append(action)

    def record_position_closed(self, **close: Any) -> None:
        self.closes.append(close)


@pytest.fixture
def position() -> Iterator[Trade]:
    """A trade that has just been ordered, in a database in memory."""
    uninstall()
    enable_database_use()  # a backtest in this process has turned it off
    init_db("sqlite://")
    trade = Trade(
        pair=PAIR, base_currency="BTC", stake_currency="USDT", stake_amount=200.0, amount=2.0,
        amount_requested=2.0, open_rate=100.0, open_date=AT + timedelta(seconds=5), fee_open=0.001,
        fee_close=0.001, exchange="binance", strategy="Live", enter_tag="dip", timeframe=5,
        is_open=True, is_short=False, leverage=1.0, amount_precision=1e-8, price_precision=1e-8,
        precision_mode=4, precision_mode_price=4, contract_size=1.0,
    )  # fmt: skip
    trade.adjust_stop_loss(100.0, -0.1, initial=True)
    Trade.session.add(trade)
    Trade.commit()
    yield trade
    Trade.session.remove()


def started() -> tuple[Live, Notes]:
    strategy, notes = Live(), Notes()
    adapter._held(strategy).recorder = notes
    return strategy, notes


def fill(strategy: Live, trade: Trade, number: int, side: str, price: float, amount: float) -> None:
    """What a bot does when an order is filled: the trade first, then the strategy's hook."""
    at = AT + timedelta(hours=number)
    order = Order(
        ft_trade_id=trade.id, order_id=str(number), ft_order_side=side, ft_pair=PAIR,
        ft_is_open=False, ft_amount=amount, ft_price=price, side=side, symbol=PAIR, status="closed",
        order_type="limit", price=price, average=price, amount=amount, filled=amount, remaining=0.0,
        cost=price * amount, order_date=at, order_filled_date=at,
    )  # fmt: skip
    trade.orders.append(order)
    Trade.commit()
    trade.update_trade(order)
    strategy_safe_wrapper(strategy.order_filled)(
        pair=trade.pair, trade=trade, order=order, current_time=at
    )
    Trade.commit()


def test_a_live_trade_is_recorded_from_its_entry_to_its_close(position):
    strategy, notes = started()
    strategy.custom_stake_amount(
        pair=PAIR, current_time=AT, proposed_stake=200.0, leverage=1.0, entry_tag="dip", side="long"
    )
    fill(strategy, position, 1, "buy", 100.0, 2.0)
    position.adjust_min_max_rates(112.0, 95.0)
    fill(strategy, position, 2, "sell", 110.0, 1.0)
    assert notes.closes == []
    fill(strategy, position, 3, "sell", 105.0, 1.0)
    assert not position.is_open
    assert [a["action_category"] for a in notes.actions] == ["entry", "trim", "exit"]
    assert {a["trade_id"] for a in notes.actions} == {"Live:binance:BTC/USDT:long:2026-03-01T12:05"}
    summary = notes.closes[0]["trade_summary"]
    # put in 200 and got 215; 0.1 % of 200 and of 215 are fees, relative to 200.2
    assert summary["return_pct"] == pytest.approx(7.5)
    assert summary["return_net_pct"] == pytest.approx((214.785 - 200.2) / 200.2 * 100, rel=1e-6)
    assert summary["initial_stop"] == pytest.approx(90.0)
    assert summary["max_drawdown_pct"] == pytest.approx(5.0)
    assert summary["opened_at"] == AT + timedelta(seconds=5)


def test_half_an_exit_of_half_a_trade_is_no_close(position):
    strategy, notes = started()
    fill(strategy, position, 1, "buy", 100.0, 2.0)
    fill(strategy, position, 2, "sell", 110.0, 1.0)  # as much as is left
    assert [a["action_category"] for a in notes.actions] == ["entry", "trim"]
    assert notes.closes == []


def test_a_restarted_bot_finds_the_name_of_its_trade_in_freqtrades_database(position):
    before, _ = started()
    before.custom_stake_amount(
        pair=PAIR, current_time=AT - timedelta(minutes=10), proposed_stake=200.0, leverage=1.0,
        entry_tag="dip", side="long",
    )  # fmt: skip
    fill(before, position, 1, "buy", 100.0, 2.0)
    after, notes = started()
    fill(after, position, 2, "sell", 105.0, 2.0)
    name = "Live:binance:BTC/USDT:long:2026-03-01T11:55"
    assert [a["trade_id"] for a in notes.actions] == [name]
    assert [c["trade_id"] for c in notes.closes] == [name]


def test_a_stop_on_the_exchange_closes_the_trade(position):
    strategy, notes = started()
    fill(strategy, position, 1, "buy", 100.0, 2.0)
    fill(strategy, position, 2, "stoploss", 90.0, 2.0)
    assert not position.is_open
    assert [a["action_category"] for a in notes.actions] == ["entry", "exit"]
    assert notes.closes[0]["trade_summary"]["return_pct"] == pytest.approx(-10.0)
