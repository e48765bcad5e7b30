# ruff: noqa: E501
"""Lists of trades in every generation and language that was seen, and what becomes of them."""

from __future__ import annotations

from datetime import UTC, datetime

import openpyxl
import pytest

from learning.importers.import_answers import AnswersNeeded, ImportAnswers
from learning.importers.recognition import examine_files, recognise
from tests.learning.importers.source_builders import csv_text, trades_of

OLD = "Trade #,Type,Signal,Date/Time,Price,Contracts,Profit,Profit %,Cum. Profit,Cum. Profit %,Run-up,Run-up %,Drawdown,Drawdown %"
NEW = (
    "Trade #,Type,Date/Time,Signal,Price USD,Position size (qty),Position size (value),Net P&L USD,"
    "Net P&L %,Run-up USD,Run-up %,Drawdown USD,Drawdown %,Cumulative P&L USD,Cumulative P&L %"
)
LATEST = (
    "Trade number,Type,Date and time,Signal,Price USDT,Size (qty),Size (value),Net PnL USDT,"
    "Return %,Commission USDT,Favorable excursion USDT,Favorable excursion %,"
    "Adverse excursion USDT,Adverse excursion %,Cumulative PnL USDT,Cumulative PnL %,"
    "Duration (bars)"
)
CHINESE = "交易 #,類型,日期/時間,訊號,價格 USD,持倉大小(數量),持倉大小(值),淨損益 USD,淨損益 %,上漲幅度 USD,上漲幅度 %,回撤 USD,回撤 %,累積損益 USD,累積損益 %"
RUSSIAN = "№ Сделки;Тип;Дата и время;Сигнал;Цена USDT;Размер (кол-во);Размер (значение);Чистые ПР/УБ USDT;Чистые ПР/УБ %;Взлет USDT;Взлет %;Просадка USDT;Просадка %;Совокупные ПР/УБ USDT;Совокупные ПР/УБ %"
SAID = ImportAnswers(symbol="BTCUSDT", time_zone="UTC")


def two_rows(entry, exit_row, *, number=1, rest="10,1000,20,2.0,30,3.0,-10,-1.0,20,0.2"):
    return f"{number},{entry},{rest}\n{number},{exit_row},{rest}\n"


def list_file(folder, header, body, name="My_List.csv", encoding="utf-8"):
    return csv_text(folder / name, f"{header}\n{body}", encoding)


def summaries(path, answers=SAID):
    trades, report = trades_of(recognise([path], answers=answers))
    return [trade.summary for trade in trades], trades, report


def test_the_three_generations_say_the_same_of_the_same_trade(tmp_path):
    old = list_file(
        tmp_path, OLD,
        "1,Entry Long,Buy,2024-03-01 10:00,100,10,20,2.0,20,0.2,30,3.0,10,1.0\n"
        "1,Exit Long,Sell,2024-03-01 14:00,102,10,20,2.0,20,0.2,30,3.0,10,1.0\n",
    )  # fmt: skip
    new = list_file(
        tmp_path, NEW,
        two_rows("Exit long,2024-03-01 14:00,Sell,102", "Entry long,2024-03-01 10:00,Buy,100"),
        name="b.csv", encoding="utf-8-sig",
    )  # fmt: skip
    latest = list_file(
        tmp_path, LATEST,
        two_rows(
            "Exit long,2024-03-01 14:00,Sell,102", "Entry long,2024-03-01 10:00,Buy,100",
            rest="10,1000,20,2.0,0.5,30,3.0,-10,-1.0,20,0.2,4",
        ),
        name="c.csv",
    )  # fmt: skip
    found = [summaries(path)[0] for path in (old, new, latest)]
    for (summary,) in found:
        assert summary["return_pct"] == pytest.approx(2.0)
        assert summary["return_net_pct"] == 2.0
        assert summary["rr_path"] == 2.0  # 2 % by an adverse excursion of 1 %
        assert summary["max_drawdown_pct"] == 1.0
        assert summary["pnl_amount"] == 20.0
        assert summary["exit_reason"] == "Sell"
    assert [s["currency"] for (s,) in found[1:]] == ["USD", "USDT"]


@pytest.mark.parametrize(
    ("header", "types", "decimal"),
    [
        (CHINESE, ("空頭進場", "空頭出場"), "."),
        (RUSSIAN, ("Вход в короткую позицию", "Выход из короткой позиции"), ","),
        (NEW.replace("Trade #", "№ X").replace("Type", "Art"), ("Entry Short", "EXIT SHORT"), "."),
    ],
)
def test_headers_and_labels_in_other_languages(tmp_path, header, types, decimal):
    rows = two_rows(f"{types[0]},2024-03-01 10:00,S,100.5", f"{types[1]},2024-03-01 11:00,X,99.5")
    if decimal == ",":
        rows = rows.replace(",", ";").replace(".", ",")
    (summary,), trades, _ = summaries(list_file(tmp_path, header, rows))
    assert summary["side"] == "short"
    assert summary["return_pct"] == pytest.approx(100 * 1.0 / 100.5)
    assert trades[0].pattern_key == "pm.my_list.short.s"


def test_unknown_words_are_told_by_what_the_rows_do(tmp_path):
    body = "".join(
        two_rows(f"AA,2024-03-0{n} 10:00,S,100", f"BB,2024-03-0{n} 11:00,X,102", number=n)
        for n in (1, 2, 3)
    )
    header = NEW.replace("Trade #", "Q").replace("Type", "Q1").replace("Signal", "Q2")
    found, _, report = summaries(list_file(tmp_path, header, body))
    assert [s["side"] for s in found] == ["long"] * 3
    assert report.rows_rejected == 0


def test_signs_and_groups_of_numbers_are_read(tmp_path):
    rest = '"1,000","1,250,500.25",\u2212250.5,\u22120.25,"1,100.5",0.5,"(1,500)",1.25,—,—'
    rows = two_rows(
        'Entry short,2024-03-01 10:00,S,"42,150.5"',
        'Exit short,2024-03-01 11:00,X,"42,255.876"',
        rest=rest,
    )
    (summary,), _, _ = summaries(list_file(tmp_path, NEW, rows))
    assert summary["entry_price"] == 42150.5
    assert summary["pnl_amount"] == -250.5
    assert summary["rr_path"] == pytest.approx(-0.25 / 1.25)


def test_open_trades_are_skipped_and_rows_add_up(tmp_path):
    body = (
        two_rows("Exit long,2024-03-01 14:00,Sell,102", "Entry long,2024-03-01 10:00,Buy,100")
        + two_rows("Entry long,2024-03-02 10:00,Buy,100", "Exit long,Open,,", number=2)
        + two_rows("Entry long,2024-03-03 10:00,Buy,100", "Exit long,2024-03-03 11:00,Open,101", number=3)
        + "4,Entry long,2024-03-04 10:00,Buy,100,1,1,,,,,,,,\n"
        + "5,Exit long,2024-03-04 12:00,Sell,100,1,1,,,,,,,,\n"
        + "6,Deposit,2024-03-04 12:00,Sell,100,1,1,,,,,,,,\n"
    )  # fmt: skip
    _, _, report = summaries(list_file(tmp_path, NEW, body))
    assert (report.trades_usable, report.trades_open) == (1, 3)
    assert (report.rows_found, report.rows_imported) == (9, 2)
    assert report.skipped_by_rule == {"still open": 5}
    assert sorted(row.row for row in report.rejected_rows) == [9, 10]


def test_pyramided_entries_add_and_all_but_the_last_exit_trim(tmp_path):
    body = (
        two_rows("Entry long,2024-03-01 10:00,Buy,100", "Exit long,2024-03-01 20:00,All,103")
        + two_rows("Entry long,2024-03-01 12:00,More,101", "Exit long,2024-03-01 18:00,Part,104", number=2)
        + two_rows("Entry long,2024-03-01 20:00,Buy,103", "Exit long,2024-03-02 20:00,All,104", number=3)
    )  # fmt: skip
    _, trades, _ = summaries(list_file(tmp_path, NEW, body))
    told = {t.trade_id: [a.category for a in t.actions] for t in trades}
    assert told == {"1": ["entry", "exit"], "2": ["add", "trim"], "3": ["entry", "exit"]}


def test_parts_of_one_entry_are_entries_and_their_first_exits_trims(tmp_path):
    body = (
        two_rows("Entry long,2024-03-01 10:00,Buy,100", "Exit long,2024-03-01 12:00,TP1,101")
        + two_rows("Entry long,2024-03-01 10:00,Buy,100", "Exit long,2024-03-01 14:00,TP2,102", number=2)
    )  # fmt: skip
    _, trades, _ = summaries(list_file(tmp_path, NEW, body))
    assert [[a.category for a in t.actions] for t in trades] == [
        ["entry", "trim"],
        ["entry", "exit"],
    ]


def test_only_what_is_lacking_is_asked_for(tmp_path):
    rows = two_rows("Entry long,2024-03-01 10:00,B,100", "Exit long,2024-03-01 11:00,S,101")
    nameless = list_file(tmp_path, NEW, rows, name="list.csv")
    found = examine_files([nameless])
    assert found.source is None
    assert [option.name for option in found.missing] == ["symbol", "time_zone"]
    with pytest.raises(AnswersNeeded, match=r"--symbol SYMBOL.*--time-zone Europe/Athens"):
        recognise([nameless])
    offset = rows.replace("10:00", "10:00:00-0500").replace("11:00", "11:00:00-0500")
    named = list_file(tmp_path, NEW, offset, name="SuperTrend_BINANCE_ETHUSDT.P_2024-05-01.csv")
    found = examine_files([named])
    assert found.missing == ()
    trades, _ = trades_of(found.source)
    assert trades[0].summary["symbol"] == "ETHUSDT.P"
    assert trades[0].pattern_key == "pm.supertrend.long.b"
    assert trades[0].opened_at == datetime(2024, 3, 1, 15, tzinfo=UTC)


def test_a_fixed_risk_gives_r_under_its_own_name_beside_the_path(tmp_path):
    rows = two_rows("Entry long,2024-03-01 10:00,B,100", "Exit long,2024-03-01 11:00,S,102")
    path = list_file(tmp_path, NEW, rows)
    by_share = ImportAnswers(symbol="X", time_zone="UTC", risk_pct=0.5)
    (summary,), trades, report = summaries(path, by_share)
    assert summary["r_multiple"] == pytest.approx(4.0)
    assert summary["rr_kind"] == "r_fixed_risk+rr_path"
    assert report.rr_kinds == {"r_fixed_risk": 1, "rr_path": 1}
    assert trades[0].no_risk is None
    by_money = ImportAnswers(symbol="X", time_zone="UTC", risk_amount=10.0)
    (summary,), _, _ = summaries(path, by_money)
    assert summary["r_multiple_net"] == 2.0  # 20 won, 10 at risk
    (summary,), trades, report = summaries(path)
    assert "r_multiple" not in summary
    assert trades[0].no_risk == "no initial stop"
    assert report.rr_kinds == {"rr_path": 1}


def test_a_longer_list_holds_the_same_trades_under_the_same_keys(tmp_path):
    first = two_rows("Entry long,2024-03-01 10:00,B,100", "Exit long,2024-03-01 11:00,S,102")
    second = two_rows(
        "Entry long,2024-03-02 10:00,B,100", "Exit long,2024-03-02 11:00,S,99", number=2
    )
    path = list_file(tmp_path, NEW, first)
    before = {strand.strand_key for strand in recognise([path], answers=SAID).read()}
    path = list_file(tmp_path, NEW, second + first)
    after = {strand.strand_key for strand in recognise([path], answers=SAID).read()}
    assert before < after
    assert len(after) == 2 * len(before)


def test_a_timeframe_that_all_times_fit_on_is_suggested(tmp_path):
    body = "".join(
        two_rows(
            f"Entry long,2024-03-{day:02} 10:15,B,100",
            f"Exit long,2024-03-{day:02} 1{day % 10}:00,S,101"
            if day % 10
            else f"Exit long,2024-03-{day:02} 12:30,S,101",
            number=day,
        )
        for day in range(1, 20)
    )
    found = examine_files([list_file(tmp_path, NEW, body)], answers=SAID)
    (option,) = [option for option in found.options if option.name == "timeframe"]
    assert option.suggestion == "15m"


JAPANESE = (
    "トレード番号,タイプ,日時,シグナル,価格 JPY,サイズ (数量),サイズ (金額),純損益 JPY,純損益 %,最大順行幅 JPY,"
    "最大順行幅 %,最大逆行幅 JPY,最大逆行幅 %,累積損益 JPY,累積損益 %"
)
CHINESE_2026 = (
    "交易编号,类型,日期和时间,信号,价格 CNY,大小（数量）,大小（价值）,净损益 CNY,回报 %,手续费 CNY,有利波动 CNY,"
    "有利波动 %,不利波动 CNY,不利波动 %,累计损益 CNY,累计损益 %,持续时间（K线）"
)
BETWEEN = (  # the names of two generations in one header
    "Trade #,Type,Date and time,Signal,Price USD,Position size (qty),Position size (value),"
    "Net P&L USD,Net P&L %,Favorable excursion USD,Favorable excursion %,Adverse excursion USD,"
    "Adverse excursion %,Cumulative P&L USD,Cumulative P&L %"
)
GERMAN = (
    "Trade #,Typ,Datum und Uhrzeit,Signal,Preis USD,Größe (Menge),Größe (Wert),G&V netto USD,"
    "G&V netto %,Positive Exkursion USD,Positive Exkursion %,Negative Exkursion USD,"
    "Negative Exkursion %,Kumulativer G&V USD,Kumulativer G&V %"
)
SPANISH = (
    "Trade number,Tipo,Fecha y hora,Señal,Precio USD,Tamaño (cant.),Tamaño de la posición (valor),"
    "PyG netas USD,PyG netas %,Desviación favorable USD,Desviación favorable %,"
    "Desviación adversa USD,Desviación adversa %,PyG acumuladas USD,PyG acumuladas %"
)
HUNGARIAN = (  # no language that is known here: every column is told by its place
    "Ügylet száma,Típus,Dátum és idő,Jel,Ár EUR,Méret (db),Méret (érték),Nettó eredmény EUR,Hozam %,"
    "Jutalék EUR,Kedvező kilengés EUR,Kedvező kilengés %,Kedvezőtlen kilengés EUR,"
    "Kedvezőtlen kilengés %,Göngyölt eredmény EUR,Göngyölt eredmény %,Hossz (gyertya)"
)


@pytest.mark.parametrize(
    ("header", "labels", "currency"),
    [
        (JAPANESE, ("ロングエントリー", "ロング決済"), "JPY"),
        (CHINESE_2026, ("多头进场", "多头出场"), "CNY"),
        (BETWEEN, ("Entry long", "Exit long"), "USD"),
        (GERMAN, ("Long-Einstieg", "Long-Ausstieg"), "USD"),
        (SPANISH, ("Entrada en largo", "Salida en largo"), "USD"),
        (HUNGARIAN, ("Vétel be", "Vétel ki"), "EUR"),
    ],
)
def test_every_value_is_found_in_headers_that_were_seen_elsewhere(
    tmp_path, header, labels, currency
):
    rest = "10,1000,20,2.0,30,3.0,-10,-1.0,20,0.2"
    if "Commission" in header or "手续费" in header or "Jutalék" in header:
        rest = "10,1000,20,2.0,0.5,30,3.0,-10,-1.0,20,0.2,4"
    entry, exit_row = (
        f"{label},2024-03-01 1{hour}:00,S,{price}"
        for label, hour, price in zip(labels, (0, 4), (100, 102), strict=True)
    )
    body = "".join(two_rows(exit_row, entry, number=n, rest=rest) for n in (1, 2))
    found, _, report = summaries(list_file(tmp_path, header, body))
    assert report.rows_rejected == 0
    for summary in found:
        assert summary["side"] == "long"
        assert summary["rr_path"] == 2.0
        assert summary["max_drawdown_pct"] == 1.0
        assert summary["return_net_pct"] == 2.0
        assert summary["pnl_amount"] == 20.0
        assert summary["currency"] == currency


def test_columns_told_by_their_place_are_named(tmp_path):
    body = two_rows("Vétel ki,2024-03-01 14:00,X,102", "Vétel be,2024-03-01 10:00,B,100", rest="1,1,2,2.0,0,3,3.0,-1,-1.0,2,2,4")  # fmt: skip
    said = examine_files([list_file(tmp_path, HUNGARIAN, body)], answers=SAID).understood
    assert "drawdown_pct: Kedvezőtlen kilengés %" in " ".join(said)


def test_an_order_of_columns_of_its_own_is_read_by_names_alone(tmp_path):
    header = "Trade #,Type,Date/Time,Signal,Price,Drawdown %,Net P&L %,Run-up %,Cumulative P&L %,X"
    rows = two_rows("Entry long,2024-03-01 10:00,B,100", "Exit long,2024-03-01 11:00,S,102",
                    rest="-1.0,2.0,3.0,0.2,7")  # fmt: skip
    (summary,), _, _ = summaries(list_file(tmp_path, header, rows))
    assert summary["rr_path"] == 2.0


@pytest.mark.parametrize(
    ("dates", "order"),
    [
        (("2024/3/1 9:05", "2024/3/1 10:00"), None),  # as spreadsheets save them in China
        (("1/3/2024 9:05", "31/3/2024 10:00"), None),  # the other row tells that days come first
        (("3/1/2024 9:05 AM", "3/1/2024 10:00 AM"), "month-first"),
    ],
)
def test_dates_that_a_spreadsheet_rewrote_are_read(tmp_path, dates, order):
    rows = two_rows(f"Entry long,{dates[0]},B,100", f"Exit long,{dates[1]},S,102")
    path = list_file(tmp_path, NEW, rows)
    answers = ImportAnswers(symbol="X", time_zone="UTC", date_order=order)
    _, trades, _ = summaries(path, answers)
    assert trades[0].opened_at == datetime(2024, 3, 1, 9, 5, tzinfo=UTC)


def test_dates_that_can_be_read_two_ways_are_asked_about(tmp_path):
    rows = two_rows("Entry long,3/1/2024 9:05,B,100", "Exit long,3/1/2024 10:00,S,102")
    found = examine_files([list_file(tmp_path, NEW, rows)], answers=SAID)
    assert [option.name for option in found.missing] == ["date_order"]


def test_a_list_of_days_needs_no_time_zone(tmp_path):
    rows = two_rows("Entry long,2024-03-01,B,100", "Exit long,2024-03-04,S,102")
    found = examine_files([list_file(tmp_path, NEW, rows)], answers=ImportAnswers(symbol="X"))
    assert found.missing == ()
    assert not any("offset" in sentence for sentence in found.understood)


def test_an_exit_without_a_price_is_a_trade_that_is_still_open(tmp_path):
    rows = two_rows("Entry long,2024-03-01 10:00,B,100", "Exit long,en cours,,", rest=",,,,,,,,,")
    _, _, report = summaries(list_file(tmp_path, NEW, rows))
    assert (report.trades_open, report.rows_rejected) == (1, 0)


def test_a_workbook_names_its_symbol_and_timeframe_on_another_sheet(tmp_path):
    book = openpyxl.Workbook()
    book.active.title = "Performance"
    book.active.append(["", "All USD", "All %", "Long USD", "Long %", "Short USD", "Short %"])
    listed = book.create_sheet("List of trades")
    listed.append(NEW.split(","))
    for label, moment, price in (
        ("Entry long", datetime(2024, 3, 1, 10), 100),  # noqa: DTZ001 (as a workbook has it)
        ("Exit long", datetime(2024, 3, 1, 14), 102),  # noqa: DTZ001
    ):
        listed.append([1, label, moment, "S", price, 10, 1000, 20, 2, 30, 3, -10, -1, 20, 0.2])
    said = book.create_sheet("Properties")
    for row in (["Symbol", "OANDA:EURUSD"], ["Timeframe", "4 hours"], ["RSI length", 14]):
        said.append(row)
    book.save(tmp_path / "export.xlsx")
    found = examine_files([tmp_path / "export.xlsx"], answers=ImportAnswers(time_zone="UTC"))
    assert found.missing == ()
    (trade,), _ = trades_of(found.source)
    assert trade.summary["symbol"] == "EURUSD"
    assert trade.scope["timeframe"] == "4h"
    assert trade.summary["rr_path"] == 2.0


@pytest.mark.parametrize(
    ("header", "labels", "page"),
    [
        (JAPANESE, ("ロングエントリー", "ロング決済"), "cp932"),
        (CHINESE_2026.replace("（", "(").replace("）", ")"), ("多头进场", "多头出场"), "gb18030"),
        (RUSSIAN.replace(";", ","), ("Вход в длинную позицию", "Выход из длинной позиции"), "cp1251"),
        (SPANISH, ("Entrada en largo", "Salida en largo"), "cp1252"),
    ],
)  # fmt: skip
def test_a_list_that_a_spreadsheet_saved_in_its_code_page_is_read(tmp_path, header, labels, page):
    rest = "10,1000,20,2.0,30,3.0,-10,-1.0,20,0.2"
    if "手续费" in header:
        rest = "10,1000,20,2.0,0.5,30,3.0,-10,-1.0,20,0.2,4"
    rows = two_rows(f"{labels[0]},2024-03-01 10:00,S,100", f"{labels[1]},2024-03-01 14:00,S,102", rest=rest)  # fmt: skip
    (summary,), _, _ = summaries(list_file(tmp_path, header, rows, encoding=page))
    assert (summary["side"], summary["rr_path"]) == ("long", 2.0)
