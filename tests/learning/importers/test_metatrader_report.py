# ruff: noqa: E501
"""Reports of MetaTrader 5 and 4 as terminals write them, in HTML, workbooks and CSV."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import openpyxl
import pytest

from learning.importers.import_answers import AnswersNeeded, ImportAnswers
from learning.importers.recognition import examine_files, recognise
from tests.learning.importers.source_builders import csv_text, trades_of

SAID = ImportAnswers(time_zone="+02:00")
ACCOUNT = [["Trade History Report"], ["Account:", "", "", "1234 (EUR, Broker-Server, real, Hedge)"]]
POSITIONS = ["Time", "Position", "Symbol", "Type", "Volume", "Price", "S / L", "T / P", "Time",
             "Price", "Commission", "Swap", "Profit"]  # fmt: skip
ORDERS = ["Open Time", "Order", "Symbol", "Type", "Volume", "Price", "S / L", "T / P", "Time",
          "State", "", "Comment"]  # fmt: skip
DEALS = ["Time", "Deal", "Symbol", "Type", "Direction", "Volume", "Price", "Order", "Commission",
         "Fee", "Swap", "Profit", "Balance", "Comment"]  # fmt: skip
GOLD = ["2024.03.01 12:00:00", "101", "XAUUSD", "buy", "0.50", "2 000.00", "2 010.00", "",
        "2024.03.01 15:00:00", "2 020.00", "-3.50", "- 1.50", "1 000.00"]  # fmt: skip
EURO = ["2024.03.04 12:00:00", "102", "EURUSD", "sell", "0.05 / 0.10", "1.10000", "1.10200", "0",
        "2024.03.04 13:00:00", "1.10100", "0.00", "0.00", "- 5.00"]  # fmt: skip
GOLD_ORDER = ["2024.03.01 12:00:00", "101", "XAUUSD", "buy", "0.50 / 0.50", "market", "1 990.00",
              "", "2024.03.01 12:00:00", "filled", "", "Breakout A"]  # fmt: skip


def deal(
    n, order, kind, direction, volume, price, profit, *, day=1, comment="", commission="-2.00"
):
    return [f"2024.03.0{day} 12:00:0{n}", str(n), "XAUUSD", kind, direction, volume, price, order,
            commission, "0.00", "0.00", profit, "1 000.00", comment]  # fmt: skip


BALANCE = ["2024.03.01 00:00:00", "1", "", "balance", "", "", "", "", "0.00", "0.00", "0.00",
           "1 000.00", "1 000.00", "Deposit"]  # fmt: skip
REPORT = [
    *ACCOUNT, ["Positions"], POSITIONS, GOLD, EURO,
    ["", "", "", "", "", "", "", "", "", "", "-3.50", "-1.50", "995.00"],
    ["Orders"], ORDERS, GOLD_ORDER, ["Deals"], DEALS, BALANCE,
    deal(2, "101", "buy", "in", "0.50", "2 000.00", "0.00", comment="Breakout A"),
    ["Open Positions"],
    ["Time", "Position", "Symbol", "Type", "Volume", "Price", "S / L", "T / P", "Market Price",
     "Swap", "Profit", "Comment"],
    ["2024.03.09 12:00:00", "103", "EURUSD", "buy", "0.10", "1.1", "", "", "1.2", "0", "5", ""],
]  # fmt: skip


def html_of(rows, *, encoding="utf-16", hidden=()):
    lines = ["<html><head><style>" + "x" * 300_000 + "</style></head><body><table>"]
    for row in rows:
        cells = [f"<td>{cell}</td>" for cell in row]
        if len(row) == 1:
            cells = [f'<th colspan="14"><div><b>{row[0]}</b></div></th>']
        elif row[0] == "2024.03.01 12:00:00" and hidden and len(row) == 13:
            cells.insert(4, f'<td class="hidden" colspan="8">{hidden}</td>')
        lines.append(f'<tr align="right">{"".join(cells)}</tr>')
    return ("\n".join(lines) + "</table></body></html>").encode(encoding)


def written(folder, shape, rows=REPORT, hidden=()):
    path = folder / f"ReportHistory.{shape}"
    if shape == "html":
        path.write_bytes(html_of(rows, hidden=hidden))
    elif shape == "xlsx":
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(row)
        book.save(path)
    else:
        csv_text(path, "\n".join("\t".join(row) for row in rows))
    return path


@pytest.mark.parametrize("shape", ["html", "xlsx", "csv"])
def test_positions_take_the_opening_orders_stop_and_its_comment(tmp_path, shape):
    path = written(tmp_path, shape)
    found = examine_files([path], answers=SAID)
    assert found.description.startswith("MetaTrader 5 history report")
    trades, report = trades_of(found.source)
    gold, euro = trades
    # the position's own stop had been moved into the profit; the order's was 10 below the entry
    assert gold.summary["r_multiple"] == pytest.approx(2.0)
    assert gold.pattern_key == "pm.mt5.long.breakout_a"
    assert gold.opened_at == datetime(2024, 3, 1, 10, tzinfo=UTC)
    assert gold.summary["pnl_amount"] == pytest.approx(995.0)
    assert gold.summary["return_net_pct"] == pytest.approx(1.0 * 995 / 1000)
    assert gold.summary["currency"] == "EUR"
    assert euro.summary["side"] == "short"
    assert euro.summary["r_multiple"] == pytest.approx(-0.5)
    assert euro.pattern_key == "pm.mt5.short.untagged"
    assert (report.rows_found, report.rows_imported) == (2, 2)


NUMBER = re.compile(r"-? ?[\d ]*\d\.\d+")
SPELLINGS = {
    "a blank before thousands": str.maketrans(".", ","),
    "a point before thousands": {ord("."): ",", ord(" "): "."},
    "an unbreakable blank": {ord("."): ",", ord(" "): "\u202f"},
}


def as_saved_by_a_spreadsheet(cell, spelling, dates):
    """A cell where decimal signs are commas; dates as such a machine shows them, if asked."""
    moment = re.fullmatch(r"(\d{4})\.(\d\d)\.(\d\d) (.*)", cell)
    if moment:
        return "{2}.{1}.{0} {3}".format(*moment.groups()) if dates else cell
    parts = [part.strip() for part in cell.split(" / ")]
    if cell and all(NUMBER.fullmatch(part) for part in parts):
        return " / ".join(part.replace("- ", "-").translate(spelling) for part in parts)
    return cell


@pytest.mark.parametrize("dates", [False, True])
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("rows", ["report", "deals", "statement", "tester"])
def test_a_report_saved_with_decimal_commas_holds_the_same_trades(tmp_path, rows, spelling, dates):
    table = {
        "report": REPORT, "tester": TESTER, "statement": [["X"], STATEMENT_4, SOLD_4],
        "deals": [["Orders"], ORDERS, GOLD_ORDER, ["Deals"], DEALS, BALANCE,
                  deal(2, "101", "buy", "in", "0.50", "2 000.00", "0.00"),
                  deal(3, "104", "sell", "out", "0.50", "2 020.00", "1 000.00")],
    }[rows]  # fmt: skip
    plain = written(tmp_path, "csv", table)
    saved = [
        [as_saved_by_a_spreadsheet(c, SPELLINGS[spelling], dates) for c in row] for row in table
    ]
    width = max(map(len, saved))
    lines = [";".join([*row, *[""] * (width - len(row))]) for row in saved]
    commas = csv_text(tmp_path / "saved.csv", "\n".join(lines), encoding="utf-8-sig")
    (before, report), (after, again) = (
        trades_of(recognise([path], answers=SAID)) for path in (plain, commas)
    )
    assert before
    assert before == after
    assert report.rows_rejected == again.rows_rejected


def test_dates_that_begin_with_their_month_are_read_where_a_person_says_so(tmp_path):
    rows = [
        [re.sub(r"^2024\.(\d\d)\.(\d\d)", r"\1/\2/2024", cell) for cell in row] for row in REPORT
    ]
    path = written(tmp_path, "csv", rows)
    trades, report = trades_of(recognise([path], answers=replace(SAID, date_order="month-first")))
    assert [trade.opened_at.isoformat()[:10] for trade in trades] == ["2024-03-01", "2024-03-04"]
    assert report.rows_rejected == 0


def test_the_hidden_cell_of_a_position_is_its_comment(tmp_path):
    path = written(tmp_path, "html", hidden="Scalper [tp 2020.00]")
    gold, _ = trades_of(recognise([path], answers=SAID))[0]
    assert gold.pattern_key == "pm.mt5.long.scalper"
    assert gold.summary["exit_reason"] == "target"


def test_headers_in_another_language_are_told_by_their_shape(tmp_path):
    words = {"Time": "Время", "Position": "Позиция", "Symbol": "Символ", "Type": "Тип",
             "Volume": "Объем", "Price": "Цена", "Commission": "Комиссия", "Swap": "Своп",
             "Profit": "Прибыль", "Positions": "Позиции", "Orders": "Ордера", "S / L": "S/L",
             "T / P": "T/P", "Open Time": "Время открытия", "Order": "Ордер"}  # fmt: skip
    rows = [[words.get(cell, cell) for cell in row] for row in REPORT]
    trades, _ = trades_of(recognise([written(tmp_path, "html", rows)], answers=SAID))
    assert [t.summary["r_multiple"] for t in trades] == pytest.approx([2.0, -0.5])


def test_the_time_zone_of_the_server_is_asked_for(tmp_path):
    with pytest.raises(AnswersNeeded, match="--time-zone"):
        recognise([written(tmp_path, "html")])


def test_bad_rows_are_rejected_and_cash_is_skipped(tmp_path):
    rows = [
        ["Positions"], POSITIONS, GOLD, GOLD,
        [*EURO[:5], "x", *EURO[6:]], [*EURO[:3], "balance", *EURO[4:]], [*EURO[:8], "soon", *EURO[9:]],
        ["2024.03.04 12:00:00", "9", "EURUSD", "buy", "1", "2"],
    ]  # fmt: skip
    _, report = trades_of(recognise([written(tmp_path, "html", rows)], answers=SAID))
    assert (report.rows_found, report.rows_imported) == (6, 1)
    assert (report.rows_skipped, report.rows_rejected) == (1, 4)


def test_deals_alone_become_round_trips_with_the_stops_of_their_orders(tmp_path):
    rows = [
        *ACCOUNT, ["Orders"], ORDERS, GOLD_ORDER, ["Deals"], DEALS, BALANCE,
        deal(2, "101", "buy", "in", "1.00", "2 000.00", "0.00", comment="Breakout A"),
        deal(3, "104", "sell", "out", "0.50", "2 020.00", "1 000.00", comment="tp"),
        deal(4, "105", "sell", "out", "0.50", "2 010.00", "500.00"),
        deal(5, "106", "sell", "in", "1.00", "2 000.00", "0.00", day=2),
        deal(6, "107", "buy", "in/out", "3.00", "1 990.00", "1 000.00", day=3),
    ]  # fmt: skip
    trades, report = trades_of(recognise([written(tmp_path, "html", rows)], answers=SAID))
    long, short = trades
    assert [action.category for action in long.actions] == ["entry", "trim", "exit"]
    assert long.summary["r_multiple"] == pytest.approx(1.5)  # 15 points on average, 10 at risk
    assert long.summary["pnl_amount"] == pytest.approx(1500 - 6)
    assert long.pattern_key == "pm.mt5.long.breakout_a"
    assert short.summary["return_pct"] == pytest.approx(0.5)
    assert report.trades_open == 1  # what the reversal opened
    assert report.skipped_by_rule["a deposit or another cash flow"] == 1


STATEMENT_HEADER = ["Ticket", "Open Time", "Type", "Size", "Item", "Price", "S / L", "T / P",
                    "Close Time", "Price", "Commission", "Taxes", "Swap", "Profit"]  # fmt: skip


def test_a_statement_of_metatrader_4(tmp_path):
    sold = ["7", "2024.03.01 12:00:00", "sell", "0.20", "gbpusd", "1.25000", "1.25500", "1.24000",
            "2024.03.01 15:00:00", "1.24000", "-1.40", "0.00", "0.00", "200.00"]  # fmt: skip
    cells = "".join(f"<td class=mspt nowrap>{cell}</td>" for cell in sold[1:])
    head = "".join(f"<td>{cell}</td>" for cell in STATEMENT_HEADER)
    text = (
        "<html><title>Statement: 9</title><table><tr><td colspan=2><b>Account: 9</b></td>"
        "<td>Currency: USD</td></tr><tr><td colspan=13><b>Closed Transactions:</b></td></tr>"
        f"<tr>{head}</tr><tr><td title='London[tp]'>7</td>{cells}</tr>"
        "<tr><td>8</td><td>2024.03.01 10:00:00</td><td>balance</td>"
        "<td colspan=10>Deposit</td><td>1 000.00</td></tr>"
        "<tr><td>9</td><td>2024.03.01 10:00:00</td><td>buy limit</td><td>1</td><td>gbpusd</td>"
        "<td>1.2</td><td>0</td><td>0</td><td>2024.03.01 11:00:00</td><td>1.25</td>"
        "<td colspan=4>cancelled</td></tr>"
        "<tr><td colspan=10>&nbsp;</td><td>-1.40</td><td>0</td><td>0</td><td>200.00</td></tr>"
        f"<tr><td colspan=13><b>Open Trades:</b></td></tr><tr>{head.replace('Close Time', '')}</tr>"
        "<tr><td>10</td><td>2024.03.05 10:00:00</td><td>buy</td><td>1</td><td>gbpusd</td>"
        "<td>1.2</td><td>0</td><td>0</td><td></td><td>1.25</td><td>0</td><td>0</td><td>0</td>"
        "<td>5</td></tr></table></html>"
    )
    path = tmp_path / "Statement.htm"
    path.write_text(text)
    (trade,), report = trades_of(recognise([path], answers=SAID))
    assert trade.pattern_key == "pm.mt4.short.london"
    assert trade.summary["exit_reason"] == "target"
    assert trade.summary["r_multiple"] == pytest.approx(2.0)
    assert trade.summary["pnl_amount"] == pytest.approx(198.6)
    assert trade.summary["currency"] == "USD"
    assert (report.rows_found, report.rows_imported, report.rows_skipped) == (3, 1, 2)


JAPANESE = ["時間", "ポジション", "銘柄", "タイプ", "数量", "価格", "決済逆指値(S/L)", "決済指値(T/P)", "時間",
            "価格", "手数料", "スワップ", "損益"]  # fmt: skip
UNKNOWN = ["Aika", "Positio", "Kohde", "Laji", "Määrä", "Hinta", "Raja", "Voitto", "Aika", "Hinta",
           "Palkkio", "Korko", "Tulos"]  # fmt: skip


@pytest.mark.parametrize("header", [JAPANESE, UNKNOWN])
def test_positions_are_told_by_the_price_and_time_that_they_have_twice(tmp_path, header):
    rows = [*ACCOUNT, ["X"], header, GOLD, EURO]
    trades, report = trades_of(recognise([written(tmp_path, "html", rows)], answers=SAID))
    assert [trade.summary["symbol"] for trade in trades] == ["XAUUSD", "EURUSD"]
    assert trades[0].summary["pnl_amount"] == pytest.approx(995.0)
    assert report.rows_rejected == 0


STATEMENT_4 = ["Ticket", "Open Time", "Type", "Size", "Item", "Price", "S / L", "T / P", "Close Time",
               "Price", "Commission", "Taxes", "Swap", "Profit"]  # fmt: skip
SOLD_4 = ["7", "2024.03.01 12:00", "sell", "0.10", "eurusd", "1.10000", "1.10200", "0.00000",
          "2024.03.01 13:00", "1.09900", "-0.70", "0.00", "-0.30", "10.00"]  # fmt: skip


@pytest.mark.parametrize(
    ("header", "row", "pattern"),
    [
        (STATEMENT_4, SOLD_4, "untagged"),
        # an older terminal: a counter before, a comment after, no taxes
        (["N", *STATEMENT_4[:11], *STATEMENT_4[12:], "Comment"],
         ["1", *SOLD_4[:11], *SOLD_4[12:], "Fade[sl]"], "fade"),
    ],
)  # fmt: skip
def test_statements_are_read_whatever_stands_beside_their_cells(tmp_path, header, row, pattern):
    rows = [["Closed Transactions:"], header, row, ["Open Trades:"], header, row]
    (trade,), report = trades_of(recognise([written(tmp_path, "html", rows)], answers=SAID))
    assert trade.summary["r_multiple"] == pytest.approx(0.5)
    assert trade.summary["pnl_amount"] == pytest.approx(9.0)
    assert trade.summary["return_net_pct"] == pytest.approx(trade.summary["return_pct"] * 0.9)
    assert trade.pattern_key == f"pm.mt4.short.{pattern}"
    assert report.rows_found == 1


def test_a_report_as_spreadsheet_xml_is_read_with_its_gaps(tmp_path):
    def cells(row):
        return "".join(
            f'<Cell ss:Index="{place}"><Data ss:Type="String">{cell}</Data></Cell>'
            for place, cell in enumerate(row, start=1)
            if cell
        )

    body = "".join(f"<Row>{cells(row)}</Row>" for row in [["Positions"], POSITIONS, GOLD, EURO])
    path = csv_text(
        tmp_path / "report.xml",
        '<?xml version="1.0"?><Workbook xmlns:ss="urn:schemas-microsoft-com:office:spreadsheet">'
        f"<Worksheet><Table>{body}</Table></Worksheet></Workbook>",
    )
    (gold, euro), _ = trades_of(recognise([path], answers=SAID))
    assert gold.summary["pnl_amount"] == pytest.approx(995.0)
    assert euro.summary["r_multiple"] == pytest.approx(-0.5)


TESTER = [
    ["Symbol", "EURUSD (Euro vs US Dollar)"],
    ["Period", "1 Hour (H1) 2024.03.01 00:00 - 2024.03.08 23:00 (2024.03.01 - 2024.03.09)"],
    ["#", "Time", "Type", "Order", "Size", "Price", "S / L", "T / P", "Profit", "Balance"],
    ["1", "2024.03.01 12:00", "sell", "1", "0.10", "1.10000", "0.00000", "0.00000", ""],
    ["2", "2024.03.01 12:00", "modify", "1", "0.10", "1.10000", "1.10200", "1.09000", ""],
    ["3", "2024.03.01 12:30", "buy stop", "2", "0.10", "1.11000", "1.10500", "1.12000", ""],
    ["4", "2024.03.01 13:00", "modify", "1", "0.10", "1.10000", "1.09950", "1.09000", ""],
    ["5", "2024.03.01 14:00", "t/p", "1", "0.10", "1.09000", "1.09950", "1.09000", "100.00", "10100.00"],
    ["6", "2024.03.01 15:00", "buy", "2", "0.10", "1.11000", "1.10500", "1.12000", ""],
    ["7", "2024.03.01 16:00", "s/l", "2", "0.10", "1.10500", "1.10500", "1.12000", "-50.00", "10050.00"],
    ["8", "2024.03.01 17:00", "buy", "3", "0.10", "1.11000", "1.10500", "1.12000", ""],
    ["9", "2024.03.01 18:00", "close", "9", "0.10", "1.11000", "1.10500", "1.12000", "1", "1"],
]  # fmt: skip


def test_orders_of_a_tester_become_trades_with_their_first_stop(tmp_path):
    path = written(tmp_path, "html", TESTER)
    with pytest.raises(AnswersNeeded, match="--time-zone"):
        recognise([path])
    found = examine_files([path], answers=SAID)
    assert found.understood == ("its head names symbol EURUSD and timeframe 1h",)
    (won, lost), report = trades_of(found.source)
    assert won.summary["r_multiple"] == pytest.approx(5.0)  # 100 points by the first stop's 20
    assert lost.summary["r_multiple"] == pytest.approx(-1.0)
    assert (won.summary["exit_reason"], lost.summary["exit_reason"]) == ("target", "stop_loss")
    assert won.summary["symbol"] == "EURUSD"
    assert won.origin == "backtest"
    assert (report.trades_usable, report.trades_open) == (2, 1)
    assert (report.rows_found, report.rows_imported, report.rows_rejected) == (9, 4, 1)
    assert sum(report.skipped_by_rule.values()) == 4


def test_a_test_of_thousands_of_orders_names_its_expert_and_is_a_backtest(tmp_path):
    orders = [["2024.03.01 12:00:00", str(n), *GOLD_ORDER[2:]] for n in range(300, 4800)]
    rows = [
        ["Strategy Tester Report"], ["Settings"], ["Expert:", "Gold Digger"], ["Symbol:", "XAUUSD"],
        ["Period:", "M15 (2024.01.01 - 2024.03.31)"], ["Currency:", "USD"],
        ["Orders"], ORDERS, GOLD_ORDER, *orders, ["Deals"], DEALS, BALANCE,
        deal(2, "101", "buy", "in", "1.00", "2 000.00", "0.00"),
        deal(3, "104", "sell", "out", "1.00", "2 020.00", "1 000.00"),
    ]  # fmt: skip
    found = examine_files([written(tmp_path, "html", rows)], answers=SAID)
    assert "its expert is Gold Digger" in found.understood
    (trade,), _ = trades_of(found.source)
    assert trade.pattern_key == "pm.gold_digger.long.breakout_a"
    assert trade.scope["timeframe"] == "15m"
    assert trade.origin == "backtest"
    assert trade.summary["r_multiple"] == pytest.approx(2.0)
