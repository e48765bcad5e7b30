"""Old records of running go; events, decisions and the last good run of a job never do."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from learning.store import job_rows
from learning.store.retention_rows import POLICY, Retention, prune
from learning.store.schema import (
    APPEND_ONLY,
    bot_heartbeats,
    job_runs,
    regime_weight_history,
)

DAY = timedelta(days=1)


def store_run(connection: Connection, job: str, age: timedelta, **changes: object) -> int:
    at = job_rows.database_now(connection) - age
    row = {
        "job": job, "slot": at, "run_trigger": "schedule", "requested_by": "w", "status": "ok",
        "queued_at": at, "started_at": at, "finished_at": at, "log_tail": "said", **changes,
    }  # fmt: skip
    return int(
        connection.execute(sa.insert(job_runs).values(row).returning(job_runs.c.id)).scalar_one()
    )


def kept(connection: Connection) -> dict[int, str | None]:
    return dict(connection.execute(sa.select(job_runs.c.id, job_runs.c.log_tail)).all())


def test_runs_for_arrivals_go_first_then_logs_then_runs(connection: Connection) -> None:
    arrival = store_run(connection, "ingest", 3 * DAY, run_trigger="notify")
    failed = store_run(
        connection, "ingest", 3 * DAY + DAY / 2, run_trigger="notify", status="failed"
    )
    old_log = store_run(connection, "ingest", 31 * DAY)
    ancient = store_run(connection, "ingest", 401 * DAY)
    last_ok = store_run(connection, "ingest", DAY)
    only_ok = store_run(connection, "rare", 500 * DAY)
    running = store_run(connection, "other", 401 * DAY, status="running", finished_at=None)
    now = job_rows.database_now(connection)
    pruned = prune(connection, POLICY, now=now)
    assert kept(connection) == {
        failed: "said", old_log: None, last_ok: "said", only_ok: None, running: "said",
    }  # fmt: skip
    assert arrival not in kept(connection)
    assert ancient not in kept(connection)
    assert (pruned["runs_for_arrivals"], pruned["runs"], pruned["log_tails"]) == (1, 1, 2)
    assert sum(prune(connection, POLICY, now=now).values()) == 0


def test_silent_bots_are_forgotten_after_a_month(connection: Connection) -> None:
    now = job_rows.database_now(connection)
    for bot, age in (("here", 29 * DAY), ("gone", 31 * DAY)):
        row = {
            "bot": bot, "process_id": "1", "last_read_at": now - age, "generation": 1,
            "revision": 1, "switch_revision": 1, "overrides_on": True,
        }  # fmt: skip
        connection.execute(sa.insert(bot_heartbeats).values(row))
    prune(connection, Retention(), now=now)
    assert connection.execute(sa.select(bot_heartbeats.c.bot)).scalars().all() == ["here"]


def test_nothing_that_is_only_appended_is_among_what_is_pruned(connection: Connection) -> None:
    pruned = prune(connection, POLICY, now=job_rows.database_now(connection))
    assert not {"pattern_trade_events", "ad_strands", *APPEND_ONLY} & set(pruned)


def test_old_weights_are_kept_by_weeks_and_very_old_ones_once(connection: Connection) -> None:
    """Mondays: 5 January and 8 June 2026, and 6 January 2020."""
    days = {
        "a": [date(2020, 1, 6), date(2020, 2, 3), date(2026, 1, 5), date(2026, 1, 11),
              date(2026, 1, 12), date(2026, 6, 8), date(2026, 6, 9)],
        "b": [date(2020, 1, 6)],
    }  # fmt: skip
    connection.execute(
        sa.insert(regime_weight_history),
        [
            {"module": "pm", "pattern_key": "", "action_category": "", "regime_signature": regime,
             "learned_on": day, "weights": {}, "intervals": {}, "n_samples": 30}
            for regime, listed in days.items()
            for day in listed
        ],
    )  # fmt: skip
    pruned = prune(connection, POLICY, now=datetime(2026, 6, 10, tzinfo=UTC))
    assert pruned["regime_weights"] == 3
    c = regime_weight_history.c
    left = connection.execute(sa.select(c.regime_signature, c.learned_on))
    assert sorted((regime, day) for regime, day in left) == [
        ("a", date(2026, 1, 11)), ("a", date(2026, 1, 12)), ("a", date(2026, 6, 8)),
        ("a", date(2026, 6, 9)), ("b", date(2020, 1, 6)),
    ]  # fmt: skip
