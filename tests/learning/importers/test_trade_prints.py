"""What exports of one trade share, and what tells two trades apart."""

from __future__ import annotations

import pytest

from learning.importers.trade_prints import TradePrints, trade_print

TOLD = {
    "symbol": "ETH/USDT", "side": "long", "opened_at": "2024-10-15T08:10:42+00:00",
    "closed_at": "2024-10-15T09:10:42+00:00", "entry_price": 2500.123, "exit_price": 2510.0,
}  # fmt: skip


def print_of(summary=TOLD, *, origin="live", pattern_key="pm.a.long.b"):
    return trade_print(summary, origin=origin, pattern_key=pattern_key)


@pytest.mark.parametrize(
    "change",
    [
        {"symbol": "eth-usdt"},
        {"symbol": "ETHUSDT"},
        {"symbol": "ETH/USDT:USDT"},
        {"opened_at": "2024-10-15 08:10:42.999"},  # without an offset: UTC
        {"closed_at": "2024-10-15T11:10:42+02:00"},
        {"entry_price": 2500.1230004},
        {"return_pct": 0.4, "r_multiple": 2.0},  # where there are prices, they tell
    ],
)
def test_other_spellings_of_a_trade_are_the_same_trade(change):
    assert print_of() is not None
    assert print_of(TOLD | change) == print_of()


@pytest.mark.parametrize(
    "change",
    [
        {"symbol": "BTC/USDT"},
        {"side": "short"},
        {"opened_at": "2024-10-15T08:10:43+00:00"},
        {"closed_at": "2024-10-15T09:10:41+00:00"},
        {"entry_price": 2500.2},
        {"exit_price": 2509.0},
    ],
)
def test_what_happened_otherwise_is_another_trade(change):
    assert print_of(TOLD | change) != print_of()


def test_setups_tell_trades_on_candles_apart_and_those_of_accounts_not():
    for origin, is_same in (("live", True), ("dry_run", True), ("backtest", False)):
        other = print_of(origin=origin, pattern_key="pm.other.long.b")
        assert (other == print_of(origin=origin)) is is_same


@pytest.mark.parametrize(
    "change",
    [{"symbol": None}, {"opened_at": None}, {"closed_at": "soon"}, {"entry_price": None}],
)
def test_of_what_too_little_is_known_nothing_is_said(change):
    assert print_of(TOLD | change) is None


def test_without_prices_the_return_tells_and_then_the_r():
    bare = {name: value for name, value in TOLD.items() if not name.endswith("price")}
    by_return, by_r = bare | {"return_pct": 1.5}, bare | {"r_multiple": 1.5}
    assert print_of(by_return) == print_of(by_return | {"r_multiple": 3.0})
    assert print_of(by_r) is not None
    assert print_of(bare) is None


def test_prints_are_found_among_others_however_many_were_added_since():
    prints = TradePrints()
    assert prints.among([1, 2]) == frozenset()
    for number in (5, -7, 5):
        prints.add(number)
    assert prints.among([5, 6, -7, 5]) == {5, -7}
    prints.add(6)
    assert prints.among(iter([6, 8])) == {6}
    assert (len(prints), prints.count(frozenset({5, 6, 9}))) == (4, 3)
