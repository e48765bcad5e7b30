"""Logins of the roles, as an operator makes them on a PostgreSQL of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import uuid4

from sqlalchemy import make_url

from learning.store.database import create_engine

ROLES = ("bot", "worker", "dashboard", "approver")
_PASSWORD = "a password of a test"


@contextmanager
def logins(url: str) -> Iterator[Mapping[str, str]]:
    """Make a login for each role as README says; yield their URLs by role."""
    owner = create_engine(url, isolation_level="AUTOCOMMIT")
    names = {role: f"test_{role}_{uuid4().hex[:8]}" for role in ROLES}
    with owner.connect() as connection:
        for role, name in names.items():
            connection.exec_driver_sql(f"CREATE ROLE {name} LOGIN PASSWORD '{_PASSWORD}'")
            connection.exec_driver_sql(f"GRANT edgekeeper_{role} TO {name}")
        yield {
            role: make_url(url)
            .set(username=name, password=_PASSWORD)
            .render_as_string(hide_password=False)
            for role, name in names.items()
        }
        for name in names.values():
            connection.exec_driver_sql(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{name}'"
            )
            connection.exec_driver_sql(f"DROP ROLE {name}")
    owner.dispose()
