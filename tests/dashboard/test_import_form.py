"""The form that imports a file, as a person meets it, and what the database lets them."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from dashboard import formats
from dashboard.data_queries import read_levels, read_missing
from dashboard.importing import Examined, Upload, examine, import_upload, keep_upload, safe_name
from dashboard.queries import read_health
from jobs.ingest_strands import ingest_strands
from jobs.job import silent
from learning.settings import Settings
from learning.store import people_rows
from learning.store.schema import ad_strands, import_batches
from tests.dashboard.conftest import words_of

Open = Callable[..., AppTest]
HEADER = "trade_id,pattern_key,entry_time,exit_time,symbol,side,r_multiple\n"
ROW = "{0},pm.breakout.S1.flag,2024-03-01 12:00,2024-03-0{1} 12:00,BTC,long,{2}\n"
GOOD = HEADER + "".join(ROW.format(i, i % 7 + 2, "1.5") for i in range(25))
BAD = GOOD + ROW.format(90, 2, "lots") + ROW.format(91, 2, "=1+1")
TRADINGVIEW = """\
Trade #,Type,Date/Time,Signal,Price USD,Position size (qty),Position size (value),Net P&L USD,\
Net P&L %,Run-up USD,Run-up %,Drawdown USD,Drawdown %,Cumulative P&L USD,Cumulative P&L %
1,Entry long,2024-03-01 10:00,Long,100,1,100,5,5,6,6,-2,-2,5,5
1,Exit long,2024-03-02 10:00,TP,105,1,100,5,5,6,6,-2,-2,5,5
"""


def zipped(**members: bytes) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_json", ".json"), content)
    return buffer.getvalue()


def uploaded(page: AppTest, name: str, content: bytes) -> AppTest:
    page.file_uploader(key="import-files").set_value([(name, content, "text/csv")]).run()
    assert not page.exception
    return page


def labels(page: AppTest) -> list[str]:
    return [one.label for one in page.button]


def count(engine: Engine, table: sa.Table) -> int:
    with engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def looked_at(content: bytes, engine: Engine, name: str = "t.csv") -> Examined:
    return examined(keep_upload([(name, content)], identity="1"), engine)


def examined(upload: Upload, engine: Engine) -> Examined:
    return examine(
        upload, engine=engine, settings=Settings(), name=None, origin=None, said={},
        progress=silent,
    )  # fmt: skip


def test_a_file_is_recognised_previewed_counted_and_imported(
    open_page: Open, engine_of_page: Engine
) -> None:
    page = uploaded(open_page("check_data.py"), "mine.csv", GOOD.encode())
    said = words_of(page)
    assert formats.plain("Recognised: closed trades in CSV: mine.csv", longest=200) in said
    assert {one.label: one.value for one in page.metric}["Trades to import"] == "25"
    assert len(page.dataframe[0].value) == 20
    assert "Import 25 trades" in labels(page)
    page.button(key="import-go").click().run()
    assert not page.exception
    assert count(engine_of_page, ad_strands) == 50
    assert "Imported 50 strands of 25 trades as 'mine'" in words_of(page)
    with engine_of_page.connect() as connection:
        (batch,) = connection.execute(sa.select(import_batches)).all()
    assert (batch.source_name, batch.file_name) == ("mine", "mine.csv")
    again = open_page("check_data.py")
    assert any("mine.csv" in table.value.to_csv() for table in again.dataframe)


def later(content: str, n: int) -> str:
    """An export of the same account that begins later and goes on longer."""
    header, *rows = content.splitlines(keepends=True)
    return "".join([header, *rows[n:]]) + ROW.format(70, 2, "0.5") + ROW.format(71, 3, "0.7")


def test_trades_of_another_bot_are_told_and_imported_only_as_a_person_says(
    open_page: Open, engine_of_page: Engine
) -> None:
    page = uploaded(open_page("check_data.py"), "mine.csv", GOOD.encode())
    page.button(key="import-go").click().run()
    other = uploaded(open_page("check_data.py"), "again.csv", later(GOOD, 20).encode())
    assert "7 trades are known already, as trades of 'mine'" in words_of(other)
    assert other.button(key="import-go").disabled
    other.radio(key="import-known").set_value("skip").run()
    assert "Import 2 trades" in labels(other)
    other.button(key="import-go").click().run()
    assert not other.exception
    assert count(engine_of_page, ad_strands) == 54
    third = uploaded(open_page("check_data.py"), "third.csv", later(GOOD, 20).encode())
    third.radio(key="import-known").set_value("twice").run()
    assert "Import 7 trades" in labels(third)


def test_only_what_the_file_lacks_is_asked_for(open_page: Open, engine_of_page: Engine) -> None:
    page = uploaded(open_page("check_data.py"), "list.csv", TRADINGVIEW.encode())
    assert "answer" in words_of(page)
    assert "import-go" not in [one.key for one in page.button]
    asked = {one.label: one for one in page.text_input}
    assert {"Symbol", "Time zone"} <= set(asked)
    assert not [one for one in page.metric if one.label == "Trades to import"]
    asked["Symbol"].set_value("EURUSD")
    asked["Time zone"].set_value("Europe/Athens")
    next(one for one in page.button if one.label == "Apply").click().run()
    assert not page.exception
    assert "Import 1 trade" in labels(page)
    page.button(key="import-go").click().run()
    assert count(engine_of_page, ad_strands) == 3


def test_rejected_rows_can_be_had_as_a_table_that_no_spreadsheet_runs(
    engine_of_page: Engine,
) -> None:
    upload = keep_upload([("t.csv", BAD.encode())], identity="1")
    found = examined(upload, engine_of_page)
    assert found.report is not None
    assert (found.report.trades_usable, found.report.rows_rejected) == (25, 2)
    rows = list(csv.DictReader(upload.rejects.read_text().splitlines()))
    assert [row["column"] for row in rows] == ["r_multiple", "r_multiple"]
    assert not any(cell.startswith("=") for row in rows for cell in row.values())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.sqlite", b"SQLite format 3\0" + b"\xff" * 200),
        ("x.zip", zipped(a_json=b"0" * 10, **{"..__..__etc__passwd": b"root"})),
        ("x.zip", b"PK\x03\x04" + b"\0" * 50),
        ("bomb.zip", zipped(result_json=b'{"strategy": [' + b" " * (3 * 2**20))),
        ("x.pkl", b"\x80\x04\x95cos\nsystem\n"),
        ("x.json", b"[" * 100_000),
        ("x.csv", b"a,b\n" + b"\0\x01\x02" * 30),
        ("x.csv", HEADER.encode() + b"1,pm.a.b.c,2024-03-01,2024-03-02,BTC,long,1e999\n"),
        ("x.csv", HEADER.encode() + b"1,pm.a.b.c,2024-03-01,2024-03-02,BTC,long,NaN\n"),
        ("</text><script>alert(1)</script>.csv", b"nothing"),
        ("empty.csv", b""),
    ],
)
def test_a_hostile_file_gets_one_sentence_and_the_page_stands(
    open_page: Open, engine_of_page: Engine, name: str, content: bytes
) -> None:
    page = uploaded(open_page("check_data.py"), name, content)
    said = words_of(page)
    assert "import-go" not in [one.key for one in page.button if not one.disabled]
    told = looked_at(content, engine_of_page, name)
    assert told.refused or (told.report is not None and not told.report.trades_usable)
    if told.refused:
        assert "\n" not in told.refused
        assert len(told.refused) < 600
        assert told.refused[:30] in said
    assert "<script>" not in said
    assert count(engine_of_page, ad_strands) == 0


def test_a_viewer_is_not_offered_the_button_and_the_database_refuses_them_too(
    open_page: Open, engine_of_page: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine_of_page.begin() as connection:
        people_rows.set_person(connection, "boss", "admin", actor="boss")
        people_rows.set_person(connection, "vera", "viewer", actor="boss")
    monkeypatch.setattr("getpass.getuser", lambda: "vera")
    page = uploaded(open_page("check_data.py"), "mine.csv", GOOD.encode())
    assert page.button(key="import-go").disabled
    upload = keep_upload([("mine.csv", GOOD.encode())], identity="1")
    found = looked_at(GOOD.encode(), engine_of_page, "mine.csv")
    for actor in ("vera", "stranger"):
        done = import_upload(upload, found, engine=engine_of_page, actor=actor, progress=silent)
        assert not done.is_done
        assert done.said == f"'{actor}' may not import: this takes the role approver or admin"
    assert count(engine_of_page, ad_strands) == count(engine_of_page, import_batches) == 0
    own = keep_upload([("mine.csv", GOOD.encode())], identity="1")
    again = examined(own, engine_of_page)
    assert import_upload(own, again, engine=engine_of_page, actor="boss", progress=silent).is_done


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/", "upload"),
        ("a\nb\0c.csv", "a_b_c.csv"),
        ("x" * 300, "x" * 100),
    ],
)
def test_the_name_of_an_upload_steers_nothing(name: str, kept: str) -> None:
    assert safe_name(name) == kept
    upload = keep_upload([(name, b"1")], identity="1")
    assert upload.paths[0].resolve().is_relative_to(Path(upload.folder.name).resolve())


def test_the_page_shows_what_is_missing_what_drifted_and_the_days(
    open_page: Open, engine_of_page: Engine
) -> None:
    days = [f"2024-0{month}-{day:02d}" for month in (1, 2, 3) for day in range(1, 28)]
    rows = [
        f"{i},pm.a.b.c,{day} 10:00,{day} 12:00,BTC,long,1.5,{'xl' if i < 60 else 'mid'}\n"
        for i, day in enumerate(days)
    ]
    table = HEADER.replace("\n", ",bucket\n") + "".join(rows)
    upload = keep_upload([("t.csv", table.encode())], identity="1")
    found = examined(upload, engine_of_page)
    assert import_upload(upload, found, engine=engine_of_page, actor="me", progress=silent).is_done
    ingest_strands(engine_of_page, Settings())
    page = open_page("check_data.py")
    assert not page.exception
    said = words_of(page)
    for title in ("Trades per day, by bot", "Missing values", "Drift of the context", "Imports"):
        assert title in said
    assert "nothing to compare yet" in said or page.get("plotly_chart")
    source = read_health(engine_of_page).source(engine_of_page)
    levels = read_levels(source, ("bucket", "timeframe"), None, Settings().every_dimension())
    told = {(one.dimension, one.level): (one.recent, one.before) for one in levels.itertuples()}
    assert told["bucket", "mid"] == (21, 0)
    assert told["bucket", "xl"] == (7, 53)  # 27 February to 27 March hold 28 trades
    missing = (
        read_missing(source, ("bucket", "timeframe"), None, Settings().every_dimension())
        .groupby("field")["missing"]
        .sum()
    )
    assert (missing["bucket"], missing["timeframe"], missing["mfe_r"]) == (0, 81, 81)
