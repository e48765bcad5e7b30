"""The bot's feed of overrides: a thread of its own, which keeps what is in force up to date.

It listens for changes and also looks twice a second, since a notification that was sent while
nobody listened never arrives. Each look obeys the kill switch, says so in ``bot_heartbeats``, and
puts a whole new table in force when anything changed. When the database is away the thread goes
on trying; the table in force grows old, and the runtime falls to its safe values by itself.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import psycopg
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import (
    DataError,
    IntegrityError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)

from learning.bot.bot_settings import bot_settings, existing_database
from learning.bot.telemetry import Telemetry
from learning.errors import ConfigError, LearningError
from learning.runtime.in_force import distrust, in_force, install
from learning.runtime.override_index import CombineRule
from learning.runtime.override_table import ConfigUnreadable, read_table
from learning.store.application_rows import append
from learning.store.config_rows import (
    CHANNEL,
    ConfigMark,
    ConfigMissing,
    read_configs,
    read_mark,
)
from learning.store.database import create_engine, transaction
from learning.store.heartbeat_rows import Heartbeat, beat
from learning.store.listening import listen, listening_engine, wait_for_notice

_DATABASE_ERRORS: Final = (SQLAlchemyError, psycopg.Error, LearningError, OSError)
_HEARTBEAT_S: Final = 1.0
_TELEMETRY_BATCH: Final = 500
_RETRY_S: Final = (0.1, 0.25, 0.5, 1.0)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """How a feed is doing; ``problem`` is the last failure, None after a good read."""

    is_running: bool
    n_reads: int
    problem: str | None
    telemetry_dropped: int


def load_overrides(
    database_url: str | None = None,
    *,
    max_config_age_s: float | None = None,
    combine: CombineRule | None = None,
    home: Path | None = None,
) -> None:
    """Read the overrides once and put them in force, for a short script.

    They hold for ``max_config_age_s``; after that every lever falls to its safe value, as in an
    outage, until this is called again. A bot that runs on uses ``start_config_feed``.
    What is not given is a setting of the environment.

    Args:
        database_url: PostgreSQL URL. Neither here nor in the environment: the embedded server in
            the home folder, which must have been made.
        max_config_age_s: Seconds. The longer, the later a kill switch is obeyed.
        combine: As for ``start_config_feed``.
        home: Home folder, used only for the embedded server.

    Raises:
        ConfigError: If an argument or a setting breaks its rule.
        DatabaseUnavailable: If the database cannot be reached, or none was made.
        LearningError: If what it holds cannot be used; overrides are at their safe values.
    """
    settings = bot_settings(
        database_url=database_url, home=home, max_config_age_s=max_config_age_s, combine=combine
    )
    engine = create_engine(existing_database(settings), pool_size=1)
    try:
        with transaction(engine) as connection:
            read_at = time.monotonic()
            mark, configs = read_configs(connection)
            _check_version(mark)
            _install(mark, configs, settings.combine, settings.max_config_age_s, read_at, None)
    except ProgrammingError as error:  # such as tables of an older version
        said = f"the database cannot be understood: {_sentence(error)}"
        distrust(said)
        raise ConfigMissing(said) from error
    finally:
        engine.dispose()


def start_config_feed(
    database_url: str | None = None,
    *,
    bot: str,
    origin: str | None = None,
    combine: CombineRule | None = None,
    max_config_age_s: float | None = None,
    poll_interval_s: float = 0.5,
    home: Path | None = None,
) -> ConfigFeed:
    """Keep this process's overrides up to date, in a thread of its own, until ``stop``.

    Returns after the first read where the database is there; where it is not, the thread goes on
    trying and every lever is neutral meanwhile. What is not given is a setting of the environment:
    DATABASE_URL, EDGEKEEPER_HOME, EDGEKEEPER_COMBINE, EDGEKEEPER_MAX_CONFIG_AGE_S.

    Args:
        database_url: A direct PostgreSQL URL, not one of a pooler in transaction mode. Neither
            here nor in the environment: the embedded server in the home folder.
        bot: Name of the account or instance, as in its strands.
        origin: live, dry_run, backtest or simulated; noted in telemetry.
        combine: Whether one override applies, or one per latent factor.
        max_config_age_s: Seconds without a successful read after which safe values apply.
        poll_interval_s: Seconds between looks; bounds how late a lost notification is noticed.
        home: Home folder, used only for the embedded server.

    Raises:
        ConfigError: If the URL is none of PostgreSQL, or a pooler's through which no notification
            arrives; or if another setting breaks its rule.
        DatabaseUnavailable: If no URL is named and the home folder holds no database, or its
            server does not come up. A database that is away at a URL is no error, now or later.
    """
    settings = bot_settings(
        database_url=database_url, home=home, max_config_age_s=max_config_age_s, combine=combine
    )
    feed = ConfigFeed(
        existing_database(settings, to_listen=database_url is None),
        bot=bot,
        combine=settings.combine,
        max_config_age_s=settings.max_config_age_s,
        poll_interval_s=poll_interval_s,
        telemetry=Telemetry(bot=bot, origin=origin),
    )
    feed.start()
    return feed


class ConfigFeed:
    """A running feed; made by ``start_config_feed``."""

    def __init__(
        self,
        url: str,
        *,
        bot: str,
        combine: CombineRule,
        max_config_age_s: float,
        poll_interval_s: float,
        telemetry: Telemetry,
    ) -> None:
        self._url = url
        self._bot = bot
        self._combine = combine
        self._max_config_age_s = max_config_age_s
        self._poll_interval_s = poll_interval_s
        self._telemetry = telemetry
        # unique per start: a number of a process comes back
        self._process_id = f"{platform.node()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edgekeeper feed", daemon=True)
        self._obeyed: tuple[object, ...] | None = None  # identity of the configs in force
        self._beaten: tuple[object, float] = (None, 0.0)
        self._n_reads = 0
        self._problem: str | None = None
        self._engine: Engine | None = None

    def start(self) -> None:
        """Read once and start the thread; what ``start_config_feed`` does last."""
        try:
            with self._connected() as connection:
                self._look(connection)
        except ConfigError:
            self._dispose()
            raise
        except _DATABASE_ERRORS as error:
            self._note(error)
        self._thread.start()

    def stop(self, *, timeout_s: float = 5.0) -> None:
        """End the thread after it has written what telemetry is left.

        What is in force stays, grows old and falls to its safe values.
        """
        self._stopping.set()
        self._thread.join(timeout_s)
        if not self._thread.is_alive():
            self._dispose()

    def status(self) -> FeedStatus:
        """Say how the feed is doing."""
        return FeedStatus(
            is_running=self._thread.is_alive(),
            n_reads=self._n_reads,
            problem=self._problem,
            telemetry_dropped=self._telemetry.dropped,
        )

    # --- the thread ---

    def _run(self) -> None:
        n_failures = 0
        while not self._stopping.is_set():
            n_reads = self._n_reads
            try:
                with self._connected() as connection:
                    self._follow(connection)
            except Exception as error:  # the thread must outlive whatever happens to it
                self._note(error)
                self._dispose()
            n_failures = 0 if self._n_reads > n_reads else n_failures + 1
            self._stopping.wait(_RETRY_S[min(n_failures, len(_RETRY_S) - 1)])

    def _follow(self, connection: Connection) -> None:
        """Look again at every notification and every interval, until a failure or the end."""
        while not self._stopping.is_set():
            self._look(connection)
            self._write_telemetry(connection)
            wait_for_notice(connection, self._poll_interval_s)  # a hint only: what holds is read
        self._write_telemetry(connection)

    def _connected(self) -> Connection:
        if self._engine is None:
            self._engine = listening_engine(self._url, application_name="edgekeeper bot")
        connection = self._engine.connect()
        try:
            listen(connection, CHANNEL)
        except BaseException:
            connection.close()
            raise
        return connection

    def _look(self, connection: Connection) -> None:
        """Read what to obey, and obey it."""
        read_at = time.monotonic()
        try:
            mark = read_mark(connection)
            _check_version(mark)
            if _identity(mark) != self._obeyed or in_force().problem is not None:
                read_at = time.monotonic()
                mark, configs = read_configs(connection)
                self._obeyed = None  # until the new one is in force
                self._put_in_force(mark, configs, read_at)
                self._obeyed = _identity(mark)
            else:
                self._confirm(mark, read_at)
            self._problem = None
        except (ConfigMissing, ConfigUnreadable) as error:
            self._note(error)
            distrust(str(error))
        except OperationalError:
            raise  # the database is away: what is in force grows old by itself
        except SQLAlchemyError as error:
            distrust(f"the database cannot be understood: {type(error).__name__}")
            raise
        else:
            self._beat(connection)
        self._n_reads += 1

    def _put_in_force(
        self, mark: ConfigMark, configs: Mapping[str, object], read_at: float
    ) -> None:
        _install(mark, configs, self._combine, self._max_config_age_s, read_at, self._telemetry)

    def _confirm(self, mark: ConfigMark, read_at: float) -> None:
        """Put the same table in force again, as of now, with the switch as it stands."""
        table = in_force().table
        if table is None:  # somebody uninstalled it
            self._obeyed = None
            return
        install(
            table,
            overrides_on=mark.overrides_on,
            switch_revision=mark.switch_revision,
            max_config_age_s=self._max_config_age_s,
            read_at=read_at,
            read_on=mark.read_on,
            record=self._telemetry.record,
        )

    def _beat(self, connection: Connection) -> None:
        """Acknowledge what is obeyed: at once when it changed, else once a second."""
        state = in_force()
        if state.table is None:
            return
        heartbeat = Heartbeat(
            bot=self._bot,
            process_id=self._process_id,
            generation=state.table.generation,
            revision=state.table.revision,
            switch_revision=state.switch_revision,
            overrides_on=state.overrides_on,
            telemetry_dropped=self._telemetry.dropped,
        )
        known, when = self._beaten
        if heartbeat != known or time.monotonic() - when >= _HEARTBEAT_S:
            beat(connection, heartbeat)
            self._beaten = (heartbeat, time.monotonic())

    def _write_telemetry(self, connection: Connection) -> None:
        while rows := self._telemetry.waiting(_TELEMETRY_BATCH):
            try:
                append(connection, rows)
                self._telemetry.written(len(rows))
            except (DataError, IntegrityError):
                self._write_one_by_one(connection, rows)
            except SQLAlchemyError as error:
                if isinstance(error, OperationalError):
                    raise
                self._note(error)  # kept, and tried again with the next look
                return

    def _write_one_by_one(self, connection: Connection, rows: list[Mapping[str, Any]]) -> None:
        for row in rows:
            try:
                append(connection, [row])
                self._telemetry.written(1)
            except (DataError, IntegrityError) as error:
                self._telemetry.refuse(1)
                _log.warning("an application is refused: %s", _sentence(error))

    def _note(self, error: Exception) -> None:
        said = _sentence(error)
        if said != self._problem:
            _log.warning("the feed of overrides: %s", said)
        self._problem = said

    def _dispose(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            with suppress(Exception):
                engine.dispose()


def _check_version(mark: ConfigMark) -> None:
    """Trust nothing that a newer version wrote, but for its kill switch where that is off."""
    newer = mark.of_a_newer_version
    if newer is not None:
        distrust(newer, overrides_on=mark.overrides_on)
        raise ConfigMissing(newer)


def _identity(mark: ConfigMark) -> tuple[object, ...]:
    return mark.generation, mark.revision, mark.fingerprint


def _install(
    mark: ConfigMark,
    configs: Mapping[str, object],
    combine: CombineRule,
    max_config_age_s: float,
    read_at: float,
    telemetry: Telemetry | None,
) -> None:
    try:
        table = read_table(
            configs,
            generation=mark.generation,
            revision=mark.revision,
            combine=combine,
            previous=in_force().table,
        )
    except ConfigUnreadable as error:
        distrust(str(error), overrides_on=mark.overrides_on)
        raise
    taken = install(
        table,
        overrides_on=mark.overrides_on,
        switch_revision=mark.switch_revision,
        max_config_age_s=max_config_age_s,
        read_at=read_at,
        read_on=mark.read_on,
        record=None if telemetry is None else telemetry.record,
    )
    if not taken:
        raise ConfigMissing(
            f"the database is at generation {mark.generation}, revision {mark.revision}, which is "
            "older than what is in force: was a backup restored without a new generation?"
        )
    for refusal in table.refusals[:5]:
        _log.warning("%s[%d] is not used: %s", refusal.list_name, refusal.position, refusal.reason)


def _sentence(error: Exception) -> str:
    said = str(getattr(error, "orig", None) or error).strip().splitlines()
    return said[0][:300] if said else type(error).__name__
