"""The validator says that all is well, and says what is not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from jobs.runner import Runner
from jobs.validate_learning import run_all_checks
from learning.store import job_rows
from learning.store.validation_rows import Check


@pytest.fixture
def tampered(learned: Runner) -> Iterator[Connection]:
    """What was learned, in a transaction that is rolled back."""
    with learned.engine.connect() as connection:
        begun = connection.begin()
        yield connection
        begun.rollback()


def checks(runner: Runner, connection: Connection) -> dict[str, Check]:
    now = job_rows.database_now(connection)
    found = run_all_checks(connection, runner.settings, now=now, every_group=True)
    return {one.name: one for one in found}


def test_after_learning_no_promise_is_broken_and_every_cell_is_what_the_events_give(
    learned: Runner, tampered: Connection
) -> None:
    found = checks(learned, tampered)
    assert [one for one in found.values() if one.state == "failed"] == []
    recomputed = found["pm statistics are what the events give"]
    assert recomputed.state == "ok"
    assert "8 of 8 groups" in recomputed.finding


BREAKS = {
    "UPDATE scope_stat_packs SET edge_raw[1] = edge_raw[1] * (1 + 1e-12) WHERE edge_raw[1] <> 0 "
    "AND scope_mask = 64": "pm statistics are what the events give",
    "DELETE FROM scope_stat_packs WHERE scope_mask = 64": "pm statistics are what the events give",
    "DELETE FROM pattern_trade_events WHERE strand_id = (SELECT max(strand_id) FROM "
    "pattern_trade_events)": "ingested closes have events",
    "DELETE FROM strand_ledger WHERE strand_id = (SELECT max(strand_id) FROM "
    "pattern_trade_events)": "events rest on ingested strands",
}


@pytest.mark.parametrize("statement", BREAKS)
def test_what_is_broken_is_named(learned: Runner, tampered: Connection, statement: str) -> None:
    assert tampered.execute(sa.text(statement)).rowcount > 0
    assert checks(learned, tampered)[BREAKS[statement]].state == "failed"


def test_an_action_that_waits_for_its_close_is_no_failure_but_an_old_one_is_told(
    learned: Runner, tampered: Connection
) -> None:
    tampered.execute(
        sa.text(
            "INSERT INTO ad_strands (strand_key, kind, module, bot, origin, content, created_at) "
            "VALUES (gen_random_uuid(), 'position_closed', 'pm', 'b', 'live', '{}', "
            "now() - interval '6 hours')"
        )
    )
    found = checks(learned, tampered)
    assert found["every strand is accounted for"].state == "ok"
    assert found["strands are ingested in time"].state == "warning"
