"""One account that was exported twice: its trades are found, whatever the exports are called."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest
import sqlalchemy as sa

from learning.errors import ImportRefused
from learning.events.strands import Strand
from learning.importers.import_answers import ImportAnswers
from learning.importers.known_trades import known_elsewhere
from learning.importers.recognition import recognise
from learning.importers.store_import import store_import
from learning.store import strand_rows
from learning.store.schema import ad_strands
from tests.learning.importers.source_builders import (
    BACKTEST_TRADE,
    POSITION,
    backtest,
    csv_text,
    database,
)

HEADER = "id,symbol,side,entry_time,exit_time,entry_price,exit_price,stop\n"
ROW = "{n},ETH/USDT,long,2024-10-{n} 08:10:42,2024-10-{n} 09:10:42,100,{price},95\n"


def table(folder, name, days, *, price=104.0):
    body = "".join(ROW.format(n=n, price=price) for n in days)
    path = csv_text(folder / f"{name}.csv", HEADER + body)
    return recognise([path], answers=ImportAnswers(time_zone="UTC"))


def stored(connection, source, **options):
    return store_import(connection, source, imported_by="ada", **options)


def closes(connection):
    kind = ad_strands.c.kind == "position_closed"
    return connection.scalar(sa.select(sa.func.count()).select_from(ad_strands).where(kind))


def test_overlapping_exports_under_two_names_are_refused_by_their_trades(connection, tmp_path):
    stored(connection, table(tmp_path, "october", range(10, 20)))
    later = table(tmp_path, "late", range(15, 25))  # another first trade: its identity is another
    with pytest.raises(ImportRefused) as refused:
        stored(connection, later)
    said = str(refused.value)
    assert said.startswith("5 of 10 trades are known already, as trades of 'october' (5)")
    assert "such as ETH/USDT of 2024-10-15T08:10" in said
    assert "--known skip" in said
    assert "--known twice" in said
    assert closes(connection) == 10


def test_what_is_known_is_left_out_where_a_person_says_so_and_the_books_still_balance(
    connection, tmp_path
):
    stored(connection, table(tmp_path, "october", range(10, 20)))
    result = stored(connection, table(tmp_path, "late", range(15, 25)), known="skip")
    assert closes(connection) == 15
    report = result.report
    assert (report.trades_found, report.trades_usable) == (5, 5)
    assert report.rows_found == report.rows_imported + report.rows_skipped + report.rows_rejected
    assert report.rows_skipped == 5
    assert "known as a trade of another bot" in "".join(report.skipped_by_rule)
    again = stored(connection, table(tmp_path, "late", range(15, 25)), known="skip")
    assert again.appended == 0


def test_where_nothing_else_is_in_it_there_is_nothing_to_import(connection, tmp_path):
    stored(connection, table(tmp_path, "october", range(10, 20)))
    with pytest.raises(ImportRefused, match="nothing is new: 3 of 3 trades are known already"):
        stored(connection, table(tmp_path, "late", range(15, 18)), known="skip")


def test_trades_of_their_own_are_counted_where_a_person_says_so(connection, tmp_path):
    stored(connection, table(tmp_path, "october", range(10, 20)))
    assert stored(connection, table(tmp_path, "late", range(15, 25)), known="twice").appended == 20
    assert closes(connection) == 20


@pytest.mark.parametrize(("price", "n"), [(104.0000001, 5), (104.1, 0)])
def test_trades_at_the_same_time_with_other_prices_are_others(connection, tmp_path, price, n):
    stored(connection, table(tmp_path, "october", range(10, 20)))
    late = table(tmp_path, "late", range(15, 25), price=price)
    found = known_elsewhere(connection, late.name, late.examine())
    assert (found.n_trades if found else 0) == n


def test_the_same_account_in_another_format_is_known(connection, tmp_path):
    at = {"open_date": "2024-10-15 08:10:42.9", "close_date": "2024-10-15 09:10:42.1"}
    stored(connection, recognise([database(tmp_path / "bot.sqlite", [{**POSITION, **at}])]))
    with pytest.raises(ImportRefused, match=r"1 of 10 trades are known already.*'bot' \(1\)"):
        stored(connection, table(tmp_path, "late", range(15, 25)))


def test_fills_of_a_trade_are_known_as_the_trade_that_they_make(connection, tmp_path):
    stored(connection, table(tmp_path, "october", range(10, 20)))
    fills = csv_text(
        tmp_path / "fills.csv",
        "time,symbol,side,qty,price\n2024-10-15 08:10:42,ETHUSDT,buy,1,100\n"
        "2024-10-15 09:10:42,ETHUSDT,sell,1,104\n2024-11-15 09:10:42,ETHUSDT,buy,1,104\n"
        "2024-11-16 09:10:42,ETHUSDT,sell,1,105\n",
    )
    source = recognise([fills], answers=ImportAnswers(time_zone="UTC"))
    with pytest.raises(ImportRefused, match="1 of 2 trades are known already"):
        stored(connection, source)
    report = stored(connection, source, known="skip").report
    assert (report.rows_found, report.rows_imported, report.rows_skipped) == (4, 2, 2)


def test_what_a_bot_recorded_itself_is_known(connection, tmp_path):
    summary = {"symbol": "ETH/USDT:USDT", "side": "long", "entry_price": 100.0, "exit_price": 104.0,
               "opened_at": "2024-10-15T10:10:42.5+02:00", "closed_at": "2024-10-15T09:10:42Z",
               "r_multiple": 0.8}  # fmt: skip
    broken = {"trade_summary": "none", "entry_context": []}
    for content in ({"trade_id": "1", "trade_summary": summary}, broken):
        strand = Strand(uuid4(), "position_closed", "pm", "recorder", "live", content, None, "1")
        strand_rows.append(connection, [strand])
    with pytest.raises(ImportRefused, match=r"trades of 'recorder' \(1\)"):
        stored(connection, table(tmp_path, "late", range(15, 25)))


def test_two_strategies_that_do_the_same_in_a_backtest_are_two(connection, tmp_path):
    """Candles give both the same prices; of live accounts nobody sees that by chance."""
    stored(connection, recognise([backtest(tmp_path / "a.json", [BACKTEST_TRADE], strategy="A")]))
    stored(connection, recognise([backtest(tmp_path / "b.json", [BACKTEST_TRADE], strategy="B")]))
    assert closes(connection) == 2


def test_what_tells_trades_apart_is_not_kept_with_the_report(connection, tmp_path):
    report = table(tmp_path, "october", range(10, 20)).examine()
    assert len(report.prints) == 10
    assert "prints" not in json.loads(json.dumps(report.as_json()))
