"""The mixin over a stand-in of freqtrade; tests/freqtrade runs it in freqtrade itself."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import make_url

from jobs.ingest_strands import ingest_strands
from learning.bot import freqtrade as adapter
from learning.bot.freqtrade import EdgekeeperMixin
from learning.domain.scope import DEFAULT_DIMENSIONS
from learning.events.completed_trades import TradeSummary
from learning.events.outcomes import outcome_of
from learning.events.strands import StoredStrand, parse_strand
from learning.runtime.apply import apply_pattern_strength_overrides
from learning.runtime.in_force import distrust, in_force, uninstall
from learning.settings import Settings
from learning.store.database import create_engine
from tests.learning.runtime.configs import config, entry, put_in_force, table

AT = datetime(2026, 3, 1, 12, 7, 30, tzinfo=UTC)
PAIR = "BTC/USDT"


class Base:
    """What of freqtrade's IStrategy the mixin meets."""

    timeframe = "5m"
    stoploss = -0.1

    def __init__(self, mode: str = "live", **config: Any) -> None:
        self.config = {"runmode": SimpleNamespace(value=mode), "exchange": {"name": "binance"}}
        self.config |= config

    def bot_start(self, **kwargs):
        pass

    def custom_stake_amount(self, pair, current_time, proposed_stake, **kwargs):
        return proposed_stake

    def custom_stoploss(self, pair, trade, current_time, after_fill, **kwargs):
        return self.stoploss

    def order_filled(self, pair, trade, order, current_time, **kwargs):
        pass


class Plain(EdgekeeperMixin, Base):
    pass


class Notes:
    """A recorder that keeps what it is told."""

    def __init__(self) -> None:
        self.actions: list[dict[str, Any]] = []
        self.closes: list[dict[str, Any]] = []

    def record_action(self, **action: Any) -> None:
        self.actions.append(action)

    def record_position_closed(self, **close: Any) -> None:
        self.closes.append(close)


def order(number: int, side: str, price: float, amount: float, **changes: Any) -> SimpleNamespace:
    known = {
        "order_id": str(number), "ft_order_side": side, "safe_price": price, "ft_price": price,
        "safe_filled": amount, "safe_amount_after_fee": amount, "order_filled_utc": AT,
    }  # fmt: skip
    return SimpleNamespace(**{**known, **changes})


class Trade(SimpleNamespace):
    """A trade with a place for custom data, as freqtrade's database gives it."""

    def get_custom_data(self, key: str) -> Any:
        return self.stored.get(key)

    def set_custom_data(self, key: str, value: Any) -> None:
        self.stored[key] = value


def trade(**changes: Any) -> Trade:
    known = {
        "id": 7, "pair": PAIR, "is_short": False, "entry_side": "buy", "is_open": True,
        "enter_tag": "dip", "leverage": 1.0, "open_date": AT.replace(tzinfo=None),
        "close_date": None, "open_rate": 100.0, "close_rate": None, "amount": 2.0, "orders": [],
        "initial_stop_loss": 90.0, "min_rate": 95.0, "max_rate": 112.0, "close_profit": None,
        "close_profit_abs": None, "exit_reason": None, "stored": {},
    }  # fmt: skip
    return Trade(**{**known, **changes})


@pytest.fixture(autouse=True)
def _nothing_installed() -> Iterator[None]:
    uninstall()
    adapter._running.clear()
    yield
    uninstall()
    adapter._running.clear()


def of(strategy: type, **changes: Any) -> dict[str, Any]:
    """The names of an override for the long entries of a strategy without a tag."""
    return {"pattern_key": f"pm.{strategy.__name__.lower()}.long.untagged", **changes}


def stake(strategy: Any, proposed: Any = 50.0, **changes: Any) -> Any:
    asked = {
        "pair": PAIR, "current_time": AT, "current_rate": 100.0, "proposed_stake": proposed,
        "min_stake": 10.0, "max_stake": 1000.0, "leverage": 1.0, "entry_tag": None, "side": "long",
    }  # fmt: skip
    return strategy.custom_stake_amount(**{**asked, **changes})


def fill(strategy: Any, of_trade: Trade, one: SimpleNamespace) -> None:
    if one not in of_trade.orders:
        of_trade.orders.append(one)
    strategy.order_filled(pair=PAIR, trade=of_trade, order=one, current_time=AT)


def recording(strategy: Any) -> Notes:
    notes = Notes()
    adapter._held(strategy).recorder = notes
    return notes


# --- The stake ---


def test_without_overrides_the_stake_is_the_very_object_that_was_proposed():
    proposed = 50.0
    assert stake(Plain(), proposed) is proposed


def test_a_stake_is_multiplied_by_the_override_of_strategy_side_and_tag():
    put_in_force(table(entry(1, {"size_mult": 0.8}, **of(Plain))))
    assert stake(Plain()) == 40.0
    assert stake(Plain(), entry_tag="dip") == 50.0
    assert stake(Plain(), side="short") == 50.0


def test_a_strategys_own_stake_is_what_is_scaled():
    class Own(EdgekeeperMixin, Base):
        def custom_stake_amount(self, proposed_stake, **kwargs):
            return proposed_stake / 2

    put_in_force(table(entry(1, {"size_mult": 1.2}, **of(Own))))
    assert stake(Own()) == 30.0


def test_a_strategy_that_calls_super_is_scaled_once():
    class Calling(EdgekeeperMixin, Base):
        def custom_stake_amount(self, **kwargs):
            return super().custom_stake_amount(**kwargs) + 10

    class Deeper(Calling):
        def custom_stake_amount(self, **kwargs):
            return super().custom_stake_amount(**kwargs) + 40

    put_in_force(table(entry(1, {"size_mult": 1.2}, **of(Deeper))))
    assert stake(Deeper()) == 120.0


def test_the_mixin_before_an_existing_strategy_scales_its_stake():
    class Existing(Base):
        def custom_stake_amount(self, proposed_stake, **kwargs):
            return proposed_stake * 2

    class Mixed(EdgekeeperMixin, Existing):
        pass

    put_in_force(table(entry(1, {"size_mult": 0.7}, **of(Mixed))))
    assert stake(Mixed()) == 70.0


def test_the_scope_is_the_known_one_and_what_the_strategy_adds():
    seen = []

    class Scoped(EdgekeeperMixin, Base):
        def edgekeeper_scope(self, *asked):
            seen.append(asked)
            return {"bucket": "micro", "side": None}

    scope = {"bucket": "micro", "timeframe": "5m"}
    put_in_force(table(entry(1, {"size_mult": 0.8}, scope=scope, **of(Scoped))))
    scoped = Scoped()
    assert stake(scoped) == 40.0
    assert seen == [(PAIR, AT, "long", None)]
    decided = adapter._held(scoped).decided[PAIR]
    assert decided.scope == {**scope, "exchange": "binance", "trading_mode": "spot"}


def test_a_failing_scope_leaves_the_known_one(caplog):
    class Failing(EdgekeeperMixin, Base):
        def edgekeeper_scope(self, *asked):
            raise KeyError("no dataframe")

    put_in_force(table(entry(1, {"size_mult": 0.8}, scope={"timeframe": "5m"}, **of(Failing))))
    failing = Failing()
    assert [stake(failing), stake(failing)] == [40.0, 40.0]
    assert caplog.text.count("no dataframe") == 1


@pytest.mark.parametrize(
    ("mult", "proposed", "expected"),
    [
        (0.8, 11.0, 10.0),  # freqtrade would drop an entry below the exchange's least
        (0.8, 9.0, 9.0),  # what was below it before is freqtrade's business
        (1.2, 900.0, 1000.0),
        (1.2, 2000.0, 2000.0),
        (1.2, None, None),
        (1.2, 0, 0),
        (1.2, "all", "all"),
        (1.2, float("inf"), float("inf")),
    ],
)
def test_a_scaled_stake_stays_where_freqtrade_takes_it(mult, proposed, expected):
    put_in_force(table(entry(1, {"size_mult": mult}, **of(Plain))))
    assert stake(Plain(), proposed) == expected


def test_when_the_database_is_away_only_a_cut_survives():
    put_in_force(table(entry(1, {"size_mult": 1.2}, **of(Plain))))
    distrust("the database is away")
    assert stake(Plain()) == 50.0
    uninstall()
    put_in_force(table(entry(1, {"size_mult": 0.8}, **of(Plain))))
    distrust("the database is away")
    assert stake(Plain()) == 40.0


def test_an_error_in_the_runtime_leaves_the_stake(monkeypatch, caplog):
    monkeypatch.setattr(adapter, "apply_pattern_strength_overrides", lambda *_, **__: 1 / 0)
    assert stake(Plain()) == 50.0
    assert "ZeroDivisionError" in caplog.text


def test_an_error_of_the_strategy_itself_stays_its_own():
    class Failing(EdgekeeperMixin, Base):
        def custom_stake_amount(self, **kwargs):
            raise RuntimeError("mine")

    failing = Failing()
    for _ in range(2):  # the second call is not taken for one inside the first
        with pytest.raises(RuntimeError, match="mine"):
            stake(failing)


def test_attempts_within_a_candle_are_one_decision_and_the_next_candle_another():
    strategy = Plain()
    ids = []
    for minute in (7, 9, 11):
        stake(strategy, current_time=AT.replace(minute=minute))
        ids.append(adapter._held(strategy).decided[PAIR].trade_id)
    first = "Plain:binance:BTC/USDT:long:2026-03-01T12:"
    assert ids == [first + "05", first + "05", first + "10"]


def test_the_same_candle_on_two_exchanges_is_two_trades():
    ids = set()
    for exchange in ("binance", "kraken"):
        strategy = Plain(exchange={"name": exchange})
        stake(strategy)
        ids.add(adapter._held(strategy).decided[PAIR].trade_id)
    assert len(ids) == 2


# --- Recording ---


def test_entry_add_trim_and_exit_are_recorded_and_the_close_has_its_outcome():
    strategy, position = Plain(), trade(enter_tag=None, initial_stop_loss=80.0)
    notes = recording(strategy)
    put_in_force(table(entry(1, {"size_mult": 0.8}, **of(Plain))))
    stake(strategy)
    fill(strategy, position, order(1, "buy", 100.0, 1.0))
    fill(strategy, position, order(2, "buy", 90.0, 1.0))
    position.open_rate = 95.0
    fill(strategy, position, order(3, "sell", 110.0, 1.0))
    last = order(4, "sell", 99.0, 1.0)
    vars(position).update(
        is_open=False, close_rate=104.5, close_date=AT.replace(hour=18),
        close_profit=0.098, close_profit_abs=18.62, exit_reason="roi", min_rate=85.5,
    )  # fmt: skip
    fill(strategy, position, last)

    assert [a["action_category"] for a in notes.actions] == ["entry", "add", "trim", "exit"]
    name = "Plain:binance:BTC/USDT:long:2026-03-01T12:05"
    assert {a["trade_id"] for a in notes.actions} == {name}
    assert {a["pattern_key"] for a in notes.actions} == {"pm.plain.long.untagged"}
    knobs = {"leverage": 1.0, "size_mult": 0.8, "stake": 40.0, "stake_unscaled": 50.0}
    assert notes.actions[0]["applied_knobs"] == knobs
    (close,) = notes.closes
    summary = close["trade_summary"]
    # put in 100 + 90, got 110 + 99: 19 / 190; the worst is 85.5 below the average entry of 95
    assert summary["return_pct"] == pytest.approx(10.0)
    assert summary["return_net_pct"] == pytest.approx(9.8)
    assert summary["max_drawdown_pct"] == pytest.approx(10.0)
    assert summary["entry_price"] == 100.0
    outcome = outcome_of(
        TradeSummary(
            **{n: v for n, v in summary.items() if n in TradeSummary.__dataclass_fields__}
        ),
        max_stop_distance=0.25,
    )
    # the first entry risked 20 of 100
    assert outcome.r_multiple == pytest.approx(0.5)
    assert outcome.r_multiple_net == pytest.approx(0.49)


def test_a_short_is_measured_the_other_way_round():
    position = trade(
        is_short=True, entry_side="sell", is_open=False, leverage=2.0, close_rate=95.0,
        close_date=AT.replace(hour=18), close_profit=0.09, initial_stop_loss=104.0,
        max_rate=103.0, exit_reason="exit_signal",
    )  # fmt: skip
    strategy = Plain()
    notes = recording(strategy)
    fill(strategy, position, order(1, "sell", 100.0, 2.0))
    assert notes.actions[0]["pattern_key"] == "pm.plain.short.dip"
    fill(strategy, position, order(2, "buy", 95.0, 2.0))
    summary = notes.closes[-1]["trade_summary"]
    assert summary["return_pct"] == pytest.approx(5.0)
    assert summary["return_net_pct"] == pytest.approx(4.5)
    assert summary["max_drawdown_pct"] == pytest.approx(3.0)


@pytest.mark.parametrize("reason", ["force_exit", "emergency_exit", "liquidation"])
def test_an_exit_that_was_forced_says_so(reason):
    strategy = Plain()
    notes = recording(strategy)
    closed = {"is_open": False, "close_rate": 99.0, "close_date": AT, "exit_reason": reason}
    fill(strategy, trade(orders=[order(1, "buy", 100.0, 2.0)], **closed), order(2, "sell", 99, 2.0))
    assert notes.actions[0]["decision_type"] == "emergency_exit"


def test_an_order_is_recorded_once_and_one_that_filled_nothing_never():
    strategy, position = Plain(), trade()
    notes = recording(strategy)
    fill(strategy, position, order(1, "buy", 100.0, 0.0))
    assert notes.actions == []
    bought = order(2, "buy", 100.0, 1.0)
    fill(strategy, position, bought)
    fill(strategy, position, bought)
    assert [a["action_category"] for a in notes.actions] == ["entry"]


def test_after_a_restart_a_trade_keeps_its_name_and_its_context():
    before, position = Plain(), trade(enter_tag=None)
    recording(before)
    stake(before)
    fill(before, position, order(1, "buy", 100.0, 2.0))
    after = Plain()
    notes = recording(after)
    after.timeframe = "1h"
    fill(after, position, order(2, "sell", 110.0, 1.0))
    assert notes.actions[0]["trade_id"] == "Plain:binance:BTC/USDT:long:2026-03-01T12:05"
    assert notes.actions[0]["action_category"] == "trim"


def test_what_custom_data_cannot_hold_does_not_stop_the_record():
    strategy = Plain()
    notes = recording(strategy)
    position = trade()
    position.set_custom_data = position.get_custom_data = lambda **_: 1 / 0
    fill(strategy, position, order(1, "buy", 100.0, 2.0))
    assert len(notes.actions) == 1


def test_a_strategys_own_order_hook_runs_and_its_failure_loses_no_record():
    class Failing(EdgekeeperMixin, Base):
        def order_filled(self, **kwargs):
            raise RuntimeError("mine")

    strategy = Failing()
    notes = recording(strategy)
    with pytest.raises(RuntimeError, match="mine"):
        fill(strategy, trade(), order(1, "buy", 100.0, 2.0))
    assert len(notes.actions) == 1


def test_a_failing_recorder_is_no_matter_of_freqtrade(caplog):
    strategy = Plain()
    adapter._held(strategy).recorder = object()
    fill(strategy, trade(), order(1, "buy", 100.0, 2.0))
    assert "record_action" in caplog.text


# --- Exit aggression ---


class Stopping(EdgekeeperMixin, Base):
    use_custom_stoploss = True

    def custom_stoploss(self, pair, trade, current_time, after_fill, **kwargs):
        return None if after_fill else -0.06


class StoppingBothWays(Stopping):
    edgekeeper_scales_stoploss = True


def put_exit_in_force(mult: float, strategy: type, *, record: Any = None) -> None:
    key = f"pm.{strategy.__name__.lower()}.long.dip"
    made = entry(1, {"exit_aggression_mult": mult}, action_category="exit", pattern_key=key)
    put_in_force(table(made), record=record)


ASKED = {"pair": PAIR, "current_time": AT, "current_rate": 100.0, "current_profit": 0.0}


def test_a_stop_is_the_strategys_own_without_overrides():
    assert Stopping().custom_stoploss(trade=trade(), after_fill=False, **ASKED) == -0.06


@pytest.mark.parametrize("strategy", [Stopping, StoppingBothWays])
def test_exit_aggression_brings_the_strategys_own_stop_nearer(strategy):
    put_exit_in_force(1.2, strategy)
    made, position = strategy(), trade()
    assert made.custom_stoploss(trade=position, after_fill=False, **ASKED) == pytest.approx(-0.05)
    assert made.custom_stoploss(trade=position, after_fill=True, **ASKED) is None
    assert made.edgekeeper_exit_aggression(position, AT) == 1.2


def test_a_loss_never_runs_further_than_the_strategy_says_unless_it_asks_for_that():
    """Where the multiplier below 1 is left out, telemetry does not tell it as applied either."""
    told: list[Any] = []
    put_exit_in_force(0.8, Stopping, record=told.append)
    assert Stopping().custom_stoploss(trade=trade(), after_fill=False, **ASKED) == -0.06
    assert told == []
    put_exit_in_force(0.8, StoppingBothWays, record=told.append)
    both = StoppingBothWays().custom_stoploss(trade=trade(), after_fill=False, **ASKED)
    assert both == pytest.approx(-0.075)
    assert len(told) == 1


class FixedStop:
    """A strategy of freqtrade's users that has nothing but ``stoploss``."""

    timeframe = "5m"
    stoploss = -0.1

    def __init__(self) -> None:
        self.config = {"runmode": "live", "exchange": {"name": "binance"}}


class FixedNearer(EdgekeeperMixin, FixedStop):
    edgekeeper_scales_stoploss = True


@pytest.mark.parametrize(
    ("rate", "short", "leverage", "expected"),
    [
        # 9.6 % over 1.2 is 8 %: 92 for an entry at 100, which is 20 % away from a rate of 115
        (115.0, False, 1.0, 0.2),
        # with a leverage of 2 it is 4 % of the price, 96: from 120 that is 20 %, 40 % of the stake
        (120.0, False, 2.0, 0.4),
        # a short's is 108: from a rate of 90 it is 20 % away
        (90.0, True, 1.0, 0.2),
        # past it already: left to the strategy's own stop
        (91.0, False, 1.0, None),
    ],
)
def test_a_fixed_stop_comes_nearer_by_hand(rate, short, leverage, expected):
    key = f"pm.fixednearer.{'short' if short else 'long'}.dip"
    levers = {"exit_aggression_mult": 1.2}
    put_in_force(table(entry(1, levers, action_category="exit", pattern_key=key)))
    made, position = FixedNearer(), trade(is_short=short, leverage=leverage)
    made.stoploss = -0.096
    asked = {**ASKED, "current_rate": rate}
    found = made.custom_stoploss(trade=position, after_fill=False, **asked)
    assert found == (None if expected is None else pytest.approx(expected))


def test_a_fixed_stop_stays_where_it_is_without_overrides_and_is_never_put_further():
    asked = {"trade": trade(), "after_fill": False, **ASKED}
    assert FixedNearer.use_custom_stoploss is True
    assert FixedNearer().custom_stoploss(**asked) is None
    put_exit_in_force(0.8, FixedNearer)
    assert FixedNearer().custom_stoploss(**asked) is None
    assert not hasattr(type("Unasked", (EdgekeeperMixin, FixedStop), {}), "custom_stoploss")


# --- Adds ---


def adding(answer: Any) -> Any:
    class Adding(EdgekeeperMixin, Base):
        def adjust_trade_position(self, trade, current_time, **kwargs):
            return answer

    return Adding()


def asked_to_add(strategy: Any, position: Trade) -> Any:
    return strategy.adjust_trade_position(
        trade=position, current_time=AT, current_rate=100.0, min_stake=10.0, max_stake=100.0
    )


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (50.0, 40.0), ((50.0, "more"), (40.0, "more")), (None, None), ((None, ""), (None, "")),
        (-50.0, -50.0), ((-50.0, "less"), (-50.0, "less")), (0.0, 0.0), (True, True),
        (11.0, 10.0), ((50.0,), (40.0,)), ((), ()), ("fifty", "fifty"), (float("nan"), None),
    ],
)  # fmt: skip
def test_what_is_added_is_scaled_and_what_is_taken_out_is_not(answer, expected):
    key = "pm.adding.long.dip"
    put_in_force(table(entry(1, {"size_mult": 0.8}, action_category="add", pattern_key=key)))
    found = asked_to_add(adding(answer), trade())
    assert found is answer if expected is None else found == expected


def test_an_add_is_recorded_with_the_stake_it_was_given():
    key = "pm.adding.long.dip"
    put_in_force(table(entry(1, {"size_mult": 0.8}, action_category="add", pattern_key=key)))
    strategy = adding(50.0)
    notes, position = recording(strategy), trade()
    fill(strategy, position, order(1, "buy", 100.0, 1.0))
    asked_to_add(strategy, position)
    fill(strategy, position, order(2, "buy", 90.0, 1.0))
    assert [one["action_category"] for one in notes.actions] == ["entry", "add"]
    knobs = notes.actions[1]["applied_knobs"]
    assert (knobs["size_mult"], knobs["stake"], knobs["stake_unscaled"]) == (0.8, 40.0, 50.0)


def test_exit_aggression_is_neutral_where_nothing_can_be_told():
    assert Plain().edgekeeper_exit_aggression(None, AT) == 1.0


def test_freqtrade_still_reads_the_arguments_of_a_followed_stop():
    from inspect import getfullargspec

    class Stopping(EdgekeeperMixin, Base):
        edgekeeper_scales_stoploss = True

    assert "after_fill" in getfullargspec(Stopping().custom_stoploss).args


# --- Modes ---


@pytest.fixture
def started(monkeypatch) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []

    def start(kind: str) -> Any:
        def one(*asked: Any) -> Any:
            found.append((kind, *asked[:3]))
            return SimpleNamespace(stop=lambda: None)

        return one

    monkeypatch.setattr(adapter, "_start_feed", start("feed"))
    monkeypatch.setattr(adapter, "_start_recorder", start("recorder"))
    return found


@pytest.mark.parametrize("mode", ["live", "dry_run"])
def test_trading_starts_feed_and_recorder_once(started, mode):
    config = {"bot_name": "ann", "edgekeeper": {"database_url": "postgresql://x/y"}}
    for _ in range(2):  # freqtrade makes the strategy again when its configuration is reloaded
        Plain(mode, **config).bot_start()
    asked = ("postgresql://x/y", "ann", mode)
    assert started == [("feed", *asked), ("recorder", *asked)]


@pytest.mark.parametrize("mode", ["backtest", "hyperopt", "plot", "webserver", "other"])
def test_other_modes_start_nothing(started, mode):
    strategy = Plain(mode)
    strategy.bot_start()
    stake(strategy)
    fill(strategy, trade(), order(1, "buy", 100.0, 2.0))
    assert started == []


def test_a_backtest_that_asks_records_without_a_feed(started):
    class Asking(EdgekeeperMixin, Base):
        edgekeeper_records_backtests = True

    Asking("backtest").bot_start()
    Asking("hyperopt").bot_start()
    assert started == [("recorder", None, "Asking", "backtest")]


def test_a_strategys_own_start_runs_before():
    class Starting(EdgekeeperMixin, Base):
        def bot_start(self, **kwargs):
            self.has_started = True

    strategy = Starting("backtest")
    strategy.bot_start()
    assert strategy.has_started


def test_a_database_that_cannot_be_had_leaves_a_neutral_strategy(caplog):
    strategy = Plain("live", edgekeeper={"database_url": "mysql://nobody@nowhere/x"})
    strategy.bot_start()
    assert stake(strategy) == 50.0
    fill(strategy, trade(), order(1, "buy", 100.0, 2.0))
    assert "DATABASE_URL must start with postgres" in caplog.text


def test_with_a_database_overrides_arrive_and_strands_can_be_read(fresh_database, tmp_path):
    plain = make_url(fresh_database).set(drivername="postgresql")
    with psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True) as database:
        soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        known = config(entry(1, {"size_mult": 0.8}, expires_at=soon, **of(Plain)), revision=1)
        database.execute("UPDATE edgekeeper_state SET revision = 1")
        database.execute(
            "INSERT INTO learning_configs (module, config_data, version, generation) "
            "VALUES ('pm', %s, 1, 1)",
            (json.dumps(known),),
        )
        section = {"database_url": fresh_database, "home": str(tmp_path)}
        strategy = Plain("dry_run", bot_name="ann", edgekeeper=section)
        strategy.bot_start()
        assert stake(strategy) == 40.0
        trade_through(strategy)
        (running,) = adapter._running.values()
        running.recorder.stop()
        running.feed.stop()
        rows = database.execute(
            "SELECT id, strand_key, kind, module, bot, origin, position_id, trade_id, "
            "content::text, regime_context::text, conflicts_with FROM ad_strands ORDER BY id"
        ).fetchall()
    bought, sold, close = (
        parse_strand(StoredStrand(*row), dims=DEFAULT_DIMENSIONS) for row in rows
    )
    assert {(row[4], row[5]) for row in rows} == {("ann", "dry_run")}
    assert (bought.action_category, sold.action_category) == ("entry", "exit")
    assert bought.scope["timeframe"] == "5m"
    outcome = outcome_of(close.summary, max_stop_distance=0.12)
    assert outcome.r_multiple == pytest.approx(0.5)  # earned 5 of 100, risked 10
    assert outcome.rr_path == pytest.approx(1.0)  # 95 was the worst


def trade_through(strategy: Any, enter_tag: str | None = None) -> None:
    """Buy at 100 and sell at 105."""
    position = trade(enter_tag=enter_tag)
    fill(strategy, position, order(1, "buy", 100.0, 2.0))
    closed = {"close_rate": 105.0, "close_date": AT.replace(hour=18), "close_profit": 0.048}
    vars(position).update(is_open=False, exit_reason="roi", **closed)
    fill(strategy, position, order(2, "sell", 105.0, 2.0))


def test_each_run_of_a_backtest_is_a_run_of_its_own_and_the_first_counts(fresh_database, tmp_path):
    class Asking(Plain):
        edgekeeper_records_backtests = True

    engine = create_engine(fresh_database)
    for tag in ("old", "new"):
        section = {"database_url": fresh_database, "home": str(tmp_path)}
        strategy = Asking("backtest", bot_name="ann", edgekeeper=section)
        strategy.bot_start()
        trade_through(strategy, enter_tag=tag)
        (running,) = adapter._running.values()
        running.recorder.stop()
        adapter._running.clear()
        ingest_strands(engine, Settings())
    with engine.connect() as connection:
        patterns = connection.execute(
            sa.text("SELECT DISTINCT pattern_key, origin FROM pattern_trade_events")
        ).all()
        refused = connection.scalar(
            sa.text("SELECT reason FROM strand_ledger WHERE status <> 'ingested'")
        )
    engine.dispose()
    assert patterns == [("pm.asking.long.old", "backtest")]
    assert "a re-run of a backtest is not more evidence" in refused


def test_a_strategy_that_trades_nothing_can_be_pickled():
    strategy = Plain("hyperopt")
    strategy.config = {"runmode": "hyperopt"}
    stake(strategy)
    assert stake(pickle.loads(pickle.dumps(strategy))) == 50.0


def test_the_adapter_imports_neither_freqtrade_nor_anything_heavy():
    loaded = (
        "import sys, learning.bot.freqtrade; print(*{m.partition('.')[0] for m in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True
    )
    names = set(done.stdout.split())
    assert names & {"freqtrade", "sqlalchemy", "psycopg", "pandas", "numpy"} == set()


def test_size_is_noted_under_the_position_that_the_recorder_names():
    noted = []
    put_in_force(table(entry(1, {"size_mult": 0.8}, **of(Plain))), record=noted.append)
    strategy = Plain()
    notes = recording(strategy)
    stake(strategy)
    fill(strategy, trade(enter_tag=None), order(1, "buy", 100.0, 2.0))
    assert in_force().record is not None
    assert [outcome.trade_id for outcome in noted] == [notes.actions[0]["trade_id"]]


def test_the_half_hands_every_multiplier_over_exactly():
    for hundredths in range(70, 131):
        mult = hundredths / 100
        uninstall()
        put_in_force(table(entry(1, {"size_mult": mult}, **of(Plain))))
        half = {"position_size_frac": adapter._HALF}
        adjusted = apply_pattern_strength_overrides("pm.plain.long.untagged", "entry", {}, half)
        assert adjusted["position_size_frac"] / adapter._HALF == mult
