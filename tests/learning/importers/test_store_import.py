import json

import pytest
import sqlalchemy as sa

from learning.errors import ImportRefused
from learning.importers.recognition import recognise
from learning.importers.store_import import store_import
from learning.store import import_rows
from learning.store.schema import ad_strands
from tests.learning.importers.source_builders import (
    BACKTEST_TRADE,
    POSITION,
    TRADE,
    backtest,
    csv_of,
    database,
)


def stored(connection, source, **options):
    return store_import(connection, source, imported_by="ada", **options)


def count(connection):
    return connection.scalar(sa.select(sa.func.count()).select_from(ad_strands))


def test_an_import_appends_its_strands_and_one_row_about_itself(connection, tmp_path):
    source = recognise([csv_of(tmp_path / "bot.csv", [TRADE])])
    result = stored(connection, source)
    assert (result.appended, result.repeated, result.conflicts) == (2, 0, 0)
    assert result.sentence() == "Imported 2 strands of 1 trade as 'bot'"
    (batch,) = import_rows.read_all(connection)
    assert (batch.source_name, batch.imported_by, batch.file_name) == ("bot", "ada", "bot.csv")
    assert batch.report["trades_usable"] == 1
    kept = connection.execute(sa.select(ad_strands.c.import_batch_id)).scalars().all()
    assert kept == [batch.id, batch.id]


def test_importing_twice_adds_nothing_and_says_so(connection, tmp_path):
    path = database(tmp_path / "t.sqlite")
    stored(connection, recognise([path]))
    again = stored(connection, recognise([path]))
    assert (again.appended, again.repeated, count(connection)) == (0, 3, 3)
    assert again.sentence() == "Nothing new: all 3 strands of 1 trade as 't' were imported before"


def test_a_database_that_grew_adds_what_is_new(connection, tmp_path):
    still_open = {**POSITION, "id": 2, "is_open": 1, "close_date": None}
    stored(
        connection, recognise([database(tmp_path / "a.sqlite", [POSITION, still_open])], name="b")
    )
    rows = [POSITION, {**POSITION, "id": 2}, {**POSITION, "id": 3}]
    grown = stored(connection, recognise([database(tmp_path / "b.sqlite", rows)], name="b"))
    assert (grown.appended, grown.repeated, grown.conflicts) == (6, 3, 0)


def test_the_same_trades_under_another_name_are_refused(connection, tmp_path):
    path = database(tmp_path / "t.sqlite")
    stored(connection, recognise([path], name="one"))
    with pytest.raises(ImportRefused, match="was imported before as 'one'"):
        stored(connection, recognise([path], name="two"))
    assert count(connection) == 3


def test_a_name_that_belongs_to_another_source_is_refused(connection, tmp_path):
    stored(connection, recognise([database(tmp_path / "t.sqlite")], name="bot"))
    with pytest.raises(ImportRefused, match="the name 'bot' belongs to another source"):
        stored(connection, recognise([csv_of(tmp_path / "x.csv", [TRADE])], name="bot"))


def test_a_re_run_of_a_backtest_is_refused_unless_it_is_called_a_variant(connection, tmp_path):
    stored(connection, recognise([backtest(tmp_path / "a.json")]))
    # the same days with other results, starting a little earlier
    earlier = {**BACKTEST_TRADE, "open_timestamp": 1711950000000, "profit_ratio": 0.01}
    rerun = recognise([backtest(tmp_path / "b.json", [earlier, BACKTEST_TRADE])])
    with pytest.raises(ImportRefused, match="TheForce was backtested over the same days and pairs"):
        stored(connection, rerun)
    assert stored(connection, rerun, variants=True).appended == 6


def test_backtests_of_other_days_or_other_pairs_are_more_evidence(connection, tmp_path):
    later = {**BACKTEST_TRADE, "open_timestamp": 1714000000000, "close_timestamp": 1714003600000}
    other = {**BACKTEST_TRADE, "pair": "BTC/USDT"}
    for name, trade in {"a": BACKTEST_TRADE, "b": later, "c": other}.items():
        stored(connection, recognise([backtest(tmp_path / f"{name}.json", [trade])]))
    assert count(connection) == 9


def test_a_re_run_with_other_results_under_the_same_name_is_refused(connection, tmp_path):
    stored(connection, recognise([backtest(tmp_path / "a.json")], name="bt"))
    other = backtest(tmp_path / "b.json", [{**BACKTEST_TRADE, "profit_ratio": 0.01}])
    point = connection.begin_nested()
    with pytest.raises(ImportRefused, match="known under the name 'bt' with other results"):
        stored(connection, recognise([other], name="bt"))
    point.rollback()
    assert count(connection) == 3


def test_a_trade_that_was_edited_since_is_kept_apart_and_counted(connection, tmp_path):
    stored(connection, recognise([database(tmp_path / "a.sqlite")], name="bot"))
    edited = database(tmp_path / "b.sqlite", [{**POSITION, "close_rate": 105.0}])
    result = stored(connection, recognise([edited], name="bot"))
    assert (result.appended, result.repeated, result.conflicts) == (1, 2, 1)
    assert result.sentence() == (
        "Nothing new of 1 trade as 'bot'; 2 were imported before; 1 differ from what was imported "
        "before and are quarantined: what came first stays"
    )


def test_a_source_with_nothing_usable_is_refused(connection, tmp_path):
    path = csv_of(tmp_path / "a.csv", [{**TRADE, "r_multiple": ""}])
    with pytest.raises(ImportRefused, match="nothing to import"):
        stored(connection, recognise([path]))


def test_a_file_that_changes_while_it_is_read_is_refused(connection, tmp_path):
    path = csv_of(tmp_path / "a.csv", [TRADE])
    source = recognise([path])
    report = source.examine()
    csv_of(path, [TRADE, {**TRADE, "trade_id": 2}])
    with pytest.raises(ImportRefused, match="changed while it was read"):
        stored(connection, source, report=report)


def test_the_report_is_kept_as_json_and_told_in_sentences(connection, tmp_path):
    rows = [TRADE, {**TRADE, "trade_id": 2, "r_multiple": "much"}]
    report = recognise([csv_of(tmp_path / "a.csv", rows)]).examine()
    assert json.loads(json.dumps(report.as_json()))["rejected_rows"] == [
        "a.csv, row 3: r_multiple must be a number, got 'much'"
    ]
    text = "\n".join(report.sentences())
    assert "2 trades found: 1 usable, 0 still open (skipped), 1 rejected" in text
    assert "rejected: 1 row, r_multiple must be a number" in text
