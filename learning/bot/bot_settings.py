"""Where a bot finds the database, and by which rules it obeys: what it says, else the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import make_url

from learning.errors import DatabaseUnavailable
from learning.runtime.override_index import CombineRule
from learning.settings import Settings
from learning.store.database import resolve_url

_AS_BOT: Final = "-c role=edgekeeper_bot"


def bot_settings(
    *,
    database_url: str | None = None,
    home: Path | None = None,
    max_config_age_s: float | None = None,
    combine: CombineRule | None = None,
) -> Settings:
    """Return the settings of the environment, with what the bot itself says before them.

    Raises:
        ConfigError: If one of them breaks its rule; the sentence names it.
    """
    said = {
        "database_url": database_url,
        "home": home,
        "max_config_age_s": max_config_age_s,
        "combine": combine,
    }
    return Settings.from_env(**{name: value for name, value in said.items() if value is not None})


def existing_database(settings: Settings, *, to_listen: bool = False) -> str:
    """Return the URL of a database that is there; an embedded one that is stopped is started.

    None is ever made: a bot with a wrong folder would obey and fill an empty database of its own,
    unseen, while the overrides and the kill switch of the right one never reach it.

    To the embedded server a bot connects with the rights of ``edgekeeper_bot``: it adds strands
    and telemetry and reads what it obeys, nothing else. A URL says itself as whom it connects.

    Args:
        settings: From ``bot_settings``.
        to_listen: Whether notifications must arrive, which not every pooler lets through.

    Raises:
        ConfigError: If the URL is none of PostgreSQL.
        DatabaseUnavailable: If no URL is named and the home folder holds no database, or its
            server does not come up.
    """
    url = settings.database_url
    if to_listen and settings.listen_url is not None:
        url = settings.listen_url
    if url is not None:
        return resolve_url(url, settings.home)
    _check_database_was_made(settings.home)
    found = make_url(resolve_url(None, settings.home)).update_query_dict({"options": _AS_BOT})
    return found.render_as_string(hide_password=False)


def _check_database_was_made(home: Path) -> None:
    # not at the top: the embedded server needs a Unix system, an external one does not
    from learning.store.embedded import server_status

    found = server_status(home)
    if found.state == "absent":
        raise DatabaseUnavailable(
            f"{found.data_dir} holds no database, and a bot makes none: set DATABASE_URL, or "
            "EDGEKEEPER_HOME to the folder of the Edgekeeper that learns for it"
        )
