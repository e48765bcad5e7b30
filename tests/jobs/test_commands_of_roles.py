"""The command line with the least rights: what each process of a shared PostgreSQL may do."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import make_url

from jobs.commands.app import main
from learning.store.database import create_engine, transaction
from tests.learning.store.stored_lessons import stands, store_lesson

CLEAR: dict[str, Any] = {"stats": {"ci_low_rr": 0.1, "ci_high_rr": 0.9, "posterior_mean_rr": 0.4}}


def run(*arguments: str) -> int:
    """Run a command; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("role", "code", "status", "said"),
    [
        ("edgekeeper_approver", 0, "active", "The worker materialises its override"),
        ("edgekeeper_dashboard", 1, "proposed", "this database login may not decide"),
        ("edgekeeper_worker", 1, "proposed", "this database login may not decide"),
    ],
)
def test_only_an_approver_decides_and_the_worker_carries_it_out(
    fresh_database: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    role: str,
    code: int,
    status: str,
    said: str,
) -> None:
    engine = create_engine(fresh_database)
    with transaction(engine) as connection:
        lesson_id = store_lesson(connection, **CLEAR)
    as_role = make_url(fresh_database).update_query_dict({"options": f"-c role={role}"})
    monkeypatch.setenv("DATABASE_URL", as_role.render_as_string(hide_password=False))
    assert run("approve", f"L-{lesson_id}v1", "--reason", "looked at the evidence") == code
    told = capsys.readouterr()
    assert said in told.out + told.err
    with transaction(engine) as connection:
        assert stands(connection, lesson_id)[1] == status
    if role == "edgekeeper_approver":
        as_worker = make_url(fresh_database).update_query_dict(
            {"options": "-c role=edgekeeper_worker"}
        )
        monkeypatch.setenv("DATABASE_URL", as_worker.render_as_string(hide_password=False))
        assert run("job", "materialise_overrides") == 0
        assert "created: 1" in capsys.readouterr().out
    engine.dispose()
