"""Archives and markup made to hurt: each gets one clear sentence, and nothing is run."""

from __future__ import annotations

import json
import pickle
import zipfile

import openpyxl
import pytest

from learning.errors import ImportRefused
from learning.importers import workbook_file
from learning.importers.import_answers import ImportAnswers
from learning.importers.recognition import recognise
from tests.learning.importers.source_builders import BACKTEST_TRADE, trades_of

RESULT = {"strategy": {"S": {"trades": [BACKTEST_TRADE], "timeframe": "15m"}}}


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def workbook(path):
    book = openpyxl.Workbook()
    book.active.append(["symbol", "side", "entry_time", "exit_time", "entry_price", "exit_price"])
    book.active.append(["X", "long", "2024-03-01", "2024-03-02", 100, 101])
    book.save(path)
    return path


def with_part(path, name, content):
    """The same workbook with one part exchanged."""
    with zipfile.ZipFile(path) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    return zipped(path, {**parts, name: content})


def test_a_workbook_is_a_table_like_others(tmp_path):
    trades, report = trades_of(recognise([workbook(tmp_path / "w.xlsx")]))
    assert trades[0].summary["return_pct"] == pytest.approx(1.0)
    assert (report.rows_found, report.rows_imported) == (1, 1)


def test_a_workbook_that_grows_without_end_is_refused_while_it_does(tmp_path, monkeypatch):
    monkeypatch.setattr(workbook_file, "MAX_PART_BYTES", 2**20)
    path = with_part(workbook(tmp_path / "w.xlsx"), "xl/sharedStrings.xml", b" " * 2**22)
    with pytest.raises(ImportRefused, match=r"w\.xlsx unpacks to more"):
        recognise([path])


def test_a_workbook_that_declares_entities_is_refused(tmp_path):
    path = workbook(tmp_path / "w.xlsx")
    laughs = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><x>&b;</x>'
    for part in ("xl/workbook.xml", "xl/worksheets/sheet1.xml"):
        with pytest.raises(ImportRefused, match=r"declares XML entities|damaged workbook"):
            trades_of(recognise([with_part(workbook(path), part, laughs)]))


def test_a_workbook_with_ten_thousand_parts_is_refused(tmp_path):
    parts = {f"p{i}": b"" for i in range(600)} | {"xl/workbook.xml": b"<x/>"}
    with pytest.raises(ImportRefused, match="more than 500 parts"):
        recognise([zipped(tmp_path / "w.xlsx", parts)])


def test_paths_in_a_zip_lead_nowhere_and_code_in_it_is_not_opened(tmp_path):
    marker = tmp_path / "pwned"

    class Bomb:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    path = zipped(
        tmp_path / "b.zip",
        {
            "../../escaped.json": json.dumps({"x": 1}),
            "/etc/absolute.json": json.dumps([1]),
            "backtest_S.py": f"open({str(marker)!r}, 'w')",
            "b_signals.pkl": pickle.dumps(Bomb()),
            "b.json": json.dumps(RESULT),
        },
    )
    _, report = trades_of(recognise([path]))
    assert report.trades_usable == 1
    assert not marker.exists()
    assert sorted(child.name for child in tmp_path.iterdir()) == ["b.zip"]


@pytest.mark.parametrize("cell", ["1e309", "nan", "9" * 400, "\x1b[2J", "-1e400", "1" + "0" * 5000])
def test_numbers_and_signs_that_are_none_cost_their_row_with_a_reason(tmp_path, cell):
    path = tmp_path / "f.csv"
    path.write_bytes(
        b"time,symbol,side,qty,price\n2024-03-01 10:00,X,buy,1,100\n2024-03-01 11:00,X,sell,1,101\n"
        b"2024-03-01 12:00,X,buy,1," + cell.encode() + b"\n"
    )
    _, report = trades_of(recognise([path]))
    assert (report.trades_usable, report.rows_rejected) == (1, 1)
    assert str(report.rejected_rows[0]).isprintable()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("page.html", b"<html><body><p>hello</p></body></html>", "HTML or XML, but no report"),
        ("deep.json", b"[" * 200_000, "nested too deeply|no valid JSON"),
        ("flex.xml", b"<FlexQueryResponse><Trade ", "no valid XML"),
        ("flex.xml", b"<FlexQueryResponse></FlexQueryResponse>", "without trades"),
        ("book.xlsx", b"PK\x03\x04xl/workbook.xml", "damaged"),
    ],
)
def test_what_is_nothing_is_one_sentence(tmp_path, name, content, reason):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ImportRefused, match=reason) as refusal:
        trades_of(recognise([path], answers=ImportAnswers(time_zone="UTC")))
    assert "\n" not in str(refusal.value)
