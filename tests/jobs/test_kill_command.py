"""The kill switch works when everything else is broken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from jobs.commands.app import main
from learning.store import switch_rows
from learning.store.database import create_engine, transaction

ROOT = Path(__file__).parents[2]
# Everything that computes, draws or migrates raises as soon as it is touched.
BROKEN = (
    "numpy", "scipy", "pandas", "numba", "sklearn", "streamlit", "plotly", "alembic", "pyarrow",
    "learning.evidence", "learning.events", "learning.meta", "learning.overrides",
    "learning.lessons.mining", "learning.lessons.posterior", "dashboard", "jobs.timetable",
    "jobs.runner", "jobs.scheduler",
)  # fmt: skip
BREAKING = f"""
import sys
class Breaks:
    def find_spec(self, name, path=None, target=None):
        if any(name == one or name.startswith(one + ".") for one in {BROKEN!r}):
            raise RuntimeError(name + " is broken")
sys.meta_path.insert(0, Breaks())
from jobs.commands.app import main
main(sys.argv[1:])
"""


def run(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BREAKING, *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={"DATABASE_URL": url, "PATH": "/usr/bin:/bin", "USER": "ann", "HOME": "/tmp"},
    )  # fmt: skip


def stands(url: str) -> bool:
    engine = create_engine(url)
    with transaction(engine) as connection:
        found = switch_rows.read_switch(connection).overrides_on
    engine.dispose()
    return found


def test_the_switch_is_turned_though_every_statistic_is_broken(fresh_database: str) -> None:
    done = run(fresh_database, "kill", "off", "--reason", "something is wrong")
    assert (done.returncode, done.stdout) == (0, "Overrides are OFF.\n"), done.stderr
    assert not stands(fresh_database)
    again = run(fresh_database, "kill", "on", "--reason", "it was mended", "--confirm", "ENABLE")
    assert again.returncode == 0, again.stderr
    assert stands(fresh_database)


def test_the_break_would_be_noticed(fresh_database: str) -> None:
    done = run(fresh_database, "lessons")
    assert done.returncode != 0
    assert "is broken" in done.stdout + done.stderr


def test_the_switch_is_turned_whatever_version_made_the_tables(
    fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine(fresh_database)
    with transaction(engine) as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    monkeypatch.setenv("DATABASE_URL", fresh_database)
    with pytest.raises(SystemExit) as ended:
        main(["kill", "off"])
    assert not ended.value.code
    assert not stands(fresh_database)
