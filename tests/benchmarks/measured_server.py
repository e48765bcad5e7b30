"""An embedded server of a benchmark's own, with one override that a bot can read."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from learning.store.database import migrate
from learning.store.embedded import start_server, stop_server
from tests.learning.runtime.configs import config, entry


def plain(url: str) -> str:
    """Return the URL as psycopg takes it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


@contextmanager
def measured_server() -> Iterator[str]:
    """A server with one override, in a folder that is removed afterwards."""
    home = Path(tempfile.mkdtemp(prefix="edgekeeper-bench-"))
    home.chmod(0o711)
    try:
        url = start_server(home)
        migrate(url)
        soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        text = json.dumps(config(entry(1, {"entry_aggression_mult": 1.1}, expires_at=soon)))
        with psycopg.connect(plain(url)) as database:
            database.execute("UPDATE edgekeeper_state SET revision = 1")
            database.execute(
                "INSERT INTO learning_configs (module, config_data, version, generation) "
                "VALUES ('pm', %s, 1, 1)",
                (text,),
            )
        yield url
    finally:
        stop_server(home)
        shutil.rmtree(home)
