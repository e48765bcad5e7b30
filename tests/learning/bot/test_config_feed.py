from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from learning.bot.config_feed import ConfigFeed, load_overrides, start_config_feed
from learning.errors import DatabaseUnavailable, LearningError
from learning.runtime.apply import apply_pattern_strength_overrides
from learning.runtime.in_force import in_force, uninstall
from learning.store.database import migrate, undo_migrations
from tests.learning.runtime.configs import KEY, config, entry

SOON = (datetime.now(UTC) + timedelta(days=1)).isoformat()


@pytest.fixture(autouse=True)
def _nothing_installed() -> Iterator[None]:
    uninstall()
    yield
    uninstall()


@pytest.fixture
def database(fresh_database: str) -> Iterator[psycopg.Connection[Any]]:
    plain = make_url(fresh_database).set(drivername="postgresql")
    with psycopg.connect(
        plain.render_as_string(hide_password=False), autocommit=True
    ) as connection:
        yield connection


@pytest.fixture
def feed(fresh_database: str, database: object) -> Iterator[Callable[..., ConfigFeed]]:
    started: list[ConfigFeed] = []

    def start(**options: Any) -> ConfigFeed:
        started.append(start_config_feed(fresh_database, bot="bot-a", **options))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def write_config(database: psycopg.Connection[Any], *entries: dict, **changes: Any) -> None:
    (revision,) = database.execute(
        "UPDATE edgekeeper_state SET revision = revision + 1 RETURNING revision"
    ).fetchone()
    text = json.dumps(config(*entries, revision=revision, **changes))
    database.execute(
        "INSERT INTO learning_configs (module, config_data, version, generation) "
        "VALUES ('pm', %s, %s, 1) ON CONFLICT (module) DO UPDATE SET "
        "config_data = excluded.config_data, version = excluded.version",
        (text, revision),
    )
    database.execute("SELECT pg_notify('edgekeeper_overrides', '')")


def size() -> float:
    adjusted = apply_pattern_strength_overrides(KEY, "entry", {}, {"position_size_frac": 0.1})
    return round(adjusted["position_size_frac"], 6)


def reason() -> str:
    return apply_pattern_strength_overrides(KEY, "entry", {}, {}).outcome.reason


def eventually(holds: Callable[[], bool], *, within_s: float = 10.0) -> bool:
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_overrides_are_in_force_when_the_feed_has_started(feed, database):
    write_config(database, entry(1, {"size_mult": 0.8}, expires_at=SOON))
    feed()
    assert size() == 0.08
    assert in_force().table.revision == 1


def test_a_change_is_obeyed_and_acknowledged(feed, database):
    write_config(database, entry(1, {"size_mult": 0.8}, expires_at=SOON))
    feed(poll_interval_s=60)  # only a notification can wake it
    write_config(database, entry(1, {"size_mult": 1.2}, expires_at=SOON))
    assert eventually(lambda: size() == 0.12)
    acknowledged = "SELECT revision FROM bot_heartbeats WHERE bot = 'bot-a'"
    assert eventually(lambda: database.execute(acknowledged).fetchone() == (2,))


def test_a_lost_notification_is_noticed_by_looking(feed, database):
    feed(poll_interval_s=0.05)
    database.execute("UPDATE edgekeeper_state SET revision = 9")
    database.execute(
        "INSERT INTO learning_configs (module, config_data, version, generation) "
        "VALUES ('pm', %s, 9, 1)",
        (json.dumps(config(entry(1, {"size_mult": 0.8}, expires_at=SOON))),),
    )
    assert eventually(lambda: size() == 0.08)


def test_the_kill_switch_is_obeyed_acknowledged_and_survives_a_restart(feed, database):
    write_config(database, entry(1, {"size_mult": 0.8}, expires_at=SOON))
    running = feed()
    database.execute("UPDATE kill_switch SET overrides_on = false, switch_revision = 1")
    database.execute("SELECT pg_notify('edgekeeper_overrides', '')")
    assert eventually(lambda: size() == 0.1)
    assert reason() == "kill switch"
    acknowledged = "SELECT overrides_on, switch_revision FROM bot_heartbeats"
    assert eventually(lambda: database.execute(acknowledged).fetchone() == (False, 1))
    running.stop()
    uninstall()
    feed()
    assert reason() == "kill switch"


def test_a_corrupt_config_leaves_only_what_protects_until_it_is_mended(feed, database):
    levers = {"size_mult": 0.8, "entry_aggression_mult": 1.2}
    write_config(database, entry(1, levers, expires_at=SOON))
    running = feed(poll_interval_s=0.05)
    database.execute("""UPDATE learning_configs SET config_data = '{"generation": 1}'""")
    database.execute("""UPDATE learning_configs SET config_data = '["cut off"]'""")
    assert eventually(lambda: reason() == "corrupt config")
    assert eventually(lambda: "must be an object" in (running.status().problem or ""))
    base = {"A_value": 0.5, "position_size_frac": 0.1}
    adjusted = apply_pattern_strength_overrides(KEY, "entry", {}, base)
    assert adjusted == {"A_value": 0.5, "position_size_frac": pytest.approx(0.08)}
    write_config(database, entry(1, levers, expires_at=SOON))
    assert eventually(lambda: reason() == "applied")


def test_a_corrupt_config_does_not_hide_the_kill_switch(feed, database):
    write_config(database, entry(1, {"size_mult": 0.8}, expires_at=SOON))
    feed(poll_interval_s=0.05)
    with database.transaction():
        database.execute("""UPDATE learning_configs SET config_data = '[]'""")
        database.execute("UPDATE kill_switch SET overrides_on = false, switch_revision = 1")
    assert eventually(lambda: reason() == "kill switch")


def test_a_missing_table_is_not_trusted_as_no_overrides(feed, database):
    write_config(database, entry(1, {"size_mult": 0.8}, expires_at=SOON))
    feed(poll_interval_s=0.05)
    database.execute("ALTER TABLE learning_configs RENAME TO learning_configs_2")
    assert eventually(lambda: reason() == "corrupt config")
    assert size() == 0.08


def test_the_feed_comes_back_after_its_session_was_ended(feed, database):
    write_config(database, entry(1, {"size_mult": 0.8}, expires_at=SOON))
    running = feed(poll_interval_s=0.05)
    database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'edgekeeper bot' AND datname = current_database()"
    )
    write_config(database, entry(1, {"size_mult": 0.9}, expires_at=SOON))
    assert eventually(lambda: size() == 0.09)
    assert running.status().is_running
    assert eventually(lambda: running.status().problem is None)


def test_without_reads_the_config_grows_stale(feed, database):
    write_config(database, entry(1, {"size_mult": 1.2}, expires_at=SOON))
    running = feed(max_config_age_s=0.3, poll_interval_s=0.05)
    assert size() == 0.12
    running.stop()
    assert eventually(lambda: reason() == "stale config")
    assert size() == 0.1


def test_a_new_generation_replaces_everything_and_a_lower_one_is_refused(feed, database):
    write_config(database, entry(1, {"size_mult": 1.2}, expires_at=SOON))
    running = feed(poll_interval_s=0.05)
    database.execute("UPDATE edgekeeper_state SET generation = 2, revision = 0")
    assert eventually(lambda: in_force().table.generation == 2)
    assert size() == 0.1  # the config is still of generation 1: nothing of it applies
    database.execute("UPDATE edgekeeper_state SET generation = 1, revision = 5")
    assert eventually(lambda: "older than what is in force" in (running.status().problem or ""))
    assert in_force().table.generation == 2


def test_what_was_applied_is_written_once_with_its_arm(feed, database):
    lesson_id = a_lesson(database)
    known = entry(1, {"size_mult": 0.8, "entry_aggression_mult": 1.1}, expires_at=SOON, share=0.2)
    known["lesson"]["id"] = lesson_id
    write_config(database, known)
    running = feed(origin="live")
    for _ in range(3):
        apply_pattern_strength_overrides(
            KEY, "entry", {"bucket": "xl"}, {"A_value": 0.5}, trade_id="T-1"
        )
    running.stop()
    rows = database.execute(
        "SELECT bot, origin, module, trade_id, override_id, lesson_id, lesson_version, scope, "
        "levers_before, levers_would_be, arm, p, reason, revision FROM override_applications"
    ).fetchall()
    assert len(rows) == 1
    *same, arm, p, why, revision = rows[0]
    assert same == [
        "bot-a", "live", "pm", "T-1", 1, lesson_id, 3, {"bucket": "xl"},
        {"size_mult": 1.0, "entry_aggression_mult": 1.0},
        {"size_mult": 0.8, "entry_aggression_mult": 1.1},
    ]  # fmt: skip
    assert (arm in ("treated", "held_out"), p, why, revision) == (True, 0.8, "applied", 1)


def test_telemetry_that_the_database_refuses_is_counted_and_holds_nothing_up(feed, database):
    known = entry(1, {"size_mult": 0.8}, expires_at=SOON)  # of a lesson that does not exist
    write_config(database, known)
    running = feed(poll_interval_s=0.05)
    assert size() == 0.08
    assert eventually(lambda: running.status().telemetry_dropped == 1)
    dropped = "SELECT telemetry_dropped FROM bot_heartbeats"
    assert eventually(lambda: database.execute(dropped).fetchone() == (1,))


def test_a_script_reads_once(fresh_database, database):
    write_config(database, entry(1, {"size_mult": 1.2}, expires_at=SOON))
    load_overrides(fresh_database, max_config_age_s=0.2)
    assert size() == 0.12
    assert eventually(lambda: reason() == "stale config")
    load_overrides(fresh_database)
    assert size() == 0.12


def test_a_script_is_told_of_a_corrupt_config(fresh_database, database):
    write_config(database)
    database.execute("""UPDATE learning_configs SET config_data = '[]'""")
    with pytest.raises(LearningError, match="must be an object"):
        load_overrides(fresh_database)


def test_a_bot_starts_without_its_database():
    away = "postgresql://nobody@127.0.0.1:1/none?connect_timeout=1"
    running = start_config_feed(away, bot="bot-a")
    assert reason() == "no config"
    assert running.status().is_running
    assert running.status().problem
    running.stop()
    with pytest.raises(DatabaseUnavailable, match="cannot connect"):
        load_overrides(away)


def a_lesson(database: psycopg.Connection[Any]) -> int:
    """The least row that satisfies the constraints; its life is not the matter here."""
    with database.transaction():
        (run,) = database.execute(
            "INSERT INTO mining_runs (module, is_discovery, look, outcome, fdr_level, seed, "
            "clip_low_rr, clip_high_rr, n_trades, n_without_outcome, counts, details, baselines) "
            "VALUES ('pm', true, 1, 'rr_path', 0.1, 1, -1, 5, 100, 0, '{}', '{}', '{}') "
            "RETURNING id"
        ).fetchone()
        (lesson,) = database.execute(
            "INSERT INTO learning_lessons (module, pattern_key, action_category, scope_dims, "
            "scope_values, scope_values_hash, lesson_type, outcome, n, stats, effect, "
            "lesson_strength, half_life_reason, status, status_reason, mean_closed_at, "
            "discovered_at, mining_run_id, composition) VALUES ('pm', %s, 'entry', '{}', '{}', "
            "'', 'pm_strength', 'rr_path', 60, '{}', '{}', 0.5, 'too few windows', 'proposed', "
            "'found', now(), now(), %s, '{}') RETURNING id",
            (KEY, run),
        ).fetchone()
    return lesson


@pytest.mark.parametrize("mult", [1.2, 0.8])
def test_tables_of_a_newer_version_leave_only_what_protects_and_say_so(feed, database, mult):
    """The bot runs on while the tables are brought to a version that it does not know."""
    write_config(database, entry(1, {"size_mult": mult}, expires_at=SOON))
    running = feed(poll_interval_s=0.05)
    assert size() == round(0.1 * mult, 6)
    (known,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
    database.execute("UPDATE alembic_version SET version_num = '9999'")
    assert eventually(lambda: size() == round(0.1 * min(mult, 1.0), 6) and reason() != "applied")
    assert "'9999'" in str(running.status().problem)
    assert "update the bot" in str(running.status().problem)
    database.execute("UPDATE kill_switch SET overrides_on = false, switch_revision = 9")
    assert eventually(lambda: reason() == "kill switch")
    database.execute("UPDATE kill_switch SET overrides_on = true, switch_revision = 10")
    database.execute("UPDATE alembic_version SET version_num = %s", (known,))
    assert eventually(lambda: size() == round(0.1 * mult, 6))
    assert running.status().problem is None


def test_a_bot_of_a_newer_version_than_the_tables_trusts_nothing(fresh_database, tmp_path):
    """Tables from before the first migration: there is nothing that could be read."""
    undo_migrations(fresh_database, revision="base")
    running = start_config_feed(fresh_database, bot="bot-a")
    assert running.status().problem
    assert size() == 0.1
    assert reason() == "no config"
    with pytest.raises(LearningError):
        load_overrides(fresh_database)
    running.stop()
    migrate(fresh_database)


def test_a_script_is_told_of_tables_of_a_newer_version(fresh_database, database):
    database.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(LearningError, match="update the bot"):
        load_overrides(fresh_database)
    assert size() == 0.1
