# ruff: noqa: E501
"""Tables of closed trades as people keep them: other names, no ids, no setups, no stops."""

from __future__ import annotations

import pytest

from learning.errors import ImportRefused
from learning.importers.import_answers import ImportAnswers
from learning.importers.recognition import examine_files, recognise
from tests.learning.importers.source_builders import csv_text, trades_of

JOURNAL = """Ticker;Direction;Open Time;Close Time;Entry Price;Exit Price;Qty;Stop Loss;Commission;Setup
AAPL;Long;2024-03-01 10:00;2024-03-01 15:00;100,5;102,5;10;99,5;1,5;Gap & Go
AAPL;Short;2024-03-02 10:00;2024-03-02 15:00;100,5;102,5;10;101,5;1,5;Fade
"""


def test_a_journal_is_read_by_the_names_of_its_columns(tmp_path):
    path = csv_text(tmp_path / "journal.csv", JOURNAL)
    found = examine_files([path])
    assert found.columns["initial_stop"] == "Stop Loss"
    assert found.missing == ()
    trades, report = trades_of(found.source)
    assert [t.pattern_key for t in trades] == ["pm.journal.long.gap___go", "pm.journal.short.fade"]
    assert [t.summary["r_multiple"] for t in trades] == pytest.approx([2.0, -2.0])
    costs = 1.5 / (10 * 100.5) * 100
    gross = 2 / 100.5 * 100
    assert trades[0].summary["return_net_pct"] == pytest.approx(gross - costs)
    assert report.rr_kinds == {"r_initial_stop": 2}


def test_rows_that_say_the_same_are_two_trades_and_keep_their_keys_in_a_longer_table(tmp_path):
    lines = JOURNAL.splitlines()
    path = csv_text(tmp_path / "journal.csv", "\n".join([*lines, lines[1]]) + "\n")
    before = [trade.trade_id for trade in trades_of(recognise([path]))[0]]
    assert len(set(before)) == 3
    csv_text(path, "\n".join([*lines, lines[1], lines[2], lines[1]]) + "\n")
    after = [trade.trade_id for trade in trades_of(recognise([path]))[0]]
    assert set(before) < set(after)
    assert len(set(after)) == 5


def test_a_fixed_risk_measures_trades_without_a_stop(tmp_path):
    path = csv_text(tmp_path / "j.csv", JOURNAL.replace(";Stop Loss", ";Other"))
    trades, report = trades_of(recognise([path]))
    assert report.rr_kinds == {}
    assert any("no outcome yet" in note for note in report.notes)
    trades, report = trades_of(recognise([path], answers=ImportAnswers(risk_pct=1.0)))
    assert report.rr_kinds == {"r_fixed_risk": 2}
    assert trades[0].summary["r_multiple"] == pytest.approx(2 / 100.5 * 100)


def test_a_signed_quantity_tells_the_side(tmp_path):
    text = "entry_date,exit_date,entry,exit,shares\n2024-03-01,2024-03-02,100.5,90.5,-5\n"
    (trade,), _ = trades_of(recognise([csv_text(tmp_path / "j.csv", text)]))
    assert trade.summary["side"] == "short"
    assert trade.summary["return_pct"] == pytest.approx(10 / 100.5 * 100)


def test_what_a_table_says_is_before_what_a_person_says(tmp_path):
    answers = ImportAnswers(symbol="MSFT", timeframe="1h")
    trades, _ = trades_of(recognise([csv_text(tmp_path / "j.csv", JOURNAL)], answers=answers))
    assert trades[0].summary["symbol"] == "AAPL"
    assert trades[0].scope["timeframe"] == "1h"


def test_a_table_of_nothing_we_know_says_what_it_has(tmp_path):
    path = csv_text(tmp_path / "j.csv", "colour,weight\nred,3\n")
    with pytest.raises(ImportRefused, match=r"lacks the column 'entry_time'.*colour, weight"):
        recognise([path])
