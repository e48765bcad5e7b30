import math
import sqlite3
from pathlib import Path

import pytest

from learning.errors import ImportRefused
from learning.importers.import_answers import ImportAnswers
from learning.importers.mapping import mapping_from
from learning.importers.recognition import recognise
from tests.learning.importers.source_builders import (
    GENERATIONS,
    POSITION,
    database,
    order,
    trades_of,
)


def the_trade(path, **options):
    (trade,), _ = trades_of(recognise([path], **options))
    return trade


OUTCOMES = {  # +4 % at a stop 5 % away; 3.79 % net of fees; 2 % below the entry at worst
    "r_multiple": 0.8, "r_multiple_net": 0.758, "mfe_r": 1.2, "rr_path": 2.0,
}  # fmt: skip
ABSENT = {"2017": set(OUTCOMES), "2018": {"rr_path"}}  # no stop and no extremes; no lowest price
NAMED = {
    "sell_reason": "sell_signal", "exit_reason": "exit_signal", "buy_tag": "Dip 1 ",
    "enter_tag": "Dip 1 ", "ticker_interval": 5, "fee": 0.001,
}  # fmt: skip


@pytest.mark.parametrize("generation", GENERATIONS)
def test_every_generation_gives_the_same_outcome(tmp_path, generation):
    rows = [{**POSITION, **NAMED}]
    trade = the_trade(database(tmp_path / "t.sqlite", rows, generation=generation))
    tag = "dip_1" if generation >= "2021 with tags" else "untagged"
    family = "unnamed" if generation == "2017" else "mystrategy"
    assert trade.pattern_key == f"pm.{family}.long.{tag}"
    assert trade.scope.get("timeframe") == (None if generation == "2017" else "5m")
    missing = ABSENT.get(generation, set())
    assert trade.summary.keys() & OUTCOMES.keys() == OUTCOMES.keys() - missing
    for name in OUTCOMES.keys() - missing:
        assert math.isclose(trade.summary[name], OUTCOMES[name]), name
    assert math.isclose(trade.summary["return_net_pct"], 3.79)
    assert trade.summary["currency"] == "USDT"  # from the pair where there is no column
    assert trade.summary.get("exit_reason") == (None if generation == "2017" else "exit_signal")


def test_the_generations_have_as_many_columns_as_freqtrades_own():
    # 35, 36, 50 and 51 were also counted in files of users
    assert {name: len(columns) for name, columns in GENERATIONS.items()} == {
        "2017": 13, "2018": 23, "2019": 27, "2020": 34, "2021": 35, "2021 with tags": 36,
        "2022": 42, "2023": 50, "2024": 50, "2026": 51,
    }  # fmt: skip


@pytest.mark.parametrize("generation", ["2020", "2021", "2022"])
def test_what_freqtrade_migrated_is_the_same_trade_as_before(tmp_path, generation):
    """Its migrations rename the reasons of exits: a longer file would else conflict with itself."""
    renamed = {
        "sell_signal": "exit_signal", "custom_sell": "custom_exit", "force_sell": "force_exit",
        "emergency_sell": "emergency_exit", "roi": "roi",
    }  # fmt: skip
    rows = [{**POSITION, **NAMED, "id": n} for n, _ in enumerate(renamed, start=1)]
    old = [row | {"sell_reason": was} for row, was in zip(rows, renamed, strict=True)]
    new = [row | {"exit_reason": now} for row, now in zip(rows, renamed.values(), strict=True)]
    for row in new:
        row["enter_tag"] = row["enter_tag"] if generation == "2022" else None
    before = database(tmp_path / "a.sqlite", old, generation=generation)
    after = database(tmp_path / "b.sqlite", new, generation="2026")
    assert trades_of(recognise([before]))[0] == trades_of(recognise([after]))[0]


def test_pairs_of_2017_are_turned_round(tmp_path):
    """They began with what was paid; freqtrade's own migration turned them round."""
    row = {**POSITION, "pair": "BTC_ETC", "exchange": "BITTREX", "fee": 0.0025}
    trade = the_trade(database(tmp_path / "t.sqlite", [row], generation="2017"))
    assert (trade.summary["symbol"], trade.summary["currency"]) == ("ETC/BTC", "BTC")
    assert trade.scope["exchange"] == "bittrex"


def test_times_without_an_offset_are_utc(tmp_path):
    trade = the_trade(database(tmp_path / "t.sqlite"))
    assert trade.opened_at.isoformat() == "2024-10-14T08:10:42.515063+00:00"


def test_leverage_is_taken_out_of_the_return(tmp_path):
    # 3.79 % of price at leverage 5 stands in the database as 18.95 %
    row = {**POSITION, "leverage": 5.0, "close_profit": 0.1895, "trading_mode": "FUTURES"}
    trade = the_trade(database(tmp_path / "t.sqlite", [row]))
    assert math.isclose(trade.summary["return_net_pct"], 3.79)
    assert math.isclose(trade.summary["return_pct"], 4.0)
    assert math.isclose(trade.summary["risk_amount"], 25.0)  # 5 % of five times 100
    assert trade.applied_knobs == {"leverage": 5.0}
    assert trade.scope["trading_mode"] == "futures"


def test_a_short_is_reversed(tmp_path):
    row = {
        **POSITION, "is_short": 1, "open_rate": 104.0, "close_rate": 100.0, "max_rate": 106.6,
        "min_rate": 99.0, "initial_stop_loss": 109.2, "close_profit": 0.0365,
    }  # fmt: skip
    fills = [
        order(1, "sell", 104.0, 1.0, "2024-10-14 08:10:43"),
        order(1, "buy", 100.0, 1.0, "2024-10-14 09:10:42"),
    ]
    trade = the_trade(database(tmp_path / "t.sqlite", [row], orders=fills))
    assert trade.pattern_key == "pm.mystrategy.short.untagged"
    assert [a.category for a in trade.actions] == ["entry", "exit"]
    assert math.isclose(trade.summary["r_multiple"], (4 / 104) / 0.05)
    assert math.isclose(trade.summary["max_drawdown_pct"], 2.5)  # 2.6 above 104


@pytest.mark.parametrize(
    ("stop", "ratio", "reason"),
    [
        (0.0, -1.0, "no initial stop"),
        (None, None, "no initial stop"),
        (50.0, -0.5, "the stop is further than 12% from the entry"),
        (101.0, -0.01, "the stop is on the wrong side of the entry"),
    ],
)
def test_a_stop_that_is_none_is_no_risk(tmp_path, stop, ratio, reason):
    row = {**POSITION, "initial_stop_loss": stop, "initial_stop_loss_pct": ratio}
    trades, report = trades_of(recognise([database(tmp_path / "t.sqlite", [row])]))
    assert report.without_risk == {reason: 1}
    assert report.rr_kinds == {"rr_path": 1}
    assert trades[0].summary.keys().isdisjoint({"r_multiple", "mfe_r", "initial_stop"})


def test_the_largest_stop_distance_is_a_setting(tmp_path):
    path = database(tmp_path / "t.sqlite")
    assert the_trade(path, max_stop_distance=0.04).no_risk is not None
    assert the_trade(path, max_stop_distance=0.05).no_risk is None


def test_open_positions_are_skipped_and_counted(tmp_path):
    rows = [POSITION, {**POSITION, "id": 2, "is_open": 1, "close_date": None, "close_rate": None}]
    _, report = trades_of(recognise([database(tmp_path / "t.sqlite", rows)]))
    assert (report.trades_found, report.trades_usable, report.trades_open) == (2, 1, 1)


def test_only_filled_orders_are_actions_and_adds_and_trims_are_told_apart(tmp_path):
    row = {**POSITION, "open_rate": 97.5, "close_rate": 105.0, "close_profit": 0.05}
    fills = [
        order(1, "sell", 103.0, 1.0, "2024-10-14 08:40:00"),  # stored out of order
        order(1, "buy", 100.0, 1.0, "2024-10-14 08:11:00"),
        order(1, "buy", 95.0, 0.0, "2024-10-14 08:15:00"),  # cancelled
        order(1, "buy", 95.0, 1.0, "2024-10-14 08:20:00"),
        order(1, "stoploss", 90.0, 0.0, "2024-10-14 08:21:00"),  # never hit
        order(1, "sell", 105.0, 1.0, "2024-10-14 09:10:42"),
    ]
    trade = the_trade(database(tmp_path / "t.sqlite", [row], orders=fills))
    assert [a.category for a in trade.actions] == ["entry", "add", "trim", "exit"]
    # 195 paid, 208 got; the risk is that of the first entry: 100 to 95
    assert math.isclose(trade.summary["return_pct"], 100 * 13 / 195)
    assert math.isclose(trade.summary["r_multiple"], (13 / 195) / 0.05)
    assert math.isclose(trade.summary["r_multiple_net"], 1.0)


def test_a_winner_that_was_added_to_keeps_the_risk_of_its_first_entry(tmp_path):
    # added at 120: the average of 110 is 13.6 % above the stop at 95, the first entry 5 %
    row = {**POSITION, "open_rate": 110.0, "close_rate": 121.0, "max_rate": 122.0}
    fills = [
        order(1, "buy", 100.0, 1.0, "2024-10-14 08:11:00"),
        order(1, "buy", 120.0, 1.0, "2024-10-14 08:20:00"),
        order(1, "sell", 121.0, 2.0, "2024-10-14 09:10:00"),
    ]
    trade = the_trade(database(tmp_path / "t.sqlite", [row], orders=fills))
    assert trade.no_risk is None
    assert math.isclose(trade.summary["r_multiple"], 2.0)  # +10 % of 220 at a risk of 5 %


def test_a_gross_return_that_the_fills_do_not_tell_is_absent(tmp_path):
    fills = [
        order(1, "buy", 100.0, 2.0, "2024-10-14 08:11:00"),
        order(1, "sell", 103.0, 0.5, "2024-10-14 08:40:00"),
        order(1, "sell", 104.0, 1.0, "2024-10-14 09:10:00"),  # half a unit is missing
    ]
    trade = the_trade(database(tmp_path / "t.sqlite", orders=fills))
    assert "return_pct" not in trade.summary
    assert "r_multiple" not in trade.summary
    assert math.isclose(trade.summary["r_multiple_net"], 0.758)


def test_an_exit_below_the_sampled_low_counts_as_excursion(tmp_path):
    row = {**POSITION, "close_rate": 94.0, "min_rate": 96.0, "close_profit": -0.062}
    trade = the_trade(database(tmp_path / "t.sqlite", [row]))
    assert math.isclose(trade.summary["max_drawdown_pct"], 6.0)
    assert math.isclose(trade.summary["rr_path"], -1.0)


@pytest.mark.parametrize("reason", ["force_exit", "emergency_exit", "liquidation"])
def test_an_exit_that_was_forced_is_marked(tmp_path, reason):
    trade = the_trade(database(tmp_path / "t.sqlite", [{**POSITION, "exit_reason": reason}]))
    assert trade.actions[-1].decision_type == "emergency_exit"


def test_dry_runs_are_known_by_their_orders_then_by_their_name(tmp_path):
    dry = [order(1, "buy", 100.0, 1.0, "2024-10-14 08:11:00", order_id="dry_run_buy_1")]
    live = [order(1, "buy", 100.0, 1.0, "2024-10-14 08:11:00")]
    assert the_trade(database(tmp_path / "a.sqlite", orders=dry)).origin == "dry_run"
    assert the_trade(database(tmp_path / "b.dryrun.sqlite", orders=live)).origin == "live"
    assert the_trade(database(tmp_path / "tradesv3.dryrun.sqlite")).origin == "dry_run"
    assert the_trade(database(tmp_path / "tradesv3.sqlite")).origin == "live"


def test_custom_data_becomes_signals_and_scope_by_the_mapping(tmp_path):
    custom = [
        {"ft_trade_id": 1, "cd_key": "rsi", "cd_type": "float", "cd_value": "31.5"},
        {"ft_trade_id": 1, "cd_key": "session", "cd_type": "str", "cd_value": "london"},
        {"ft_trade_id": 1, "cd_key": "broken", "cd_type": "json", "cd_value": "{"},
    ]
    mapping = mapping_from({"signals": {"rsi14": "rsi"}, "dimensions": {"session": "session"}})
    trade = the_trade(database(tmp_path / "t.sqlite", custom=custom), mapping=mapping)
    assert trade.signals == {"rsi14": 31.5}
    assert trade.scope["session"] == "london"


def test_what_a_running_bot_has_only_in_its_log_is_read_and_nothing_is_touched(tmp_path):
    path = database(tmp_path / "t.sqlite", wal=True)
    before = {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in tmp_path.iterdir()}
    with sqlite3.connect(f"file:{path}?immutable=1", uri=True) as without_log:
        assert without_log.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    assert len(trades_of(recognise([path]))[0]) == 1
    assert {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in tmp_path.iterdir()} == before


def test_a_read_only_folder_is_no_obstacle(tmp_path):
    path = database(tmp_path / "t.sqlite", wal=True)
    tmp_path.chmod(0o555)
    try:
        assert len(trades_of(recognise([path]))[0]) == 1
    finally:
        tmp_path.chmod(0o755)


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ({"open_rate": "dear"}, "open_rate"),
        ({"open_rate": -1.0}, "open_rate"),
        ({"close_date": None}, "close_date"),
        ({"close_date": "2024-10-13 00:00:00"}, "close_date"),
        ({"leverage": 0.0}, "leverage"),
        ({"is_short": "maybe"}, "is_short"),
        ({"pair": None}, "pair"),
        ({"close_rate": None, "close_profit": None}, "close_rate"),
    ],
)
def test_a_position_that_breaks_a_rule_is_rejected_with_its_reason(tmp_path, change, column):
    rows = [POSITION, {**POSITION, "id": 2, **change}]
    _, report = trades_of(recognise([database(tmp_path / "t.sqlite", rows)]))
    assert (report.trades_usable, report.trades_rejected) == (1, 1)
    assert (report.rejected_rows[0].row, report.rejected_rows[0].column) == (2, column)


def test_a_strategy_may_write_what_it_likes_into_its_tag(tmp_path):
    row = {**POSITION, "enter_tag": "día\n" + "x" * 250, "exit_reason": "\x00y" * 200}
    trade = the_trade(database(tmp_path / "t.sqlite", [row]))
    assert trade.pattern_key == "pm.mystrategy.long.d_a_" + "x" * 60
    assert trade.summary["exit_reason"].isprintable()


def test_the_first_position_identifies_the_source_even_while_it_is_open(tmp_path):
    open_one = {**POSITION, "is_open": 1, "close_date": None}
    second = {**POSITION, "id": 2}
    while_open = recognise([database(tmp_path / "a.sqlite", [open_one, second])])
    closed = recognise([database(tmp_path / "b.sqlite", [POSITION, second])])
    assert while_open.first_trade == closed.first_trade == ("1 ETH/USDT 2024-10-14 08:10:42.515063")


def test_a_database_of_something_else_is_refused_by_what_it_lacks(tmp_path):
    with sqlite3.connect(tmp_path / "x.sqlite") as connection:
        connection.execute("CREATE TABLE songs (id INTEGER)")
    with pytest.raises(ImportRefused, match="without freqtrade's table 'trades'"):
        recognise([tmp_path / "x.sqlite"])
    with sqlite3.connect(tmp_path / "y.sqlite") as connection:
        connection.execute("CREATE TABLE trades (id INTEGER, pair TEXT)")
    with pytest.raises(ImportRefused, match="lacks the column 'is_open'"):
        recognise([tmp_path / "y.sqlite"])


def test_a_view_that_calls_itself_trades_is_not_run(tmp_path):
    with sqlite3.connect(tmp_path / "x.sqlite") as connection:
        connection.execute("CREATE VIEW trades AS SELECT 1 AS id")
    with pytest.raises(ImportRefused, match="without freqtrade's table"):
        recognise([tmp_path / "x.sqlite"])


def test_a_damaged_database_is_refused(tmp_path):
    path = database(tmp_path / "t.sqlite")
    raw = bytearray(path.read_bytes())
    raw[100:4096] = b"\xff" * 3996
    Path(path).write_bytes(raw)
    with pytest.raises(ImportRefused, match="damaged"):
        recognise([path])


BARE = {"initial_stop_loss": 0.0, "min_rate": None, "max_rate": None}


def test_a_position_without_stop_and_extremes_is_kept_with_its_return(tmp_path):
    path = database(tmp_path / "t.sqlite", [{**POSITION, **BARE}])
    (trade,), report = trades_of(recognise([path]))
    assert trade.summary["return_pct"] == pytest.approx(4.0)
    assert trade.rr_kinds == ()
    assert report.with_outcome == 0


@pytest.mark.parametrize("risk", [{"risk_pct": 2.0}, {"risk_amount": 2.0}])
def test_a_fixed_risk_counts_where_no_stop_does_and_never_beside_one(tmp_path, risk):
    rows = [POSITION, {**POSITION, **BARE, "id": 2}]
    source = recognise([database(tmp_path / "t.sqlite", rows)], answers=ImportAnswers(**risk))
    (stopped, fixed), report = trades_of(source)
    assert stopped.summary["r_multiple"] == pytest.approx(0.8)  # 4 % by the stop's 5 %
    assert fixed.summary["r_multiple"] == pytest.approx(2.0)  # 4 % by 2 %, or 4 of 100 by 2
    assert fixed.summary["rr_kind"] == "r_fixed_risk"
    assert "initial_stop" not in fixed.summary
    assert report.rr_kinds == {"r_initial_stop": 1, "rr_path": 1, "r_fixed_risk": 1}
