"""From a stored lesson to the replay of its past trades, and the command that prints it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from sqlalchemy import Connection

from jobs.commands.app import main
from learning.settings import Settings
from learning.store import lesson_rows, replay_rows
from learning.store.database import create_engine, transaction
from tests.jobs.test_measure_effects import store_trades
from tests.learning.store.stored_lessons import CLEAR, store_lesson, store_override
from tests.strand_builders import START

SETTINGS = Settings()
RR = [2.0, 9.0, -3.0, 9.0, 1.0, 9.0, -1.0, 9.0]  # every second one is of another bucket


def stored(connection: Connection, **changes: object) -> int:
    """A lesson on micro, discovered when half of the trades had closed."""
    store_trades(connection, RR)
    return store_lesson(
        connection, "active", scope={"bucket": "micro"}, outcome="r_multiple",
        **{
            "stats": {**CLEAR, "posterior_mean_rr": 0.4},
            "discovered_at": START + timedelta(days=1.9),
            **changes,
        },
    )  # fmt: skip


def test_the_trades_in_scope_are_replayed_with_what_is_in_force(connection: Connection) -> None:
    """By hand: micro earns 2 - 3 = -1, then 1 - 1 = 0; the target is 1.1, in force is 1.02."""
    lesson_id = stored(connection)
    store_override(connection, lesson_id, size_mult=1.02)
    [lesson] = lesson_rows.read_lessons(connection, lesson_id=lesson_id)
    found = replay_rows.read_lesson_replay(
        connection, lesson, dims=SETTINGS.dimensions("pm"), origins=SETTINGS.origins
    )
    assert found.trades.rr.tolist() == [2, -3, 1, -1]
    target, now = found.replays
    assert [(one.kind, one.multiplier) for one in found.replays] == [
        ("target", 1.1), ("in force", 1.02),
    ]  # fmt: skip
    assert [(part.sample, part.n) for part in target.samples] == [
        ("in sample", 2), ("out of sample", 2),
    ]  # fmt: skip
    assert [part.adjusted_rr for part in target.samples] == pytest.approx([-1.1, 0])
    assert [part.adjusted_rr for part in now.samples] == pytest.approx([-1.02, 0])


def test_trades_before_a_lesson_was_found_again_are_in_sample(connection: Connection) -> None:
    claimed = (START + timedelta(days=2.9)).timestamp() / 86400
    stats = {**CLEAR, "posterior_mean_rr": 0.4, "claim_rr": 0.1, "claimed_at_days": claimed}
    lesson_id = stored(connection, stats=stats)
    [lesson] = lesson_rows.read_lessons(connection, lesson_id=lesson_id)
    found = replay_rows.read_lesson_replay(
        connection, lesson, dims=SETTINGS.dimensions("pm"), origins=SETTINGS.origins
    )
    assert found.trades.is_in_sample.tolist() == [True, True, True, False]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    told = capsys.readouterr()
    return int(ended.value.code or 0), told.out + told.err


@pytest.fixture
def url(fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("EDGEKEEPER_DATABASE_URL", fresh_database)
    return fresh_database


def test_the_command_tells_samples_apart(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    effect = {"capital_levers": {"size_mult": 1.1}, "execution_levers": {"trail_mult": 1.2}}
    with transaction(create_engine(url)) as connection:
        lesson_id = stored(connection, effect=effect)
    code, told = run(capsys, "replay", f"L-{lesson_id:04d}")
    assert code == 0
    assert "4 trades in scope" in told
    lines = [line.split() for line in told.splitlines() if "sample  " in line]
    assert ["target", "x1.100", "in", "sample", "2", "-1.00", "-1.10", "-0.10", "3.00",
            "3.30"] in lines  # fmt: skip
    assert "proves nothing" in told
    assert "trail_mult is not replayed" in told
    code, told = run(capsys, "replay", str(lesson_id), "--json")
    assert code == 0
    given = json.loads(told)
    assert given["is_in_sample"] == [True, True, False, False]
    assert given["traded_curve_rr"] == [2, -1, 0, -1]
    assert [one["kind"] for one in given["replays"]] == ["target", "first step"]
    assert given["replays"][0]["adjusted_curve_rr"] == pytest.approx([2.2, -1.1, 0, -1.1])


def test_an_unknown_lesson_is_refused(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "replay", "L-9999") == (1, "there is no lesson L-9999\n")
