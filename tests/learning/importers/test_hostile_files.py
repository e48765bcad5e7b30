"""Whatever a file holds: no crash, every row accounted for, and what is taken can be ingested."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from learning.domain.scope import DEFAULT_DIMENSIONS
from learning.errors import ImportRefused
from learning.events.strands import StoredStrand, parse_strand
from learning.importers.import_report import ReportTally
from learning.importers.recognition import recognise
from tests.learning.importers.source_builders import (
    BACKTEST_TRADE,
    POSITION,
    TRADE,
    backtest,
    csv_of,
    csv_text,
    database,
    order,
    parquet,
)

_some = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
_TEXT = st.text(max_size=12)
_HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.floats(),
    _TEXT,
    st.sampled_from(
        ["", "nan", "inf", "-1", "0", "1e308", "9" * 400, "1,5", "a\x00b", "\ud7ff", "x" * 300,
         "2024-13-45", "0001-01-01", "long", "short", "pm.a.b.c", "pm....", "É"]
    ),
)  # fmt: skip
_KINDS = [
    st.floats(), st.integers(-(2**62), 2**62), _TEXT, st.booleans(), st.binary(max_size=8),
    st.lists(st.integers(0, 9), max_size=2), st.datetimes(),
]  # fmt: skip
_JSON = st.recursive(_HOSTILE, lambda inner: st.lists(inner, max_size=3), max_leaves=4)


def account_for(paths):
    """Read a source to its end and check the books."""
    with_mapping = recognise(paths)
    tally = ReportTally()
    for i, strand in enumerate(with_mapping.read(tally)):
        text = json.dumps(dict(strand.content), allow_nan=False)
        text.encode()
        stored = StoredStrand(
            i, strand.strand_key, strand.kind, strand.module, strand.bot, strand.origin,
            strand.position_id, strand.trade_id, text,
        )  # fmt: skip
        parse_strand(stored, dims=dict(DEFAULT_DIMENSIONS))
    report = with_mapping.report(tally)
    taken = report.trades_usable + report.trades_open + report.trades_rejected
    assert report.trades_found == taken
    assert report.actions_found == report.actions_usable + report.actions_rejected
    json.dumps(report.as_json(), allow_nan=False)
    assert report == with_mapping.examine()
    return report


def changed(row, changes):
    return {**row, **{name: value for name, value in changes.items() if name in row}}


def changes_of(row, values=_HOSTILE):
    return st.dictionaries(st.sampled_from(sorted(row)), values, max_size=4)


FULL = {
    **TRADE, "symbol": "ETH", "side": "long", "entry_price": 100.0, "exit_price": 104.0,
    "initial_stop": 95.0, "return_pct": 4.0, "max_drawdown_pct": 2.0, "best_exit_price": 106.0,
    "best_entry_price": 98.0, "bars_to_mfe": 4, "bars_to_mae": 1, "timeframe": "1h",
    "hours_to_1r": 3.0, "TS": 0.5, "risk_amount": 10.0, "origin": "live",
    "action_category": "entry", "bucket_rank_position": 2, "exit_reason": "target",
}  # fmt: skip


@_some
@given(st.lists(changes_of(FULL), min_size=1, max_size=5))
def test_a_csv_of_hostile_cells(changes):
    rows = [FULL, *(changed({**FULL, "trade_id": i + 2}, c) for i, c in enumerate(changes))]
    lines = [[str(value) if value is not None else "" for value in row.values()] for row in rows]
    text = "\n".join([",".join(FULL), *(",".join(line) for line in lines)])
    with tempfile.TemporaryDirectory() as folder:
        path = csv_text(Path(folder, "t.csv"), text.replace("\ud800", ""), "utf-8")
        with suppress(ImportRefused):
            account_for([path])


@_some
@given(st.data())
def test_a_parquet_of_hostile_columns(data):
    column = data.draw(st.sampled_from(sorted(FULL)))
    kind = data.draw(st.sampled_from(_KINDS))
    values = data.draw(st.lists(st.one_of(st.none(), kind), min_size=2, max_size=5))
    rows = [{**FULL, "trade_id": i, column: value} for i, value in enumerate(values)]
    with tempfile.TemporaryDirectory() as folder:
        path = parquet(Path(folder, "t.parquet"), rows)
        with suppress(ImportRefused):  # such as: not one trade has a time
            assert account_for([path]).trades_found == len(values)


@_some
@given(st.binary(max_size=60), st.integers(0, 10_000), st.integers(0, 40))
@pytest.mark.parametrize("kind", ["csv", "parquet", "sqlite", "json"])
def test_bytes_that_were_changed_cut_or_inserted(kind, noise, place, cut):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t." + kind)
        if kind == "csv":
            csv_of(path, [FULL, {**FULL, "trade_id": 2}])
        elif kind == "parquet":
            parquet(path, [FULL, {**FULL, "trade_id": 2}])
        elif kind == "sqlite":
            database(path, [POSITION, {**POSITION, "id": 2}])
        else:
            backtest(path)
        raw = path.read_bytes()
        at = place % len(raw)
        path.write_bytes(raw[:at] + noise + raw[at + cut :])
        with suppress(ImportRefused):
            account_for([path])


ORDER = order(2, "buy", 100.0, 1.0, "2024-10-14 08:11:00")


@_some
@given(
    st.lists(changes_of(POSITION), min_size=1, max_size=3),
    st.lists(changes_of(ORDER), max_size=3),
)
def test_a_database_of_hostile_rows(changes, order_changes):
    rows = [POSITION, *(changed({**POSITION, "id": i + 2}, c) for i, c in enumerate(changes))]
    orders = [changed(ORDER, c) for c in order_changes]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.sqlite")
        try:
            database(path, rows, orders=orders)
        except (sqlite3.Error, OverflowError, UnicodeEncodeError):
            return  # what SQLite itself does not take
        account_for([path])


@_some
@given(st.lists(changes_of(BACKTEST_TRADE, _JSON), min_size=1, max_size=4))
def test_a_backtest_of_hostile_values(changes):
    rows = [BACKTEST_TRADE, *(changed(BACKTEST_TRADE, c) for c in changes)]
    with tempfile.TemporaryDirectory() as folder:
        report = account_for([backtest(Path(folder, "b.json"), rows)])
    assert report.trades_found == len(rows)


@_some
@given(st.lists(changes_of(
    {"amount": 1, "safe_price": 1, "ft_order_side": 1, "order_filled_timestamp": 1,
     "ft_is_entry": 1}, _JSON), max_size=4))  # fmt: skip
def test_a_backtest_of_hostile_orders(orders):
    rows = [{**BACKTEST_TRADE, "orders": orders}]
    with tempfile.TemporaryDirectory() as folder:
        account_for([backtest(Path(folder, "b.json"), rows)])


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b" \n\t\n", "is empty"),
        ("a.csv", b"just some words\n", "no table"),
        ("a.csv", b"a,a\n1,2\n", "repeats the column 'a'"),
        ("a.sqlite", b"\x00\x01\x02", "neither SQLite"),
        ("a.json", b"\x80\x04K\x01.", "a pickle"),
        ("a.csv", b"\x1f\x8b\x08", "gzip"),
        ("a.feather", b"ARROW1\x00\x00", "feather"),
        ("a.zip", b"PK\x03\x04junk", "zip"),
        ("a.parquet", b"PAR1junk", "damaged Parquet"),
        ("a.sqlite", b"SQLite format 3\x00junk", "damaged"),
    ],
)
def test_what_cannot_be_imported_is_refused_in_one_sentence(tmp_path, name, content, reason):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ImportRefused, match=reason) as refusal:
        recognise([path])
    assert name in str(refusal.value)


def test_the_name_of_a_file_does_not_decide_what_it_is(tmp_path):
    path = csv_of(tmp_path / "trades.parquet", [TRADE])
    assert recognise([path]).description.startswith("closed trades in CSV")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ImportRefused, match=r"gone\.csv does not exist"):
        recognise([tmp_path / "gone.csv"])
