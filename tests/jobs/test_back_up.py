"""Each week a backup is written and restored beside the database, and the oldest one goes."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, make_url

from jobs.runner import Runner
from jobs.timetable import timetable
from learning.errors import DatabaseUnavailable, LearningError
from learning.store import backup, restore_drill, strand_rows
from learning.store.database import transaction
from learning.store.embedded import start_server
from learning.store.job_rows import RunOutcome
from learning.store.restore_drill import proven_backup
from learning.store.schema import metadata
from tests.jobs.conftest import runner_on
from tests.strand_builders import history

OTHERS = ("weekly-20200101T000000Z.backup", "weekly-20200108T000000Z.backup", "my-own.backup")


def backed_up(url: str, home: Path, *, keep: int) -> tuple[Runner, RunOutcome]:
    runner = runner_on(url, home=home, backup_keep=keep)
    ended = runner.run_now("back_up", requested_by="test")
    assert ended is not None
    return runner, ended


def earlier(home: Path) -> Path:
    folder = home / "backups"
    folder.mkdir()
    for name in OTHERS:
        (folder / name).write_text("earlier")
    return folder


def test_the_newest_are_kept_and_what_people_put_there(fresh_database: str, own_home: Path) -> None:
    folder = earlier(own_home)
    runner, ended = backed_up(fresh_database, own_home, keep=2)
    assert ended.status == "ok", ended.error
    assert (ended.rows_out, (ended.changed or {})["removed"]) == (1, 1)
    [newest] = {path.name for path in folder.iterdir()} - set(OTHERS)
    assert {path.name for path in folder.iterdir()} == {newest, *OTHERS[1:]}
    assert set(own_home.iterdir()) == {folder}  # the server of the drill is gone
    assert stat.S_IMODE((folder / newest).stat().st_mode) == 0o600
    runner.engine.dispose()


def test_what_a_worker_with_the_least_rights_wrote_is_restored(
    fresh_database: str, own_home: Path
) -> None:
    owner = runner_on(fresh_database)
    with transaction(owner.engine) as connection:
        strand_rows.append(connection, history(5, seed=1))
    as_worker = make_url(fresh_database).update_query_dict({"options": "-c role=edgekeeper_worker"})
    url = as_worker.render_as_string(hide_password=False)
    runner, ended = backed_up(url, own_home, keep=1)
    assert ended.status == "ok", ended.error
    runner.engine.dispose()
    with transaction(owner.engine) as connection:
        held = strand_rows.accounts(connection).strands
        strand_rows.append(connection, history(5, seed=2))
    [file] = (own_home / "backups").iterdir()
    assert backup.restore(owner.engine, file, actor="ann").strands == held
    owner.engine.dispose()


def test_none_is_written_where_none_is_kept(fresh_database: str, own_home: Path) -> None:
    runner, ended = backed_up(fresh_database, own_home, keep=0)
    assert (ended.status, ended.rows_out) == ("ok", 0)
    assert list(own_home.iterdir()) == []
    runner.engine.dispose()


def refuse(_home: Path) -> str:
    raise DatabaseUnavailable("there is no way in")


@pytest.mark.parametrize("start", [start_server, refuse], ids=["restored", "read to its end"])
def test_none_goes_where_the_new_one_is_damaged(
    fresh_database: str,
    own_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    start: Callable[[Path], str],
) -> None:
    write = backup.back_up

    def write_half(engine: Engine, path: Path, *, snapshot: str | None = None) -> int:
        size = write(engine, path, snapshot=snapshot)
        with path.open("r+b") as file:
            file.truncate(size // 2)
        return size

    folder = earlier(own_home)
    monkeypatch.setattr(backup, "back_up", write_half)
    monkeypatch.setattr(restore_drill, "start_server", start)
    runner, ended = backed_up(fresh_database, own_home, keep=1)
    assert ended.status == "failed"
    assert "pg_restore" in str(ended.error)
    assert {path.name for path in folder.iterdir()} == set(OTHERS)
    runner.engine.dispose()


def test_every_row_is_brought_back_as_it_was_in_the_snapshot(
    fresh_database: str, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = runner_on(fresh_database)
    with transaction(owner.engine) as connection:
        strand_rows.append(connection, history(5, seed=1))
    write = backup.back_up

    def write_while_others_write(engine: Engine, path: Path, *, snapshot: str | None = None) -> int:
        with transaction(owner.engine) as connection:
            strand_rows.append(connection, history(5, seed=2))
        return write(engine, path, snapshot=snapshot)

    with transaction(owner.engine) as connection:
        n = strand_rows.accounts(connection).strands
    monkeypatch.setattr(backup, "back_up", write_while_others_write)
    drill = proven_backup(owner.engine, own_home / "one.backup", home=own_home)
    assert drill.why_not is None
    assert drill.tables["public.ad_strands"].n == n
    assert {f"public.{name}" for name in metadata.tables} <= set(drill.tables)
    owner.engine.dispose()


def test_a_backup_that_brings_back_something_else_fails_and_goes(
    fresh_database: str, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = runner_on(fresh_database)
    with transaction(owner.engine) as connection:
        strand_rows.append(connection, history(5, seed=1))
    load = backup.load

    def load_and_spoil(engine: Engine, path: Path, schema: str) -> None:
        load(engine, path, schema)
        with transaction(engine) as connection:  # as many rows, one of them another
            connection.exec_driver_sql(
                "UPDATE edgekeeper_state SET data_version = data_version + 1"
            )

    folder = earlier(own_home)
    monkeypatch.setattr(backup, "load", load_and_spoil)
    _, ended = backed_up(fresh_database, own_home, keep=1)
    assert ended.status == "failed"
    assert str(ended.error).endswith(
        "does not bring back what was backed up: public.edgekeeper_state"
    )
    assert {path.name for path in folder.iterdir()} == set(OTHERS)
    owner.engine.dispose()


def test_where_no_second_server_starts_the_backup_is_read_to_its_end(
    fresh_database: str, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore_drill, "start_server", refuse)
    runner, ended = backed_up(fresh_database, own_home, keep=1)
    assert ended.status == "ok"
    changed = dict(ended.changed or {})
    assert changed["not_restored"] == "there is no way in"
    assert "tables_restored" not in changed
    assert "rows_restored" not in changed
    runner.engine.dispose()


def test_the_server_of_a_drill_that_was_killed_is_ended_by_the_next(
    fresh_database: str, own_home: Path
) -> None:
    left = own_home / "restore-drill"
    start_server(left)
    runner, ended = backed_up(fresh_database, own_home, keep=1)
    assert ended.status == "ok", ended.error
    assert (ended.changed or {})["tables_restored"] > 40
    assert not left.exists()
    runner.engine.dispose()


def test_a_backup_read_to_its_end_says_what_is_wrong_with_it(own_home: Path) -> None:
    broken = own_home / "broken.backup"
    broken.write_bytes(b"PGDMP and nothing else")
    with pytest.raises(LearningError, match="pg_restore"):
        backup.verify(broken, major=18)


@pytest.mark.parametrize("profile", ["v5", "hourly"])
def test_both_timetables_back_up_once_a_week(profile: object) -> None:
    [one] = [job for job in timetable(profile) if job.name == "back_up"]  # type: ignore[arg-type]
    assert one.every.days == 7


def test_a_program_that_is_older_than_the_server_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = tmp_path / "pg_dump"
    newer.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 99.1'\n")
    newer.chmod(0o755)
    assert backup._program("pg_dump", 14) != str(newer)  # the wheel's own will do
    with pytest.raises(LearningError, match=r"pg_dump of version 98 was not found.*BACKUP_KEEP=0"):
        backup._program("pg_dump", 98)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert backup._program("pg_dump", 98) == str(newer)
