"""What every command starts with: settings, a migrated database, who is asking."""

from __future__ import annotations

import getpass
import os
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from learning.errors import ConfigError
from learning.settings import Settings
from learning.store import database

if TYPE_CHECKING:
    from jobs.runner import Runner

_PLATFORMS = ("DYNO", "RAILWAY_ENVIRONMENT", "FLY_APP_NAME")


def open_database(settings: Settings) -> Engine:
    """Return an engine on a database whose tables are up to date.

    Raises:
        ConfigError: On a hosting platform without DATABASE_URL: its disks are thrown away.
        DatabaseUnavailable: If there is no reaching or starting it.
    """
    hosted = [name for name in _PLATFORMS if name in os.environ]
    if settings.database_url is None and hosted:
        raise ConfigError(
            f"{hosted[0]} says this is a hosting platform, whose disk does not last: set "
            "DATABASE_URL to a PostgreSQL"
        )
    engine = database.create_engine(database.resolve_url(settings.database_url, settings.home))
    database.migrate(engine)
    return engine


def runner_for(settings: Settings) -> Runner:
    """Return a runner on the migrated database."""
    # not at the top: the jobs bring all of the statistics with them, which takes seconds
    from jobs.runner import Runner
    from jobs.timetable import JOBS

    return Runner(open_database(settings), settings, JOBS)


def actor(name: str | None) -> str:
    """Return who is asking: the name given, else the user of this machine."""
    if name:
        return name
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
