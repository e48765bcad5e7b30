import json
import math
import zipfile

import pytest

from learning.errors import ImportRefused
from learning.importers.import_answers import ImportAnswers
from learning.importers.recognition import examine_files, recognise
from tests.learning.importers.source_builders import BACKTEST_TRADE, backtest, trades_of


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def export(tmp_path, **options):
    return backtest(tmp_path / "member.json", **options).read_bytes()


def test_a_backtest_trade_has_its_outcome_from_stop_and_extremes(tmp_path):
    (trade,), report = trades_of(recognise([backtest(tmp_path / "b.json")]))
    assert trade.trade_id == "TheForce/ETH/USDT/1711961100000"
    assert trade.pattern_key == "pm.theforce.long.untagged"
    assert trade.origin == "backtest"
    assert trade.scope["timeframe"] == "15m"
    for name, value in {"r_multiple": 0.8, "r_multiple_net": 0.758, "rr_path": 2.0}.items():
        assert math.isclose(trade.summary[name], value), name
    assert [action.category for action in trade.actions] == ["entry", "exit"]
    assert report.without_pattern == 1  # "" is untagged


def test_the_sign_of_the_stop_ratio_does_not_matter(tmp_path):
    old = {**BACKTEST_TRADE, "initial_stop_loss_ratio": 0.05}
    one = trades_of(recognise([backtest(tmp_path / "a.json", [old])]))[0]
    two = trades_of(recognise([backtest(tmp_path / "b.json")]))[0]
    assert one[0].summary == two[0].summary


def test_old_names_and_missing_fields_are_understood(tmp_path):
    old = {k: v for k, v in BACKTEST_TRADE.items() if k not in ("leverage", "is_short", "orders")}
    old = {**old, "buy_tag": "Dip", "sell_reason": "roi"}
    del old["enter_tag"], old["exit_reason"], old["open_timestamp"], old["close_timestamp"]
    (trade,), _ = trades_of(recognise([backtest(tmp_path / "b.json", [old])]))
    assert trade.pattern_key == "pm.theforce.long.dip"
    assert trade.summary["exit_reason"] == "roi"
    assert trade.trade_id == "TheForce/ETH/USDT/1711961100000"  # from the date


def test_orders_of_a_backtest_become_actions_and_unfilled_ones_do_not(tmp_path):
    at = 1711961100000

    def filled(side, price, amount, minute, is_entry):
        moment = None if minute is None else at + minute * 60_000
        return {
            "amount": amount, "safe_price": price, "ft_order_side": side,
            "order_filled_timestamp": moment, "ft_is_entry": is_entry,
        }  # fmt: skip

    orders = [
        filled("buy", 100.0, 1.0, 0, True),
        filled("buy", 90.0, 1.0, None, True),
        filled("buy", 96.0, 1.0, 15, True),
        filled("sell", 104.0, 2.0, 60, False),
    ]
    row = {**BACKTEST_TRADE, "orders": orders, "open_rate": 98.0}
    (trade,), _ = trades_of(recognise([backtest(tmp_path / "b.json", [row])]))
    assert [action.category for action in trade.actions] == ["entry", "add", "exit"]
    assert math.isclose(trade.summary["return_pct"], 100 * 12 / 196)


def test_a_trade_open_at_the_end_is_skipped_and_one_without_duration_is_kept(tmp_path):
    rows = [
        {**BACKTEST_TRADE, "close_timestamp": BACKTEST_TRADE["open_timestamp"]},
        {**BACKTEST_TRADE, "pair": "BTC/USDT", "is_open": True, "exit_reason": "force_exit"},
    ]
    trades, report = trades_of(recognise([backtest(tmp_path / "b.json", rows)]))
    assert len(trades) == report.trades_open == 1


def test_a_double_within_one_export_counts_once(tmp_path):
    path = backtest(tmp_path / "b.json", [BACKTEST_TRADE, BACKTEST_TRADE])
    _, report = trades_of(recognise([path]))
    assert (report.trades_usable, report.trades_rejected) == (1, 1)


def test_a_zip_gives_its_one_result_and_its_code_and_pickles_are_left_alone(tmp_path):
    members = {
        "b_config.json": json.dumps({"strategy": "TheForce"}),
        "b_TheForce.json": json.dumps({"strategy_name": "TheForce", "params": {}}),
        "b_TheForce.py": "raise SystemExit('run me')",
        "b_signals.pkl": b"cos\nsystem\n(S'touch pwned'\ntR.",
        "../../escape.json": json.dumps({"harmless": True}),
        "b.json": export(tmp_path),
    }
    before = sorted(p.name for p in tmp_path.rglob("*"))
    trades, _ = trades_of(recognise([zipped(tmp_path / "b.zip", members)]))
    assert len(trades) == 1
    assert sorted(p.name for p in tmp_path.rglob("*")) == sorted([*before, "b.zip"])
    assert not (tmp_path.parent.parent / "escape.json").exists()


def test_a_member_that_unpacks_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("learning.importers.source_file.MAX_JSON_BYTES", 100_000)
    path = zipped(tmp_path / "bomb.zip", {"b.json": b" " * 200_000 + export(tmp_path)})
    assert path.stat().st_size < 5_000
    with pytest.raises(ImportRefused, match="is larger than"):
        recognise([path])


def test_a_zip_without_or_with_two_results_is_refused(tmp_path):
    with pytest.raises(ImportRefused, match="holds 0"):
        recognise([zipped(tmp_path / "none.zip", {"a.json": "{}"})])
    two = {"a.json": export(tmp_path), "b.json": export(tmp_path)}
    with pytest.raises(ImportRefused, match="holds 2"):
        recognise([zipped(tmp_path / "two.zip", two)])


def test_a_results_folder_means_its_latest_backtest(tmp_path):
    backtest(tmp_path / "old.json", strategy="Old")
    backtest(tmp_path / "new.json", strategy="New")
    (tmp_path / ".last_result.json").write_text('{"latest_backtest": "new.json"}')
    source = recognise([tmp_path])
    assert source.name == "new"
    assert trades_of(source)[0][0].pattern_key == "pm.new.long.untagged"


@pytest.mark.parametrize("name", ["../secret.json", "/etc/passwd", "", 3, "gone.json"])
def test_a_results_folder_cannot_point_elsewhere(tmp_path, name):
    (tmp_path / ".last_result.json").write_text(json.dumps({"latest_backtest": name}))
    with pytest.raises(ImportRefused, match="last_result"):
        recognise([tmp_path])


def test_a_folder_without_a_result_says_so(tmp_path):
    with pytest.raises(ImportRefused, match="name the file itself"):
        recognise([tmp_path])


def test_nan_in_an_export_reads_as_absent(tmp_path):
    text = export(tmp_path).decode().replace('"min_rate": 98.0', '"min_rate": NaN')
    path = tmp_path / "b.json"
    path.write_text(text)
    (trade,), _ = trades_of(recognise([path]))
    assert "rr_path" not in trade.summary


def test_the_first_trade_of_a_backtest_is_its_earliest(tmp_path):
    later = {**BACKTEST_TRADE, "pair": "A/USDT", "open_timestamp": 1711961200000}
    source = recognise([backtest(tmp_path / "b.json", [later, BACKTEST_TRADE])])
    assert source.first_trade == "TheForce/ETH/USDT/1711961100000"


def test_json_of_something_else_is_refused(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"songs": []}')
    with pytest.raises(ImportRefused, match="no list of trades, fills or orders"):
        recognise([path])
    path.write_text('{"strategy": ')
    with pytest.raises(ImportRefused, match="no valid JSON"):
        recognise([path])


def test_a_plain_list_of_trades_is_the_list_of_the_rest_interface(tmp_path):
    trades = [{**BACKTEST_TRADE, "trade_id": n, "strategy": "S"} for n in (1, 2)]
    answer, plain = tmp_path / "answer.json", tmp_path / "plain.json"
    answer.write_text(json.dumps({"trades_count": 2, "trades": trades}))
    plain.write_text(json.dumps(trades))
    found = [trades_of(recognise([path])) for path in (answer, plain)]
    assert [report.format for _, report in found] == ["freqtrade_trade_list"] * 2
    summaries = [[trade.summary for trade in listed] for listed, _ in found]
    assert summaries[0] == summaries[1]


ROWS = [
    ["ETH/BTC", 0.0379, 1515568500, 1515568800, 1, 5, 100.0, 104.0, False, "roi"],
    ["XRP/BTC", -0.0121, 1515568500, 1515571800, 1, 55, 100.0, 99.0, False, "stop_loss"],
    ["ADA/BTC", -0.0121, 1515568500, 1515571800, 1, 55, 100.0, 99.0, True, "force_sell"],
]


def test_the_rows_of_an_export_before_2020_are_trades_with_a_return(tmp_path):
    path = tmp_path / "backtest-result.json"
    path.write_text(json.dumps(ROWS))
    found = examine_files([path])
    assert [option.name for option in found.options] == ["risk_pct"]
    (won, lost), report = trades_of(found.source)
    assert (report.trades_found, report.trades_open) == (3, 1)
    assert won.summary["return_pct"] == pytest.approx(4.0)
    assert won.summary["return_net_pct"] == pytest.approx(3.79)
    assert lost.summary["exit_reason"] == "stop_loss"
    assert won.opened_at.isoformat() == "2018-01-10T07:15:00+00:00"
    assert won.pattern_key == "pm.backtest_result.long.untagged"
    (won, _), _ = trades_of(recognise([path], answers=ImportAnswers(risk_pct=2.0, strategy="S1")))
    assert won.summary["r_multiple"] == pytest.approx(2.0)
    assert won.pattern_key == "pm.s1.long.untagged"


def test_the_names_of_2020_are_read(tmp_path):
    """Between the rows and today's names: profit_percent is a ratio, open_at_end says open."""
    trade = {
        "pair": "ETH/BTC", "profit_percent": 0.0379, "profit_abs": 3.79,
        "open_date": "2018-01-10 07:15:00+00:00", "close_date": "2018-01-10 07:20:00+00:00",
        "open_rate": 100.0, "close_rate": 104.0, "amount": 1.0, "trade_duration": 5,
        "open_fee": 0.001, "close_fee": 0.001, "open_at_end": False, "sell_reason": "roi",
    }  # fmt: skip
    left = {**trade, "pair": "XRP/BTC", "open_at_end": True}
    path = backtest(tmp_path / "b.json", [trade, left], timeframe=None, ticker_interval="5m")
    (found,), report = trades_of(recognise([path]))
    assert report.trades_open == 1
    assert found.summary["return_net_pct"] == pytest.approx(3.79)
    assert found.scope["timeframe"] == "5m"
