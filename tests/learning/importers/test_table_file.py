import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from learning.errors import ImportRefused
from learning.importers.recognition import examine_files, recognise
from learning.importers.table_file import open_csv, open_parquet
from tests.learning.importers.source_builders import TRADE, csv_of, csv_text, parquet, trades_of

HEADER = "trade_id,pattern_key,entry_time,exit_time,r_multiple"
ROW = "1,pm.a.b.c,2024-03-01,2024-03-02,1.5"


def rows_of(table, *columns):
    return [
        list(values)
        for chunk in table.chunks(columns)
        for values in zip(*(chunk.columns[c] for c in columns), strict=True)
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_seen_from_the_header(tmp_path, delimiter):
    text = "\n".join([HEADER, ROW]).replace(",", delimiter)
    assert rows_of(open_csv(csv_text(tmp_path / "a.csv", text)), "trade_id") == [["1"]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path, encoding):
    path = csv_text(tmp_path / "a.csv", f"{HEADER}\n{ROW}\n", encoding)
    assert trades_of(recognise([path]))[1].trades_usable == 1


def test_decimal_commas_are_seen_where_commas_do_not_part_cells(tmp_path):
    text = "\n".join([HEADER, ROW]).replace(",", ";").replace("1.5", "1,5")
    (trade,), _ = trades_of(recognise([csv_text(tmp_path / "a.csv", text)]))
    assert trade.summary["r_multiple"] == 1.5


def test_mixed_decimal_signs_are_not_guessed(tmp_path):
    text = "a;b\n1,5;1.5\n"
    with pytest.raises(ImportRefused, match="mixes decimal commas and points"):
        open_csv(csv_text(tmp_path / "a.csv", text))


def test_one_quoted_decimal_comma_costs_its_own_row_only(tmp_path):
    odd = '2,pm.a.b.c,2024-03-01,2024-03-02,"1,5"'
    path = csv_text(tmp_path / "a.csv", "\n".join([HEADER, ROW, odd]))
    trades, report = trades_of(recognise([path]))
    assert [trade.trade_id for trade in trades] == ["1"]
    assert [str(row) for row in report.rejected_rows] == [
        "a.csv, row 3: r_multiple must be a number, got '1,5'"
    ]


def test_one_decimal_point_among_commas_costs_its_own_row_only(tmp_path):
    rows = [f"{i};pm.a.b.c;2024-03-01;2024-03-02;0,{i}" for i in (1, 2)]
    odd = ROW.replace(",", ";").replace("1;", "3;", 1)
    text = "\n".join([HEADER.replace(",", ";"), *rows, odd])
    trades, report = trades_of(recognise([csv_text(tmp_path / "a.csv", text)]))
    assert [trade.summary["r_multiple"] for trade in trades] == [0.1, 0.2]
    assert [row.row for row in report.rejected_rows] == [4]


def test_lines_that_are_no_rows_are_rejected_with_their_line_number(tmp_path):
    lines = [HEADER, ROW, "2,pm.a.b.c", "", '3,"unclosed', ROW.replace("1,", "4,", 1)]
    trades, report = trades_of(recognise([csv_text(tmp_path / "a.csv", "\n".join(lines))]))
    assert [trade.trade_id for trade in trades] == ["1", "4"]
    assert [row.row for row in report.rejected_rows] == [3, 5]
    assert report.trades_found == 4


def test_windows_line_ends_quotes_and_trailing_delimiters_do_not_matter(tmp_path):
    text = f"{HEADER},\r\n{ROW.replace('pm.a.b.c', chr(34) + 'pm.a.b.c' + chr(34))},\r\n"
    assert trades_of(recognise([csv_text(tmp_path / "a.csv", text)]))[1].trades_usable == 1


def test_a_table_longer_than_a_chunk_arrives_whole(tmp_path):
    rows = [{**TRADE, "trade_id": i} for i in range(9000)]
    csv = trades_of(recognise([csv_of(tmp_path / "a.csv", rows)]))[1]
    stored = trades_of(recognise([parquet(tmp_path / "a.parquet", rows)]))[1]
    assert csv.trades_usable == stored.trades_usable == 9000


def test_a_blank_stretch_is_not_the_end(tmp_path):
    text = f"{HEADER}\n{ROW}\n" + "\n" * 10_000 + ROW.replace("1,", "2,", 1)
    assert trades_of(recognise([csv_text(tmp_path / "a.csv", text)]))[1].trades_usable == 2


def test_32_bit_floats_are_read_as_the_decimals_they_were_written_as(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"rsi14": pa.array([41.8219, 0.67, None], pa.float32())}), path)
    assert rows_of(open_parquet(path), "rsi14") == [[41.8219], [0.67], [None]]


def test_a_list_of_objects_is_a_table_like_any_other(tmp_path):
    fills = [
        {"symbol": "BTCUSDT", "id": n, "orderId": n, "price": price, "qty": "2.0",
         "commission": fee, "commissionAsset": "USDT", "time": 1709287200000 + n,
         "isBuyer": n == 0, "info": {}}
        for n, (price, fee) in enumerate((("100.0", "0.2"), ("110.0", "0.22")))
    ]  # fmt: skip
    path = tmp_path / "myTrades.json"
    path.write_text(json.dumps(fills))
    found = examine_files([path])
    assert found.description == "fills in JSON: myTrades.json"
    (trade,), _ = trades_of(found.source)
    assert trade.summary["pnl_amount"] == pytest.approx(20 - 0.42)
    closed = {
        "opened": "2024-03-01",
        "closed": "2024-03-02",
        "side": "long",
        "entry": 100,
        "exit": 102,
    }
    path.write_text("\n".join(json.dumps({**closed, "id": n}) for n in (1, 2)) + "\n[1]\n")
    trades, report = trades_of(recognise([path]))
    assert [trade.trade_id for trade in trades] == ["1", "2"]
    assert report.rejected_by_rule == {"record must be an object": 1}
