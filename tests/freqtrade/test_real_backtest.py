"""Backtests in freqtrade itself, over real candles, with the mixin and without.

Nothing of freqtrade is replaced but the list of markets, which it would fetch from the exchange.
Run by ``tests/freqtrade/run``.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip(
    "freqtrade", reason="freqtrade is not installed here; tests/freqtrade/run installs and tests it"
)

import pandas as pd

from learning.bot import freqtrade as adapter
from learning.runtime.in_force import install, uninstall
from learning.runtime.override_table import read_table

pytestmark = [pytest.mark.real_data, pytest.mark.slow]
PAIRS = ("AAVE", "AVAX", "BTC", "ETH", "LINK", "SOL")
STEP = 1e-8  # of amounts, on the markets below
Trades = list[dict[str, Any]]


def market(base: str) -> dict[str, Any]:
    """One spot market as ccxt describes it."""
    return {
        "id": f"{base}USDT", "symbol": f"{base}/USDT", "base": base, "quote": "USDT",
        "baseId": base, "quoteId": "USDT", "settle": None, "settleId": None,
        "type": "spot", "spot": True, "margin": False, "swap": False, "future": False,
        "option": False, "contract": False, "linear": None, "inverse": None, "active": True,
        "contractSize": None, "expiry": None, "strike": None, "optionType": None,
        "taker": 0.001, "maker": 0.001, "percentage": True, "tierBased": False,
        "precision": {"amount": STEP, "price": 1e-8, "base": 1e-8, "quote": 1e-8},
        "limits": {
            "amount": {"min": STEP, "max": 9e9}, "price": {"min": 1e-8, "max": 1e7},
            "cost": {"min": 5.0, "max": 9e9}, "leverage": {"min": None, "max": None},
        },
        "info": {},
    }  # fmt: skip


@pytest.fixture(scope="module")
def user_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of freqtrade with the candles."""
    found = os.environ.get("EDGEKEEPER_REAL_DATA")
    if not found:
        pytest.skip("EDGEKEEPER_REAL_DATA names no folder with the real candles")
    folder = tmp_path_factory.mktemp("freqtrade")
    candles = folder / "data" / "binance"
    candles.mkdir(parents=True)
    (folder / "backtest_results").mkdir()
    all_candles = pd.read_parquet(Path(found) / "ohlcv_crypto_1h.parquet")
    for base in PAIRS:
        mine = all_candles[all_candles["symbol"] == base].rename(columns={"time": "date"})
        mine = mine[["date", "open", "high", "low", "close", "volume"]].reset_index(drop=True)
        mine = mine.astype(dict.fromkeys(mine.columns[1:], "float64"))
        mine.to_feather(candles / f"{base}_USDT-1h.feather")
    return folder


@pytest.fixture
def backtest(
    user_data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[str], Trades]:
    """Run freqtrade's own command on a strategy; return the trades of its export."""
    import ccxt.async_support
    from freqtrade.main import main

    async def fixture_markets(self: object, params: object = None) -> list[dict[str, Any]]:
        return [market(base) for base in PAIRS]

    monkeypatch.setattr(ccxt.async_support.binance, "fetch_markets", fixture_markets)
    (tmp_path / "results").mkdir()
    config = tmp_path / "config.json"
    config.write_text(json.dumps(_config(user_data, tmp_path)))

    def run(strategy: str) -> Trades:
        asked = ["backtesting", "--config", str(config), "--strategy", strategy]
        asked += ["--strategy-path", str(Path(__file__).with_name("strategies"))]
        asked += ["--timerange", "20210101-20210716", "--cache", "none", "--export", "trades"]
        asked += ["--backtest-directory", str(tmp_path / "results")]
        with pytest.raises(SystemExit) as ended:
            main(asked)
        assert not ended.value.code
        return _exported(tmp_path / "results", strategy)

    return run


def _config(user_data: Path, home: Path) -> dict[str, Any]:
    return {
        "user_data_dir": str(user_data), "datadir": str(user_data / "data" / "binance"),
        "dry_run": True, "dry_run_wallet": 100_000, "stake_currency": "USDT",
        "stake_amount": 100, "max_open_trades": len(PAIRS), "trading_mode": "spot",
        "exchange": {"name": "binance", "pair_whitelist": [f"{base}/USDT" for base in PAIRS]},
        "pairlists": [{"method": "StaticPairList"}], "dataformat_ohlcv": "feather",
        "entry_pricing": {"price_side": "same", "use_order_book": False},
        "exit_pricing": {"price_side": "same", "use_order_book": False},
        # a database that is away: what is recorded waits in the spool
        "edgekeeper": {"database_url": "postgresql://127.0.0.1:9/none", "home": str(home)},
    }  # fmt: skip


def _exported(results: Path, strategy: str) -> Trades:
    last = json.loads((results / ".last_result.json").read_text())["latest_backtest"]
    with zipfile.ZipFile(results / last) as archive:
        exported = json.loads(archive.read(Path(last).with_suffix(".json").name))
    trades: Trades = exported["strategy"][strategy]["trades"]
    return trades


@pytest.fixture(autouse=True)
def _nothing_installed() -> Iterator[None]:
    uninstall()
    yield
    uninstall()
    _stop_recorders()
    adapter._running.clear()


def _stop_recorders() -> None:
    for running in adapter._running.values():
        if running.recorder is not None:
            running.recorder.stop()


@pytest.fixture(scope="module")
def known() -> dict[str, Trades]:
    """The backtests of strategies without the mixin, each run once."""
    return {}


@pytest.fixture
def without(backtest: Callable[[str], Trades], known: dict[str, Trades]) -> Callable[[str], Trades]:
    """Run a strategy that has no mixin."""

    def run(strategy: str) -> Trades:
        if strategy not in known:
            known[strategy] = backtest(strategy)
        return known[strategy]

    return run


def put_in_force(pattern_key: str, category: str, levers: dict[str, float]) -> None:
    entry = {
        "override_id": 1, "pattern_key": pattern_key, "action_category": category,
        "scope": {"timeframe": "1h", "side": "long"}, "levers": levers,
        "expires_at": datetime(2999, 1, 1, tzinfo=UTC).isoformat(),
        "holdout": {"share": 0.0, "salt": "s"},
        "lesson": {"id": 1, "version": 1, "type": "pm_strength", "strength": 0.5,
                   "decay_halflife_hours": None, "latent_factor_id": None, "enabled": True},
    }  # fmt: skip
    config = {
        "generation": 1, "revision": 1, "feature_flags": {}, "pattern_overrides": [],
        "pattern_strength_overrides": [entry], "alloc_overrides": [],
    }  # fmt: skip
    built = read_table({"pm": config}, generation=1, revision=1)
    assert built.refusals == ()
    install(built, max_config_age_s=math.inf)


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Say a number of the comparison, below the result of the run."""
    return lambda said: record_property("found", said)


def shape(trade: dict[str, Any]) -> tuple[Any, ...]:
    """What a trade is apart from its size; freqtrade derives the price of a target from amounts,
    so that its twelfth digit depends on them."""
    same = ("pair", "enter_tag", "open_date", "close_date", "exit_reason")
    prices = ("open_rate", "close_rate", "min_rate", "max_rate", "initial_stop_loss_abs")
    return (
        *(trade[name] for name in same),
        *(float(f"{trade[name]:.10g}") for name in prices),
    )


@pytest.mark.parametrize(
    ("plain", "mixed"),
    [
        ("Crossing", "CrossingMixed"), ("Crossing", "CrossingNearer"),
        ("Adjusting", "AdjustingMixed"), ("Adjusting", "AdjustingBothWays"),
    ],
)  # fmt: skip
def test_without_overrides_the_trades_are_identical(backtest, without, plain, mixed, tell):
    alone, followed = without(plain), backtest(mixed)
    assert len(alone) > 300
    assert followed == alone
    tell(f"{mixed}: {len(followed)} trades, all identical to {plain}")


@pytest.mark.parametrize("size_mult", [0.8, 1.3])
def test_an_override_changes_nothing_but_the_stakes_of_its_pattern(
    backtest, without, size_mult, tell
):
    alone = without("Crossing")
    put_in_force("pm.crossingmixed.long.cross", "entry", {"size_mult": size_mult})
    scaled = backtest("CrossingMixed")
    assert [shape(trade) for trade in scaled] == [shape(trade) for trade in alone]
    assert {trade["enter_tag"] for trade in alone} == {"cross", "dip"}
    for before, after in zip(alone, scaled, strict=True):
        mult = size_mult if before["enter_tag"] == "cross" else 1.0
        # freqtrade cuts amounts to whole steps of the market, in both runs
        step = STEP * before["open_rate"]
        assert after["stake_amount"] == pytest.approx(before["stake_amount"] * mult, abs=2 * step)
    n_scaled = sum(trade["enter_tag"] == "cross" for trade in alone)
    tell(
        f"size_mult {size_mult}: {n_scaled} of {len(alone)} stakes scaled, to a step of the market"
    )


def test_adds_keep_their_size_where_the_entry_is_scaled(backtest, without):
    alone = without("Adjusting")
    put_in_force("pm.adjustingmixed.long.cross", "entry", {"size_mult": 0.8})
    scaled = backtest("AdjustingMixed")
    first = {(t["pair"], t["open_date"]): t["orders"] for t in scaled if t["enter_tag"] == "cross"}
    n_adds = 0
    for before in alone:
        if before["enter_tag"] != "cross":
            continue
        entries = _entries(before["orders"])
        scaled_entries = _entries(first[before["pair"], before["open_date"]])
        assert scaled_entries[0] == pytest.approx(0.8 * entries[0], abs=2 * STEP)
        if len(entries) > 1 and len(scaled_entries) > 1:
            assert scaled_entries[1] == pytest.approx(entries[1], rel=1e-6)
            n_adds += 1
    assert n_adds > 20


def _entries(orders: Trades) -> list[float]:
    return [order["amount"] for order in orders if order["ft_is_entry"]]


def test_adds_are_scaled_by_an_override_of_adds_alone(backtest, without, tell):
    alone = without("Adjusting")
    put_in_force("pm.adjustingmixed.long.cross", "add", {"size_mult": 0.8})
    scaled = by_entry(backtest("AdjustingMixed"))
    n_adds = 0
    for before in alone:
        after = _entries(scaled[before["pair"], before["open_date"]]["orders"])
        entries = _entries(before["orders"])
        mult = 0.8 if before["enter_tag"] == "cross" else 1.0
        assert after[0] == pytest.approx(entries[0], abs=2 * STEP)
        if len(entries) > 1 and len(after) > 1:
            assert after[1] == pytest.approx(mult * entries[1], rel=1e-6, abs=2 * STEP)
            n_adds += mult < 1
    assert n_adds > 20
    tell(f"size_mult 0.8 of adds: {n_adds} adds scaled")


def by_entry(trades: Trades) -> dict[tuple[str, str], dict[str, Any]]:
    return {(trade["pair"], trade["open_date"]): trade for trade in trades}


def test_a_fixed_stop_is_nearer_by_the_multiplier_and_by_nothing_else(
    backtest, without, user_data, tell
):
    """By the candles themselves: a trade whose price falls 5 % / 1.2 below its entry before it
    would have ended leaves there, in that candle; every other trade is as it was.

    Within the candle of its entry freqtrade's backtest assumes prices of its own for a stop that
    has moved, and may not fill them; nor does it fill an exit signal, which goes before a stop, in
    a candle that falls from its open on. There, only that nothing ends later than it did.
    """
    put_in_force("pm.crossingnearer.long.cross", "exit", {"exit_aggression_mult": 1.2})
    alone, nearer = without("Crossing"), by_entry(backtest("CrossingNearer"))
    n_stopped = n_same = 0
    for before in alone:
        after = nearer.get((before["pair"], before["open_date"]))
        if after is None:
            continue
        stop = before["open_rate"] * (1 - 0.05 / 1.2)
        hit = first_candle_below(user_data, before, stop) if is_cross(before) else None
        assert after["close_timestamp"] <= before["close_timestamp"]
        if hit is None:
            assert shape(after) == shape(before)
            n_same += 1
        elif hit.date > pd.Timestamp(before["open_date"]) and hit.high > hit.open:
            assert after["close_rate"] == pytest.approx(stop, rel=1e-6)
            assert after["close_timestamp"] == hit.date.timestamp() * 1000
            n_stopped += 1
    assert n_stopped > 30
    assert n_same > 200
    tell(f"exit_aggression_mult 1.2 of a fixed stop: {n_stopped} leave at 5 % / 1.2, {n_same} same")


def is_cross(trade: dict[str, Any]) -> bool:
    return bool(trade["enter_tag"] == "cross")


def first_candle_below(user_data: Path, trade: dict[str, Any], price: float) -> Any | None:
    """The first candle in which a trade falls to a price before it ends otherwise."""
    name = trade["pair"].replace("/", "_")
    candles = pd.read_feather(user_data / "data" / "binance" / f"{name}-1h.feather")
    opened, closed = (pd.Timestamp(trade[name]) for name in ("open_date", "close_date"))
    # what freqtrade looks at before a stop that has moved, within one candle
    goes_before = trade["exit_reason"] in ("exit_signal", "force_exit", "roi")
    within = candles["date"].between(opened, closed, inclusive="left" if goes_before else "both")
    below = candles[within & (candles["low"] <= price)]
    return None if below.empty else below.iloc[0]


@pytest.mark.parametrize(
    ("strategy", "mult", "expected"),
    [
        ("AdjustingMixed", 1.2, 0.02 / 1.2),
        ("AdjustingMixed", 0.8, 0.02),  # a loss never runs further unless that is asked for
        ("AdjustingBothWays", 0.8, 0.02 / 0.8),
    ],
)
def test_a_stop_that_moves_is_scaled_exactly(backtest, without, strategy, mult, expected, tell):
    alone = without("Adjusting")
    put_in_force(f"pm.{strategy.lower()}.long.cross", "exit", {"exit_aggression_mult": mult})
    scaled = backtest(strategy)
    moved = [trade for trade in scaled if abs(trade["stop_loss_ratio"]) != 0.05]
    for trade in moved:
        distance = expected if is_cross(trade) else 0.02
        assert abs(trade["stop_loss_ratio"]) == pytest.approx(distance, rel=1e-12)
    n = sum(is_cross(trade) for trade in moved)
    assert 20 < n < len(moved)
    if expected == 0.02:
        assert scaled == alone
    tell(f"{strategy}, exit_aggression_mult {mult}: {n} stops at a distance of {expected:.6f}")


def test_a_category_has_no_say_in_another(backtest, without):
    put_in_force("pm.adjustingmixed.long.cross", "trim", {"exit_aggression_mult": 1.2})
    assert backtest("AdjustingMixed") == without("Adjusting")


def test_what_is_recorded_is_what_the_backtest_did_even_while_the_database_is_away(
    backtest, without, tmp_path
):
    alone = without("Adjusting")
    recorded = backtest("AdjustingRecorded")
    assert recorded == alone
    strands = _spooled(tmp_path)
    closes = [s["content"] for s in strands if s["kind"] == "position_closed"]
    assert len(closes) == len(recorded)
    by_open = {(c["trade_summary"]["symbol"], c["trade_summary"]["opened_at"]): c for c in closes}
    for trade in recorded:
        opened = trade["open_date"].replace(" ", "T")
        close = by_open[trade["pair"], opened]
        summary = close["trade_summary"]
        assert summary["return_net_pct"] == pytest.approx(100 * trade["profit_ratio"], abs=1e-6)
        assert summary["pnl_amount"] == pytest.approx(trade["profit_abs"], abs=1e-6)
        assert summary["closed_at"] == trade["close_date"].replace(" ", "T")
        did = Counter(entry["action_category"] for entry in close["completed_trades"])
        n_entries = len(_entries(trade["orders"]))
        n_exits = len(trade["orders"]) - n_entries
        assert did == +Counter(entry=1, add=n_entries - 1, trim=n_exits - 1, exit=1)


def _spooled(home: Path) -> Trades:
    _stop_recorders()
    (spool,) = (home / "spool").glob("*.jsonl")
    strands = [json.loads(line) for line in spool.read_text().splitlines()]
    for strand in strands:
        if isinstance(strand.get("content"), str):
            strand["content"] = json.loads(strand["content"])
    return strands


def test_a_scope_that_fails_changes_no_trade(backtest, without):
    assert backtest("FailingScope") == without("Crossing")
