"""A backup brings everything back, and nothing of it acts by itself."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from learning.errors import ConfigError, LearningError
from learning.store import decision_rows, strand_rows, switch_rows
from learning.store.backup import back_up, restore
from learning.store.config_rows import read_configs
from learning.store.database import create_engine, migrate, transaction
from learning.store.schema import learning_lessons, metadata
from learning.store.state_rows import read_state
from tests.learning.store.stored_lessons import decide, store_lesson, store_override
from tests.strand_builders import history

DIGEST = (
    "SELECT count(*) || coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {name} t"
)
# what a restore itself writes to
CHANGED = {
    "edgekeeper_state", "kill_switch", "kill_switch_history", "learning_lessons",
    "lesson_decisions", "lesson_versions", "decision_chain_head", "override_history",
    "pm_overrides", "learning_configs", "bot_heartbeats", "job_runs",
}  # fmt: skip


@pytest.fixture
def filled(fresh_database: str) -> Engine:
    """A database with strands, an active lesson with its override, and one disabled."""
    engine = create_engine(fresh_database)
    with transaction(engine) as connection:
        strand_rows.append(connection, history(30, seed=1))
        store_override(connection, store_lesson(connection, "active"), size_mult=1.02)
        store_lesson(connection, "disabled")
        connection.execute(
            sa.text(
                "UPDATE learning_configs SET config_data = config_data || "
                """'{"pattern_strength_overrides": [{"override_id": 1}]}'::jsonb"""
            )
        )
        switch_rows.set_switch(
            connection, on=True, actor="ann", reason="all was looked at", confirmation="ENABLE"
        )
    return engine


def digests(engine: Engine) -> dict[str, str]:
    with engine.connect() as connection:
        return {
            name: connection.execute(sa.text(DIGEST.format(name=name))).scalar_one()
            for name in metadata.tables
            if name not in CHANGED
        }


def statuses(connection: Connection) -> list[str]:
    c = learning_lessons.c
    return list(connection.execute(sa.select(c.status).order_by(c.id)).scalars())


def test_what_is_restored_is_what_was_backed_up_and_comes_up_disabled(
    filled: Engine, tmp_path: Path
) -> None:
    file = tmp_path / "all.backup"
    before = digests(filled)
    back_up(filled, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with transaction(filled) as connection:
        strand_rows.append(connection, history(5, seed=2))
        state, switch = read_state(connection), switch_rows.read_switch(connection)
    restored = restore(filled, file, actor="ann")
    assert digests(filled) == before
    with transaction(filled) as connection:
        assert decision_rows.verify_chain(connection) is None
        # what was active waits for a person, what was disabled stays so
        assert statuses(connection) == ["proposed", "disabled"]
        assert connection.scalar(sa.text("SELECT count(*) FROM pm_overrides")) == 0
        mark, configs = read_configs(connection)
        assert not mark.overrides_on
        assert mark.generation == restored.generation == state.generation + 1
        assert mark.revision > state.revision
        assert mark.switch_revision > switch.switch_revision
        assert "override_id" not in str(configs)
        decide(connection, 1, "approve")  # and life goes on: keys continue, the chain holds
        strand_rows.append(connection, history(1, seed=3))
        assert decision_rows.verify_chain(connection) is None


def test_an_override_disabled_after_the_backup_does_not_come_back(
    filled: Engine, tmp_path: Path
) -> None:
    file = tmp_path / "all.backup"
    back_up(filled, file)
    with transaction(filled) as connection:
        decide(connection, 1, "disable")
    restore(filled, file, actor="ann")
    with transaction(filled) as connection:
        assert "active" not in statuses(connection)


def test_a_restore_goes_into_an_empty_database_too(
    filled: Engine, tmp_path: Path, new_database: Callable[[], str]
) -> None:
    file = tmp_path / "all.backup"
    back_up(filled, file)
    other = create_engine(new_database())
    restore(other, file, actor="ann")
    assert digests(other) == digests(filled)
    other.dispose()


def test_a_file_that_is_no_backup_changes_nothing(filled: Engine, tmp_path: Path) -> None:
    file = tmp_path / "not_a.backup"
    file.write_text("nonsense")
    before = digests(filled)
    with pytest.raises(LearningError, match="pg_restore"):
        restore(filled, file, actor="ann")
    with pytest.raises(ConfigError, match="there is no backup"):
        restore(filled, tmp_path / "missing", actor="ann")
    assert digests(filled) == before


def test_a_restore_that_fails_half_way_changes_nothing(
    filled: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "all.backup"
    back_up(filled, file)
    with transaction(filled) as connection:
        strand_rows.append(connection, history(5, seed=2))
    before = digests(filled)
    monkeypatch.setattr("learning.store.backup._after", lambda *_: "SELECT 1 / 0;")
    with pytest.raises(LearningError, match="division by zero"):
        restore(filled, file, actor="ann")
    assert digests(filled) == before


def test_a_backup_that_breaks_off_changes_nothing(filled: Engine, tmp_path: Path) -> None:
    file = tmp_path / "all.backup"
    back_up(filled, file)
    before = digests(filled)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) * 9 // 10])  # the list of what it holds is in front
    with pytest.raises(LearningError, match="pg_restore"):
        restore(filled, file, actor="ann")
    assert digests(filled) == before


def test_tables_of_others_in_the_same_database_stay_as_they_are(
    filled: Engine, tmp_path: Path
) -> None:
    with filled.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA theirs"))
        connection.execute(sa.text("CREATE TABLE theirs.notes AS SELECT 1 AS n"))
    file = tmp_path / "all.backup"
    back_up(filled, file)
    with filled.begin() as connection:
        connection.execute(sa.text("INSERT INTO theirs.notes VALUES (2)"))
    restore(filled, file, actor="ann")
    with filled.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM theirs.notes")) == 2


def test_tables_in_a_schema_of_their_own_are_backed_up_and_restored(
    filled: Engine, tmp_path: Path
) -> None:
    with filled.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA kept"))
    url = filled.url.update_query_dict({"options": "-c search_path=kept"})
    own = create_engine(url.render_as_string(hide_password=False))
    migrate(own)
    with transaction(own) as connection:
        strand_rows.append(connection, history(7, seed=4))
    file, other = tmp_path / "own.backup", tmp_path / "public.backup"
    back_up(own, file)
    back_up(filled, other)
    before, beside = digests(own), digests(filled)
    rights = schema_rights(own)
    with transaction(own) as connection:
        strand_rows.append(connection, history(5, seed=2))
    restore(own, file, actor="ann")
    assert digests(own) == before
    assert schema_rights(own) == rights
    with pytest.raises(ConfigError, match="holds tables of the schema 'public'"):
        restore(own, other, actor="ann")
    assert digests(filled) == beside
    own.dispose()


def schema_rights(engine: Engine) -> list[str]:
    query = "SELECT unnest(nspacl)::text FROM pg_namespace WHERE nspname = 'kept' ORDER BY 1"
    with engine.connect() as connection:
        return list(connection.scalars(sa.text(query)))
