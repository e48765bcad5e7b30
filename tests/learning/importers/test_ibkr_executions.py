# ruff: noqa: E501
"""Executions of Interactive Brokers in its three reports."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from learning.errors import ImportRefused
from learning.importers.import_answers import ImportAnswers
from learning.importers.recognition import recognise
from tests.learning.importers.source_builders import csv_text, trades_of

HEADER = (
    "ClientAccountID,CurrencyPrimary,AssetClass,Symbol,Conid,Multiplier,TradeID,OrderReference,"
    "DateTime,Quantity,TradePrice,Taxes,IBCommission,IBCommissionCurrency,Open/CloseIndicator,"
    "Buy/Sell,IBOrderID,LevelOfDetail"
)
ROWS = [
    "U1,USD,STK,AAPL,265598,1,t1,breakout,20240105;103102,100,180.00,0,-1.00,USD,O,BUY,o1,EXECUTION",
    "U1,USD,STK,AAPL,265598,1,,breakout,20240105;103102,100,180.00,0,-1.00,USD,O,BUY,o1,ORDER",
    "U1,USD,STK,AAPL,265598,1,t2,breakout,20240105;113102,-100,183.60,0,-1.50,USD,C,SELL,o2,EXECUTION",
    "U1,USD,FUT,ESH4,551601,50,t3,fade,20240108;093000,-2,4800,0,-4,USD,O,SELL,o3,EXECUTION",
    "U1,USD,FUT,ESH4,551601,50,t4,fade,20240108;100000,3,4790,0,-6,USD,C;O,BUY,o4,EXECUTION",
    "U1,EUR,STK,SAP,1234,1,t5,x,20240108;100000,-5,150,0,-1,EUR,C,SELL,o5,EXECUTION",
]


def flex_csv(folder, rows=ROWS):
    return csv_text(folder / "flex.csv", "\n".join([HEADER, *rows]) + "\n")


def flex_xml(folder, rows=ROWS):
    names = [n.replace("/", "") for n in HEADER.split(",")]
    names = [n[0].lower() + n[1:] for n in names]
    tags = []
    for row in rows:
        told = " ".join(f'{n}="{v}"' for n, v in zip(names, row.split(","), strict=True))
        tags.append(f"<Trade {told} />")
    body = "\n".join(tags)
    return csv_text(
        folder / "flex.xml",
        '<?xml version="1.0"?><FlexQueryResponse queryName="q"><FlexStatements count="1">'
        f'<FlexStatement accountId="U1"><Trades>{body}</Trades></FlexStatement></FlexStatements>'
        "</FlexQueryResponse>",
    )


@pytest.mark.parametrize("made", [flex_csv, flex_xml])
def test_executions_become_round_trips_and_summaries_are_skipped(tmp_path, made):
    trades, report = trades_of(recognise([made(tmp_path)]))
    by_symbol = {trade.summary["symbol"]: trade for trade in trades}
    apple, future = by_symbol["AAPL"], by_symbol["ESH4"]
    assert apple.summary["pnl_amount"] == pytest.approx(360 - 2.5, abs=0.005)
    assert apple.summary["return_net_pct"] == pytest.approx(357.5 / 18000 * 100)
    assert apple.opened_at == datetime(2024, 1, 5, 15, 31, 2, tzinfo=UTC)  # New York, in winter
    assert apple.pattern_key == "pm.ibkr.long.breakout"
    # two of the three contracts bought closed the short, with their share of the commission
    assert future.summary["pnl_amount"] == pytest.approx(2 * 10 * 50 - 4 - 4, abs=0.005)
    assert report.rows_found == 6
    assert report.skipped_by_rule == {
        "a row of another level of detail": 1,
        "closes what was open before the first fill": 1,
    }
    assert report.trades_open == 1
    assert not any("U1" in str(trade) for trade in trades)


def test_a_repeated_header_begins_the_next_account(tmp_path):
    other = [row.replace("U1,", "U2,").replace(",t", ",s") for row in ROWS[:3]]
    trades, report = trades_of(recognise([flex_csv(tmp_path, [*ROWS[:3], HEADER, *other])]))
    assert len(trades) == 2
    assert report.rows_found == 6


STATEMENT = """Statement,Header,Field Name,Field Value
Statement,Data,BrokerName,Interactive Brokers LLC
Account Information,Data,Account,U1
Trades,Header,DataDiscriminator,Asset Category,Currency,Symbol,Date/Time,Quantity,T. Price,C. Price,Proceeds,Comm/Fee,Basis,Realized P/L,Code
Trades,Data,Order,Stocks,USD,AAPL,"2024-01-05, 10:31:02","1,000",180,181,-180000,-5,180005,0,O;P
Trades,Data,Order,Stocks,USD,AAPL,"2024-01-05, 11:31:02","-1,000",181,181,181000,-6,-180005,989,C
Trades,Data,Order,Equity and Index Options,USD,SPY 19JAN24 470 C,"2024-01-05, 11:31:02",2,3.5,3.5,-700,-1.4,701.4,0,O
Trades,Data,Order,Equity and Index Options,USD,SPY 19JAN24 470 C,"2024-01-05, 12:31:02",-2,4.0,4.0,800,-1.4,-701.4,97.2,C
Trades,SubTotal,,Stocks,USD,AAPL,,0,,,1000,-11,0,989,
"""


def test_an_activity_statement_gives_the_same_round_trips_as_its_own_profit(tmp_path):
    path = csv_text(tmp_path / "activity.csv", STATEMENT)
    trades, report = trades_of(recognise([path]))
    profits = {t.summary["symbol"]: t.summary["pnl_amount"] for t in trades}
    # the statement's realised profit of each, to the cent
    assert profits == {
        "AAPL": pytest.approx(989, abs=0.005),
        "SPY 19JAN24 470 C": pytest.approx(97.2, abs=0.005),
    }
    assert (report.rows_found, report.rows_imported) == (4, 4)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("2024-01-05;10:31:02", datetime(2024, 1, 5, 15, 31, 2, tzinfo=UTC)),
        ("2024-01-05, 10:31:02 EST", datetime(2024, 1, 5, 15, 31, 2, tzinfo=UTC)),
        ("01/25/2024;103102", datetime(2024, 1, 25, 15, 31, 2, tzinfo=UTC)),
        ("25/01/2024 10:31:02", datetime(2024, 1, 25, 15, 31, 2, tzinfo=UTC)),
        ("25-Jan-24;103102", datetime(2024, 1, 25, 15, 31, 2, tzinfo=UTC)),
    ],
)
def test_dates_in_the_forms_that_a_query_offers(tmp_path, said, expected):
    rows = [ROWS[0].replace("20240105;103102", f'"{said}"')]
    rows.append(ROWS[2].replace("20240105;113102", "20240301;113102"))
    (trade,), _ = trades_of(recognise([flex_csv(tmp_path, rows)]))
    assert trade.opened_at == expected


def test_a_date_with_two_readings_is_rejected(tmp_path):
    rows = [ROWS[0].replace("20240105", "03/04/2024"), ROWS[2]]
    _, report = trades_of(recognise([flex_csv(tmp_path, rows)]))
    assert "choose yyyyMMdd" in report.rejected_rows[0].rule


def test_a_named_zone_is_before_new_york(tmp_path):
    path = flex_csv(tmp_path, [ROWS[0], ROWS[2]])
    (trade,), _ = trades_of(recognise([path], answers=ImportAnswers(time_zone="UTC")))
    assert trade.opened_at == datetime(2024, 1, 5, 10, 31, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    "declared",
    [
        '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>',
        '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>',
    ],
)
def test_xml_that_declares_entities_is_refused(tmp_path, declared):
    path = flex_xml(tmp_path)
    text = path.read_text().replace("<FlexQueryResponse", declared + "<FlexQueryResponse", 1)
    path.write_text(text)
    with pytest.raises(ImportRefused, match="declares XML entities"):
        trades_of(recognise([path]))


GERMAN = """Übersicht,Header,Feldname,Feldwert
Übersicht,Data,BrokerName,Interactive Brokers
Transaktionen,Header,DataDiscriminator,Vermögenskategorie,Währung,Symbol,Datum/Zeit,Menge,T.-Kurs,Schlusskurs,Erlös,Prov./Gebühr,Basis,Realisierter G&V,MTM-G&V,Code
Transaktionen,Data,Order,Aktien,USD,AAPL,"2024-01-05, 10:31:02","1,000",180,181,"-180,000",-1,"180,001",0,0,O
Transaktionen,Data,Order,Aktien,USD,AAPL,"2024-01-05, 11:31:02","-1,000",183.6,181,"183,600",-1.5,"-180,001",3597.5,0,C
Transaktionen,SubTotal,,Aktien,USD,AAPL,,0,,,3600,-2.5,0,3597.5,0,
Zinsen,Header,Währung,Datum,Beschreibung,Betrag
"""


def test_a_statement_in_another_language_is_told_by_the_places_of_its_columns(tmp_path):
    path = csv_text(tmp_path / "activity.csv", GERMAN)
    (trade,), report = trades_of(recognise([path]))
    assert trade.summary["pnl_amount"] == pytest.approx(3600 - 2.5)
    assert trade.summary["symbol"] == "AAPL"
    assert (report.rows_found, report.rows_rejected) == (2, 0)


def test_an_option_that_expired_lost_all_and_a_missing_price_is_none(tmp_path):
    rows = [
        'Trades,Data,Order,Options,USD,SPY 19JAN24 470 P,"2024-01-05, 10:31:02",2,1.50,1,-300,-1,301,0,O',
        'Trades,Data,Order,Options,USD,SPY 19JAN24 470 P,"2024-01-19, 16:20:00",-2,0,0,0,0,-301,-301,C;Ep',
        'Trades,Data,Order,Stocks,USD,AAPL,"2024-01-05, 10:31:02",2,0,1,-300,-1,301,0,O',
    ]
    head = [line for line in STATEMENT.splitlines() if ",Header," in line]
    path = csv_text(tmp_path / "activity.csv", "\n".join([*head, *rows]) + "\n")
    (trade,), report = trades_of(recognise([path]))
    assert trade.summary["return_pct"] == -100.0
    assert trade.summary["pnl_amount"] == pytest.approx(-301.0)
    assert report.rejected_by_rule == {"price must be above 0": 1}
