"""Each week a backup is written that can be restored, and the oldest one goes."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from sqlalchemy import make_url

from jobs.runner import Runner
from jobs.timetable import timetable
from learning.errors import LearningError
from learning.store import backup, strand_rows
from learning.store.database import transaction
from learning.store.job_rows import RunOutcome
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


def test_the_newest_are_kept_and_what_people_put_there(fresh_database: str, tmp_path: Path) -> None:
    folder = earlier(tmp_path)
    runner, ended = backed_up(fresh_database, tmp_path, keep=2)
    assert ended.status == "ok", ended.error
    assert (ended.rows_out, (ended.changed or {})["removed"]) == (1, 1)
    [newest] = {path.name for path in folder.iterdir()} - set(OTHERS)
    assert {path.name for path in folder.iterdir()} == {newest, *OTHERS[1:]}
    assert stat.S_IMODE((folder / newest).stat().st_mode) == 0o600
    runner.engine.dispose()


def test_what_a_worker_with_the_least_rights_wrote_is_restored(
    fresh_database: str, tmp_path: Path
) -> None:
    owner = runner_on(fresh_database)
    with transaction(owner.engine) as connection:
        strand_rows.append(connection, history(5, seed=1))
    as_worker = make_url(fresh_database).update_query_dict({"options": "-c role=edgekeeper_worker"})
    url = as_worker.render_as_string(hide_password=False)
    runner, ended = backed_up(url, tmp_path, keep=1)
    assert ended.status == "ok", ended.error
    runner.engine.dispose()
    with transaction(owner.engine) as connection:
        held = strand_rows.accounts(connection).strands
        strand_rows.append(connection, history(5, seed=2))
    [file] = (tmp_path / "backups").iterdir()
    assert backup.restore(owner.engine, file, actor="ann").strands == held
    owner.engine.dispose()


def test_none_is_written_where_none_is_kept(fresh_database: str, tmp_path: Path) -> None:
    runner, ended = backed_up(fresh_database, tmp_path, keep=0)
    assert (ended.status, ended.rows_out) == ("ok", 0)
    assert list(tmp_path.iterdir()) == []
    runner.engine.dispose()


def test_none_goes_where_the_new_one_is_damaged(
    fresh_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = backup.back_up

    def write_half(engine: object, path: Path) -> int:
        size = write(engine, path)  # type: ignore[arg-type]
        with path.open("r+b") as file:
            file.truncate(size // 2)
        return size

    folder = earlier(tmp_path)
    monkeypatch.setattr(backup, "back_up", write_half)
    runner, ended = backed_up(fresh_database, tmp_path, keep=1)
    assert ended.status == "failed"
    assert "pg_restore" in str(ended.error)
    assert {path.name for path in folder.iterdir()} == set(OTHERS)
    runner.engine.dispose()


def test_a_backup_read_to_its_end_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    broken = tmp_path / "broken.backup"
    broken.write_bytes(b"PGDMP and nothing else")
    with pytest.raises(LearningError, match="pg_restore"):
        backup.verify(broken)


@pytest.mark.parametrize("profile", ["v5", "hourly"])
def test_both_timetables_back_up_once_a_week(profile: object) -> None:
    [one] = [job for job in timetable(profile) if job.name == "back_up"]  # type: ignore[arg-type]
    assert one.every.days == 7
