"""Mappings are kept with an import and taken again when the same kind of file comes."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Connection
from typer.testing import CliRunner

from jobs.commands.app import make_app
from jobs.saved_mappings import content_to_keep, recalled, remember_mapping, remembered_mapping
from learning.importers.import_answers import ImportAnswers
from learning.importers.mapping import mapping_from
from learning.importers.saved_mappings import kind_of_files
from learning.settings import Settings

OURS = {"columns": {"trade_id": "Ticket"}, "constants": {"timeframe": "1h"}, "tags": {"split": " "}}
HEADER = "Ticket,Opened,Closed,R,Setup\n"
ROWS = "{0},2024-03-0{0} 12:00,2024-03-0{0} 18:00,{0}.5,b a\n"
FILE = """\
columns: {trade_id: Ticket, entry_time: Opened, exit_time: Closed, r_multiple: R, tag: Setup}
pattern: pm.mine.any.{tag}
tags: {split: " "}
constants: {timeframe: 1h}
"""


def table(path: Path, header: str = HEADER, n: int = 3) -> Path:
    path.write_text(header + "".join(ROWS.format(i) for i in range(1, n + 1)))
    return path


def test_the_same_columns_in_another_order_are_the_same_kind(tmp_path: Path) -> None:
    one = kind_of_files([table(tmp_path / "a.csv")])
    other = kind_of_files([table(tmp_path / "b.csv", "Setup,Ticket,Opened,Closed,R\n")])
    third = kind_of_files([table(tmp_path / "c.csv", HEADER.replace("Setup", "Comment"))])
    assert one == other != third
    assert kind_of_files([tmp_path / "missing.csv"]) is None


def test_the_same_bot_gets_all_of_it_and_another_what_is_not_of_one_source(
    connection: Connection, tmp_path: Path
) -> None:
    path = table(tmp_path / "a.csv")
    kind = kind_of_files([path]) or ""
    assert recalled(connection, kind, name="mine") is None
    remember_mapping(connection, [path], name="mine", content=OURS, saved_by="ann")
    own, other = recalled(connection, kind, name="mine"), recalled(connection, kind, name="other")
    assert own is not None
    assert other is not None
    assert own.mapping == mapping_from(OURS)
    assert other.mapping.constants == {}
    assert other.mapping.column("trade_id") == "Ticket"
    assert "saved for 'mine'" in own.sentence
    assert "by ann" in own.sentence
    assert "without what was said of that source alone" in other.sentence


def test_a_mapping_saved_again_takes_the_place_of_the_one_before(
    connection: Connection, tmp_path: Path
) -> None:
    path = table(tmp_path / "a.csv")
    for content in (OURS, {"columns": {"trade_id": "id"}}):
        remember_mapping(connection, [path], name="mine", content=content, saved_by="ann")
    found = recalled(connection, kind_of_files([path]) or "", name="mine")
    assert found is not None
    assert found.mapping.column("trade_id") == "id"


def test_answers_of_a_person_are_kept_with_it() -> None:
    mapping = mapping_from({**OURS, "answers": {"symbol": "EURUSD", "risk_pct": 1.0}})
    kept = content_to_keep(mapping, ImportAnswers(risk_amount=50.0))
    assert kept["answers"] == {"symbol": "EURUSD", "risk_amount": 50.0}
    assert mapping_from(kept).columns == mapping.columns
    assert content_to_keep(None, ImportAnswers()) == {}


def test_a_question_makes_no_database(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "nowhere", database_url=None)
    assert remembered_mapping(settings, [table(tmp_path / "a.csv")], name=None) is None
    assert not (tmp_path / "nowhere").exists()


def test_the_next_file_of_the_kind_is_imported_without_naming_the_mapping(
    fresh_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", fresh_database)
    (tmp_path / "m.yaml").write_text(FILE)
    run = CliRunner()
    app = make_app("import")
    first = table(tmp_path / "a.csv")
    ended = run.invoke(app, ["import", str(first), "--mapping", str(tmp_path / "m.yaml")])
    assert ended.exit_code == 0, ended.output
    grown = table(tmp_path / "a.csv", n=5)
    ended = run.invoke(app, ["import", str(grown)])
    assert ended.exit_code == 0, ended.output
    said = " ".join(ended.output.split())
    assert "With the mapping saved for 'a'" in said
    assert "Imported 4 strands of 5 trades as 'a'; 6 were imported before" in said
