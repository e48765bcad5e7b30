"""Which database, how it is reached, and how its tables come up to date."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine, make_url
from sqlalchemy.exc import DBAPIError, InternalError, OperationalError

from learning.errors import ConfigError, DatabaseUnavailable
from learning.store.database import (
    create_engine,
    lock_schema,
    masked,
    migrate,
    newest_revision,
    resolve_url,
    schema_revision,
    transaction,
    undo_migrations,
)
from learning.store.schema import metadata

REPOSITORY = Path(__file__).parents[3]
UNUSED_HOME = Path("/nonexistent/home")
MIGRATE = "import sys; from learning.store.database import migrate; migrate(sys.argv[1])"


def plain(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture
def empty_database(fresh_database: str) -> str:
    """A database in which no migration ever ran."""
    with psycopg.connect(plain(fresh_database), autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return fresh_database


# --- URLs ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        "postgres://ann:s%40cret@db.example:5433/trades?sslmode=require",
        "postgresql://ann:s%40cret@db.example:5433/trades?sslmode=require",
        "postgresql+psycopg2://ann:s%40cret@db.example:5433/trades?sslmode=require",
        "  postgresql+psycopg://ann:s%40cret@db.example:5433/trades?sslmode=require\n",
    ],
)
def test_every_spelling_of_a_postgresql_url_becomes_the_psycopg_one(given: str) -> None:
    assert resolve_url(given, UNUSED_HOME) == (
        "postgresql+psycopg://ann:s%40cret@db.example:5433/trades?sslmode=require"
    )


@pytest.mark.parametrize(
    "given",
    ["mysql://ann:s3cret@db/trades", "ann:s3cret@db/trades", "postgresql://ann:s3cret@db:x/y"],
)
def test_another_url_is_refused_without_telling_its_password(given: str) -> None:
    with pytest.raises(ConfigError, match="DATABASE_URL must") as refused:
        resolve_url(given, UNUSED_HOME)
    assert "s3cret" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://ann:s3cret@db/trades",
        "postgresql://ann:s3cret@with@at@db/trades?host=a@b",
        "postgresql://db/trades?user=ann&password=s3cret&sslmode=require",
        "postgresql://db/trades?sslpassword=s3cret",
        "not a url: //ann:s3cret@db",
    ],
)
def test_no_password_is_shown(url: str) -> None:
    assert "s3cret" not in masked(url)
    assert "***" in masked(url)


def test_a_url_without_password_is_shown_as_it_is() -> None:
    url = "postgresql+psycopg://postgres@/postgres?host=%2Ftmp%2Fpg18&port=5432"
    assert masked(url) == url


# --- Connections -----------------------------------------------------------------------------


def test_times_come_back_in_utc_whatever_the_server_prefers(fresh_database: str) -> None:
    name = make_url(fresh_database).database
    with psycopg.connect(plain(fresh_database), autocommit=True) as other:
        other.execute(f"ALTER DATABASE {name} SET timezone = 'Pacific/Auckland'")
        control = psycopg.connect(plain(fresh_database)).execute("SHOW timezone").fetchone()
    assert control == ("Pacific/Auckland",)
    engine = create_engine(fresh_database)
    with transaction(engine) as connection:
        moment = connection.scalar(sa.text("SELECT timestamptz '2026-01-02 03:04+13'"))
    engine.dispose()
    assert moment == datetime(2026, 1, 1, 14, 4, tzinfo=UTC)
    assert moment.isoformat().endswith("+00:00")


def test_nothing_that_a_transaction_sets_outlives_it(engine: Engine) -> None:
    # What PgBouncer in transaction mode asks of us: its next client gets the same session.
    settings = sa.text(
        "SELECT pg_backend_pid(), current_setting('statement_timeout'),"
        " current_setting('lock_timeout'), current_setting('transaction_read_only')"
    )
    with transaction(engine) as connection:
        before = connection.execute(settings).one()
    with transaction(
        engine, read_only=True, statement_timeout_ms=1234, lock_timeout_ms=77
    ) as connection:
        inside = connection.execute(settings).one()
    with transaction(engine) as connection:
        after = connection.execute(settings).one()
    assert tuple(inside)[1:] == ("1234ms", "77ms", "on")
    assert after == before


def test_no_statement_is_prepared_on_the_server(engine: Engine) -> None:
    with transaction(engine) as connection:
        for i in range(20):  # psycopg prepares from the sixth run on, unless told not to
            connection.execute(sa.text("SELECT CAST(:i AS int)"), {"i": i})
        n_prepared = connection.scalar(sa.text("SELECT count(*) FROM pg_prepared_statements"))
    assert n_prepared == 0


def test_a_read_only_transaction_refuses_to_write(engine: Engine) -> None:
    with (
        pytest.raises(InternalError, match="read-only"),
        transaction(engine, read_only=True) as connection,
    ):
        connection.execute(sa.text("CREATE TABLE written (x int)"))


def test_an_exception_rolls_the_transaction_back(engine: Engine) -> None:
    def fail_half_way() -> None:
        with transaction(engine) as connection:
            connection.execute(sa.text("CREATE TABLE half_done (x int)"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    with transaction(engine) as connection:
        assert connection.scalar(sa.text("SELECT to_regclass('half_done')")) is None


def test_the_first_query_after_a_lost_connection_succeeds(fresh_database: str) -> None:
    engine = create_engine(fresh_database, pool_size=1)
    bare = sa.create_engine(fresh_database, pool_size=1)
    with engine.connect() as one, bare.connect() as two:
        pids = [c.scalar(sa.text("SELECT pg_backend_pid()")) for c in (one, two)]
    with psycopg.connect(plain(fresh_database)) as killer:
        for pid in pids:
            killer.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
    with transaction(engine) as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
    with pytest.raises(OperationalError), bare.connect() as connection:  # control: no pre-ping
        connection.scalar(sa.text("SELECT 1"))
    engine.dispose()
    bare.dispose()


def test_a_database_that_is_away_is_named_without_its_password() -> None:
    engine = create_engine("postgresql://ann:s3cret@127.0.0.1:1/trades")
    with (
        pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1:1/trades") as refused,
        transaction(engine),
    ):
        pass
    assert "s3cret" not in str(refused.value)


# --- Migrations ------------------------------------------------------------------------------


def test_a_migrated_database_is_at_the_newest_revision(connection: Connection) -> None:
    assert newest_revision() is not None
    assert schema_revision(connection) == newest_revision()


def test_a_database_without_tables_has_no_revision(empty_database: str) -> None:
    engine = create_engine(empty_database)
    with transaction(engine) as connection:
        assert schema_revision(connection) is None
    engine.dispose()


def tables(url: str) -> list[tuple[object, ...]]:
    """Every column of every table, with type, default and whether it may be null."""
    with psycopg.connect(plain(url)) as connection:
        return connection.execute(
            "SELECT table_name, column_name, data_type, column_default, is_nullable"
            " FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
        ).fetchall()


def test_up_down_up_gives_the_same_tables(fresh_database: str) -> None:
    before = tables(fresh_database)
    assert {str(row[0]) for row in before} >= {table.name for table in metadata.sorted_tables}
    undo_migrations(fresh_database, revision="base")
    assert {str(row[0]) for row in tables(fresh_database)} <= {"alembic_version"}
    migrate(fresh_database)
    assert tables(fresh_database) == before


def test_four_processes_boot_at_once_on_an_empty_database(empty_database: str) -> None:
    assert boot_together(4, empty_database) == [0, 0, 0, 0]
    assert tables(empty_database)


@pytest.mark.slow
def test_fifteen_boots_of_four_processes_never_crash(new_database: Callable[[], str]) -> None:
    for _ in range(15):
        url = new_database()
        undo_migrations(url, revision="base")
        assert boot_together(4, url) == [0, 0, 0, 0]


def boot_together(n_processes: int, url: str) -> list[int]:
    booting = [
        subprocess.Popen([sys.executable, "-c", MIGRATE, url], cwd=REPOSITORY)
        for _ in range(n_processes)
    ]
    return [process.wait(timeout=120) for process in booting]


def test_without_the_lock_two_boots_collide(empty_database: str) -> None:
    # The control of the test above: what PostgreSQL does when nobody waits.
    create = "CREATE TABLE IF NOT EXISTS made_twice (x int)"
    with psycopg.connect(plain(empty_database)) as first:
        first.execute(create)
        collided: list[BaseException] = []

        def second() -> None:
            try:
                with psycopg.connect(plain(empty_database)) as connection:
                    connection.execute(create)
            except psycopg.Error as error:
                collided.append(error)

        other = threading.Thread(target=second)
        other.start()
        wait_until_blocked(first)
        first.commit()
        other.join()
    assert [type(error) for error in collided] == [psycopg.errors.UniqueViolation]


def wait_until_blocked(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Wait until some session waits for a lock of this one."""
    for _ in range(200):
        n = connection.execute(
            "SELECT count(*) FROM pg_locks"
            " WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
        ).fetchone()
        if n is not None and n[0]:
            return
        time.sleep(0.02)
    raise AssertionError("nobody waits")


def test_threads_of_one_process_may_migrate_at_once(empty_database: str) -> None:
    failures: list[BaseException] = []

    def boot() -> None:
        try:
            migrate(empty_database)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=boot) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_migration_waits_for_its_turn_and_gives_up_with_a_sentence(empty_database: str) -> None:
    engine = create_engine(empty_database)
    with transaction(engine) as holder:
        lock_schema(holder)
        with pytest.raises(DatabaseUnavailable, match=r"could not be locked .* within 0\.5 s"):
            migrate(empty_database, timeout_s=0.5)
    migrate(empty_database)
    engine.dispose()


def test_a_migration_that_waits_for_a_reader_lets_writers_pass(fresh_database: str) -> None:
    # An ALTER or DROP queues in front of every later query of its table: it may wait 300 ms only.
    table = metadata.sorted_tables[0].name
    with psycopg.connect(plain(fresh_database)) as reader:
        reader.execute(f"SELECT count(*) FROM {table}")
        undoing = threading.Thread(
            target=undo_migrations, args=(fresh_database,), kwargs={"revision": "base"}
        )
        undoing.start()
        wait_until_blocked(reader)
        with psycopg.connect(plain(fresh_database)) as bot:
            bot.execute(
                "SET statement_timeout = '2s'"
            )  # far above 300 ms: this only bounds the test
            bot.execute(f"SELECT count(*) FROM {table}")
        assert undoing.is_alive()
    undoing.join(timeout=30)
    assert {str(row[0]) for row in tables(fresh_database)} <= {"alembic_version"}


def test_a_failing_migration_changes_nothing(empty_database: str) -> None:
    # The table of the last step exists already: all steps before it must be undone.
    last = metadata.sorted_tables[-1].name
    with psycopg.connect(plain(empty_database)) as connection:
        connection.execute(f"CREATE TABLE {last} (in_the_way int)")
    with pytest.raises(DBAPIError, match="already exists"):
        migrate(empty_database)
    assert [row[:2] for row in tables(empty_database)] == [(last, "in_the_way")]


def test_a_newer_database_is_refused_with_a_sentence(fresh_database: str) -> None:
    with psycopg.connect(plain(fresh_database)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'from_the_future'")
    with pytest.raises(DatabaseUnavailable, match=r"'from_the_future'.* does not know"):
        migrate(fresh_database)


def test_the_alembic_command_finds_the_same_database(fresh_database: str, tmp_path: Path) -> None:
    config = tmp_path / "pyproject.toml"
    config.write_text(f'[tool.alembic]\nscript_location = "{REPOSITORY / "migrations"}"\n')
    said = subprocess.run(
        [sys.executable, "-m", "alembic", "-c", str(config), "current"],
        cwd=REPOSITORY,
        env={**os.environ, "DATABASE_URL": fresh_database, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split() == [newest_revision(), "(head)"]
