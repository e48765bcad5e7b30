"""What somebody who helps needs to know of an installation, as one archive without a secret."""

from __future__ import annotations

import io
import json
import platform
import zipfile
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy import Engine

from dashboard import formats, queries
from dashboard.controls import Page
from dashboard.limits import limits_in_force, masked_address
from jobs.run_log import without_passwords
from learning.settings import Settings
from learning.store import database

PACKAGES = ("streamlit", "plotly", "pandas", "numpy", "scipy", "sqlalchemy", "psycopg")
_SECRET = ("database_url", "listen_url", "notice_urls")


def versions(engine: Engine) -> dict[str, str]:
    """Return what runs here, by name."""
    from jobs.runner import code_version

    with database.transaction(engine, read_only=True) as connection:
        server = str(connection.scalar(sa.text("SHOW server_version")))
        tables = database.schema_revision(connection) or "none"
    return {
        "Edgekeeper": code_version(),
        "Tables": f"revision {tables}",
        "PostgreSQL": server.partition(" ")[0],
        "Python": platform.python_version(),
        "System": platform.platform(terse=True),
        **{name: _installed(name) for name in PACKAGES},
    }


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def settings_told(settings: Settings) -> dict[str, Any]:
    """Return every setting, those that hold a secret only as far as they may be told.

    Examples:
        >>> told = settings_told(Settings(database_url="postgresql://ann:secret@db/x"))
        >>> told["database_url"], told["fdr_target"]
        ('postgresql://ann:***@db/x', 0.1)
    """
    told = settings.model_dump(mode="json", exclude=set(_SECRET))
    for name in ("database_url", "listen_url"):
        url = getattr(settings, name)
        told[name] = None if url is None else database.masked(url)
    told["notice_urls"] = [masked_address(url) for url in settings.notice_urls]
    return told


def diagnostics(page: Page) -> Callable[[], bytes]:
    """Return what makes the archive, when somebody asks for it."""

    def made() -> bytes:
        limits = [
            f"{one.limit}: {one.in_force} ({one.kept_by})"
            for one in limits_in_force(page.settings, page.health.approvals)
        ]
        runs = queries.read_runs(page.engine, days=7, limit=300)
        return archive(
            {
                "versions.json": _json(versions(page.engine)),
                "settings.json": _json(settings_told(page.settings)),
                "limits.txt": "\n".join(limits),
                "state.json": _json(_state(page)),
                "runs.csv": runs.map(formats.guarded).to_csv(index=False),
            }
        )

    return made


def _state(page: Page) -> dict[str, Any]:
    state = page.health.state
    return {
        "generation": state.generation,
        "revision": state.revision,
        "data_version": state.data_version,
        "outcome": state.outcome,
        "overrides_on": page.health.switch.overrides_on,
        "last_trade_at": page.health.last_trade_at,
        "inbox": queries.read_inbox(page.source),
        "people_by_role": pd.Series(list(page.health.people.values())).value_counts().to_dict(),
    }


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=2, default=str, ensure_ascii=False)


def archive(files: Mapping[str, str]) -> bytes:
    """Return files as a zip; whatever looks like a password in an address is left out.

    Examples:
        >>> made = zipfile.ZipFile(io.BytesIO(archive({"a.txt": "postgresql://a:secret@db/x"})))
        >>> made.read("a.txt").decode()
        'postgresql://a:***@db/x'
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in files.items():
            made.writestr(name, without_passwords(text))
    return buffer.getvalue()
