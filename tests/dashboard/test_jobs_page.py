"""The page Jobs: what runs, waits and comes next; pausing and cancelling; one run whole."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from dashboard import commands
from dashboard.figures.run_durations import draw_run_durations, run_durations
from dashboard.theme import DARK
from jobs.timetable import JOBS
from learning.store import job_rows, people_rows
from learning.store.schema import job_runs
from tests.dashboard.conftest import words_of

Open = Callable[..., AppTest]
PAGE = "watch_jobs.py"
JOB = "measure_effects"
START = datetime(2026, 1, 1, tzinfo=UTC)


def run(engine: Engine, status: str = "ok", **changes: object) -> int:
    values = {
        "job": JOB, "slot": sa.func.clock_timestamp(), "run_trigger": "manual",
        "requested_by": "ann", "status": status, **changes,
    }  # fmt: skip
    with engine.begin() as connection:
        return connection.execute(
            sa.insert(job_runs).values(values).returning(job_runs.c.id)
        ).scalar_one()


def button(page: AppTest, start: str) -> object:
    return next(one for one in page.button if one.label.startswith(start))


def table(page: AppTest, column: str) -> pd.DataFrame:
    return next(one.value for one in page.dataframe if column in one.value)


def test_every_job_says_when_it_runs_next(open_page: Open) -> None:
    jobs = table(open_page(PAGE), "next")
    assert set(jobs["job"]) == set(JOBS)
    assert set(jobs["state"]) == {"never ran"}
    assert jobs["next"].str.len().min() > 5


def test_a_job_in_the_address_can_be_run_paused_and_resumed(
    open_page: Open, engine_of_page: Engine
) -> None:
    page = open_page(PAGE, job=JOB)
    button(page, f"Run {JOB} now").click().run()
    assert not page.exception
    assert "Waiting for the worker" in words_of(page)
    assert button(page, f"Run {JOB} now").disabled
    page.text_input[0].set_value("too slow today, look later")
    button(page, "Pause now").click().run()
    with engine_of_page.connect() as connection:
        [pause] = job_rows.read_pauses(connection).values()
    assert pause.reason == "too slow today, look later"
    assert button(page, "Resume now")


def test_a_queued_run_can_be_cancelled_with_its_reason(
    open_page: Open, engine_of_page: Engine
) -> None:
    run_id = run(engine_of_page, "queued")
    page = open_page(PAGE)
    page.text_input[0].set_value("asked for by mistake")
    button(page, "Cancel it now").click().run()
    assert not page.exception
    with engine_of_page.connect() as connection:
        row = connection.execute(sa.select(job_runs).where(job_runs.c.id == run_id)).one()
    assert row.status == "skipped"
    assert "asked for by mistake" in row.error


def test_a_viewer_is_refused_by_the_database(engine_of_page: Engine) -> None:
    run_id = run(engine_of_page, "queued")
    with engine_of_page.begin() as connection:
        people_rows.set_person(connection, "boss", "admin", actor="boss")
        people_rows.set_person(connection, "ann", "viewer", actor="boss")
    reason = {"actor": "ann", "reason": "because I want to"}
    done = [
        commands.queue_run(engine_of_page, JOB, actor="ann"),
        commands.pause(engine_of_page, JOB, **reason),
        commands.resume(engine_of_page, JOB, **reason),
        commands.cancel_run(engine_of_page, run_id, **reason),
    ]
    assert [one.is_done for one in done] == [False] * 4
    assert all("may not decide" in one.said for one in done)


def test_progress_is_told_while_a_run_goes_on(open_page: Open, engine_of_page: Engine) -> None:
    progress = {"progress": {"done": 20, "total": 80, "what": "strands"}}
    run(engine_of_page, "running", changed=progress, started_at=sa.func.now(),
        heartbeat_at=sa.func.now(), worker="w")  # fmt: skip
    page = open_page(PAGE)
    assert not page.exception
    assert table(page, "next").set_index("job")["state"][JOB] == "running"
    bars = [one for one in page.main if one.type == "progress"]
    assert [one.proto.value for one in bars] == [25]


def test_a_run_that_goes_on_is_told_though_another_of_its_job_waits(
    open_page: Open, engine_of_page: Engine
) -> None:
    """The page looks again as long as it shows other runs than are under way."""
    going_on = {"started_at": sa.func.now(), "heartbeat_at": sa.func.now(), "worker": "w"}
    run(engine_of_page, "running", **going_on)
    run(engine_of_page, "queued")
    run(engine_of_page, "running", job="cluster_factors", **going_on)
    page = open_page(PAGE)
    assert not page.exception
    states = table(page, "next").set_index("job")["state"]
    assert states[[JOB, "cluster_factors"]].tolist() == ["running", "running"]
    assert sum("running" in one.value for one in page.markdown) >= 2


def test_a_run_in_the_address_is_shown_whole(open_page: Open, engine_of_page: Engine) -> None:
    run_id = run(
        engine_of_page, "failed", error="=boom", error_id="e42", log_tail="the last line",
        peak_memory_mb=123.0, code_version="abc", rows_in=7, rows_out=3,
        changed={"retired": 2, "new": 0}, started_at=START,
        finished_at=START + timedelta(seconds=4),
    )  # fmt: skip
    page = open_page(PAGE, run=str(run_id))
    assert not page.exception
    facts = table(page, "fact").set_index("fact")["value"]
    assert facts[["rows", "peak memory", "code", "took"]].tolist() == [
        "7 in, 3 out", "123 MB", "abc", "4 s"
    ]  # fmt: skip
    assert table(page, "what changed").to_numpy().tolist() == [["retired", "2"]]
    assert page.code[0].value == "the last line"
    assert "e42" in words_of(page)


def test_a_run_that_was_pruned_is_told(open_page: Open) -> None:
    assert "No run 99 is stored" in words_of(open_page(PAGE, run="99"))


def test_durations_have_their_median_and_leave_out_what_has_not_ended() -> None:
    rows = [
        {"id": i, "job": JOB, "status": "ok", "started_at": START + timedelta(hours=i),
         "finished_at": START + timedelta(hours=i, seconds=s)}
        for i, s in enumerate((4, 10, 6))
    ]  # fmt: skip
    going_on = {**rows[0], "id": 9, "status": "running", "finished_at": pd.NaT}
    shown = run_durations(pd.DataFrame([*rows, going_on]))
    assert shown.seconds == (4.0, 10.0, 6.0)
    assert shown.median_s == 6.0
    figure = draw_run_durations(shown, DARK)
    assert list(figure.data[0].y) == [4.0, 10.0, 6.0]
    assert figure.layout.yaxis.title.text == "seconds"
    assert run_durations(pd.DataFrame([going_on])).median_s is None


@pytest.mark.parametrize("period", ["24 h", "7 d"])
def test_the_timeline_shows_the_runs_of_its_time(
    open_page: Open, engine_of_page: Engine, period: str
) -> None:
    run(engine_of_page, started_at=sa.func.now(), finished_at=sa.func.now())
    old = sa.func.now() - timedelta(days=3)
    run(engine_of_page, queued_at=old, started_at=old, finished_at=old)
    assert len(table(open_page(PAGE, runs=period), "changed")) == {"24 h": 1, "7 d": 2}[period]
