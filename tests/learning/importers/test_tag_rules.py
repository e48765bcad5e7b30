"""Tags that say several things, read as configured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from learning.errors import ConfigError
from learning.importers.import_answers import ImportAnswers
from learning.importers.mapping import mapping_from
from learning.importers.recognition import recognise
from learning.importers.tag_rules import TagRules, tag_rules_from
from learning.importers.value_bins import bins_from
from tests.learning.importers import (
    test_ccxt_records,
    test_hummingbot_database,
    test_ibkr_executions,
    test_metatrader_report,
    test_tradingview_list,
)
from tests.learning.importers.source_builders import (
    POSITION,
    csv_text,
    database,
    parquet,
    trades_of,
)

RULES = {
    "split": " ",
    "motif": "rest",
    "dimensions": {"trend": {"up": "with", "down": "against"}, "rsi_band": "rsi_([0-9])[0-9]"},
    "signals": {"rsi": "rsi_([0-9]+)"},
}


def test_without_rules_a_tag_is_one_motif_as_it_stands() -> None:
    for tag, motif in (("5 ", "5"), ("13 15 ", "13_15"), ("rsi_40", "rsi_40"), (None, "untagged")):
        assert TagRules().read(tag).motif == motif


def test_signals_at_once_are_one_setup_in_whatever_order() -> None:
    rules = tag_rules_from({"split": " "}, name="tags")
    assert rules.read("15 13 ").motif == rules.read("13  15").motif == "13_15"
    assert tag_rules_from({"split": " ", "motif": "first"}, name="tags").read("15 13").motif == "15"


def test_tags_that_nothing_parts_are_found_by_an_expression() -> None:
    rules = tag_rules_from({"find": "enter_long_[0-9]+"}, name="tags")
    assert rules.read("enter_long_1_enter_long_2_").motif == "enter_long_1_enter_long_2"
    assert rules.read("enter_long_2_enter_long_1_").motif == "enter_long_1_enter_long_2"
    assert rules.read("other").motif == "untagged"


def test_a_tag_tells_dimensions_and_signals_and_the_rest_names_the_setup() -> None:
    found = tag_rules_from(RULES, name="tags").read("dip rsi_42 up")
    assert (found.motif, found.scope, found.signals) == (
        "dip", {"trend": "with", "rsi_band": "4"}, {"rsi": 42.0},
    )  # fmt: skip
    assert tag_rules_from(RULES, name="tags").read("rsi_42").motif == "untagged"


def test_a_tag_of_thousands_of_parts_is_read_as_far_as_fifty() -> None:
    rules = tag_rules_from({"split": ","}, name="tags")
    assert len(rules.parts(",".join(map(str, range(5000))))) == 50


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        (["split"], "tags of mapping must be a table"),
        ({"spilt": " "}, "unknown part 'spilt'"),
        ({"motif": "last"}, "must be all, first or rest"),
        ({"split": 3}, "must be the text between two tags"),
        ({"signals": {"rsi": "rsi_[0-9]+"}}, "must have one bracket"),
        ({"signals": {"rsi": "rsi_([0-9]+"}}, "is no regular expression"),
        ({"find": "(" * 300}, "must be an expression"),
        ({"dimensions": {"my dim": "a(b)"}}, "must be a plain name"),
        ({"dimensions": {"trend": {"up": [1]}}}, "text or an integer"),
    ],
)
def test_rules_that_break_a_rule_are_refused_by_name(tags: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        mapping_from({"tags": tags})


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"column": "x", "bins": [70, 30]}, "1 to 19 rising numbers"),
        ({"column": "x", "bins": [float("nan"), 1]}, "1 to 19 rising numbers"),
        ({"column": "x", "bins": ["a"]}, "1 to 19 rising numbers"),
        ({"column": "x", "bins": [1], "labels": ["low"]}, "must be 2"),
        ({"column": "x", "bin": [1]}, "unknown part 'bin'"),
        ({"bins": [1]}, "must pair two names"),
    ],
)
def test_bins_that_break_a_rule_are_refused_by_name(rule: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        mapping_from({"dimensions": {"zone": rule}})


def test_a_limit_belongs_to_the_range_above_it() -> None:
    bins = bins_from({"bins": [0, 0.5], "labels": ["short", "thin", "wide"]}, where="zone")
    assert [bins.label(v) for v in (-0.1, 0, 0.49, "0.5", 9, True, "x")] == [
        "short", "thin", "thin", "wide", "wide", None, None,
    ]  # fmt: skip


def test_custom_data_of_a_freqtrade_bot_becomes_dimensions_and_signals(tmp_path: Path) -> None:
    said = [("adx", "float", "31.5"), ("news", "str", "quiet")]
    custom = [
        {"ft_trade_id": 1, "cd_key": key, "cd_type": kind, "cd_value": value}
        for key, kind, value in said
    ]
    path = database(
        tmp_path / "bot.sqlite", [{**POSITION, "enter_tag": "dip rsi_42 up"}], custom=custom
    )
    mapping = mapping_from(
        {
            "tags": RULES,
            "dimensions": {"news_state": "news", "adx_zone": {"column": "adx", "bins": [20, 30]}},
            "signals": {"ADX": "adx"},
        }
    )
    (trade,), _ = trades_of(recognise([path], mapping=mapping))
    assert trade.pattern_key.endswith(".long.dip")
    assert trade.scope["news_state"] == "quiet"
    assert trade.scope["adx_zone"] == "30 and above"
    assert (trade.scope["trend"], trade.scope["rsi_band"]) == ("with", "4")
    assert (trade.signals["ADX"], trade.signals["rsi"]) == (31.5, 42.0)


def test_signal_columns_of_a_table_become_signals_and_dimensions(tmp_path: Path) -> None:
    rows = [
        {"trade_id": i, "entry_time": "2024-03-01", "exit_time": "2024-03-02", "r_multiple": 1.0,
         "side": "long", "Setup": "b a", "signal_adx": 15.0 + 10 * i}
        for i in range(3)
    ]  # fmt: skip
    mapping = mapping_from(
        {
            "columns": {"tag": "Setup"},
            "pattern": "pm.mine.{side}.{tag}",
            "dimensions": {
                "adx_zone": {"column": "signal_adx", "bins": [20], "labels": ["weak", "strong"]},
            },
            "tags": {"split": " "},
        }
    )  # fmt: skip
    trades, _ = trades_of(recognise([parquet(tmp_path / "t.parquet", rows)], mapping=mapping))
    assert [trade.scope["adx_zone"] for trade in trades] == ["weak", "strong", "strong"]
    assert [trade.signals["adx"] for trade in trades] == [15.0, 25.0, 35.0]
    assert {trade.pattern_key for trade in trades} == {"pm.mine.long.a_b"}


TAG = "dip_rsi42_up"
READ = {
    "split": "_",
    "motif": "first",
    "signals": {"rsi": "rsi([0-9]+)"},
    "dimensions": {"trend": {"up": "with"}},
}


def _list_of_trades(folder: Path) -> Path:
    rows = test_tradingview_list.two_rows(
        f"Entry long,2024-03-01 10:00,{TAG},100", "Exit long,2024-03-01 11:00,X,101"
    )
    return test_tradingview_list.list_file(folder, test_tradingview_list.NEW, rows)


def _report(folder: Path) -> Path:
    report = test_metatrader_report
    order = [*report.GOLD_ORDER[:-1], TAG]
    rows = [["Positions"], report.POSITIONS, report.GOLD, ["Orders"], report.ORDERS, order]
    return report.written(folder, "csv", rows)


def _ccxt(folder: Path) -> Path:
    made = test_ccxt_records.order
    orders = [made(1, "buy", 100.0, 1.0), made(2, "sell", 110.0, 1.0, reduceOnly=True)]
    named = [{**order, "clientOrderId": f"{TAG}_{order['id']}"} for order in orders]
    return test_ccxt_records.written(folder / "orders.json", named)


def _executions(folder: Path) -> Path:
    rows = [row.replace(",breakout,", f",{TAG},") for row in test_ibkr_executions.ROWS[:3]]
    return test_ibkr_executions.flex_csv(folder, rows)


def _executor(folder: Path) -> Path:
    row = {**test_hummingbot_database.EXECUTOR, "controller_id": TAG}
    return test_hummingbot_database.database(folder / "h.sqlite", executors=[row])


def _fills(folder: Path) -> Path:
    return csv_text(
        folder / "fills.csv",
        "time,symbol,side,qty,price,order_id\n"
        f"2024-03-01 10:00,X/USDT,buy,1,100,{TAG}_1\n2024-03-01 11:00,X/USDT,sell,1,101,{TAG}_2\n",
    )


def _journal(folder: Path) -> Path:
    row = {"entry_time": "2024-03-01", "exit_time": "2024-03-02", "r_multiple": 1.0, "side": "long"}
    return parquet(folder / "t.parquet", [{**row, "trade_id": 1, "tag": TAG}])


@pytest.mark.parametrize(
    "made", [_list_of_trades, _report, _ccxt, _executions, _executor, _fills, _journal]
)
def test_every_reader_that_has_tags_reads_them_by_the_rules(
    tmp_path: Path, made: Callable[[Path], Path]
) -> None:
    answers = ImportAnswers(symbol="X", time_zone="UTC")
    mapping = mapping_from({"tags": READ})
    trades, _ = trades_of(recognise([made(tmp_path)], mapping=mapping, answers=answers))
    (trade,) = trades
    assert trade.pattern_key.endswith(".long.dip")
    assert trade.scope["trend"] == "with"
    assert trade.signals["rsi"] == 42.0
