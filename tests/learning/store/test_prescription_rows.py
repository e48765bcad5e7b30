"""What a revision prescribed, from the moves alone."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection

from learning.store import application_rows, override_rows, prescription_rows
from tests.learning.store.stored_lessons import store_lesson


def move(lesson_id: int, revision: int, after: dict[str, float] | None, generation: int = 1) -> Any:
    return override_rows.move(
        lesson_id=lesson_id,
        lesson_version=1,
        module="pm",
        change="removed" if after is None else "moved",
        before=None,
        after=after,
        epoch=date(2024, 3, 1),
        reason="for a test",
        generation=generation,
        revision=revision,
    )


def applied(lesson_id: int, revision: int, levers: dict[str, float], generation: int = 1) -> Any:
    return {
        "application_key": uuid4(), "bot": "b", "module": "pm", "trade_id": "t",
        "pattern_key": "pm.a.b.c", "action_category": "entry", "override_id": 1,
        "lesson_id": lesson_id, "lesson_version": 1, "generation": generation,
        "revision": revision, "scope": {}, "levers_before": {}, "levers_after": {},
        "levers_would_be": levers, "arm": "treated", "reason": "applied",
        "decided_at": "2024-03-01T12:00:00+00:00",
    }  # fmt: skip


@pytest.fixture
def lessons(connection: Connection) -> tuple[int, int]:
    first, second = (store_lesson(connection, "active") for _ in range(2))
    override_rows.append_history(
        connection,
        [
            move(first, 2, {"size_mult": 1.02, "trail_mult": 1.1}),
            move(second, 3, {"size_mult": 0.98}),
            move(first, 5, {"size_mult": 1.04}),
            move(first, 7, None),
            move(first, 1, {"size_mult": 1.06}, generation=2),
        ],
    )
    return first, second


def test_a_revision_prescribes_the_last_move_up_to_it(
    connection: Connection, lessons: tuple[int, int]
) -> None:
    first, second = lessons
    stood = {
        at: prescription_rows.levers_at(connection, "pm", generation=at[0], revision=at[1])
        for at in [(1, 1), (1, 2), (1, 4), (1, 6), (1, 7), (2, 1)]
    }
    assert stood == {
        (1, 1): {},
        (1, 2): {first: {"size_mult": 1.02, "trail_mult": 1.1}},
        (1, 4): {first: {"size_mult": 1.02, "trail_mult": 1.1}, second: {"size_mult": 0.98}},
        (1, 6): {first: {"size_mult": 1.04}, second: {"size_mult": 0.98}},
        (1, 7): {second: {"size_mult": 0.98}},
        (2, 1): {first: {"size_mult": 1.06}, second: {"size_mult": 0.98}},
    }


def test_applications_are_held_against_the_revision_they_name(
    connection: Connection, lessons: tuple[int, int]
) -> None:
    first, second = lessons
    application_rows.append(
        connection,
        [
            applied(first, 2, {"size_mult": 1.02}),  # its execution levers come in another row
            applied(first, 4, {"trail_mult": 1.1}),
            applied(second, 9, {"size_mult": 0.98}),
            applied(first, 3, {"size_mult": 1.06}, generation=2),
        ],
    )
    assert prescription_rows.count_departures(connection) == 0
    application_rows.append(
        connection,
        [
            applied(first, 4, {"size_mult": 1.04}),  # of a later revision
            applied(first, 8, {"size_mult": 1.04}),  # removed by then
            applied(second, 1, {"size_mult": 0.98}),  # not there yet
            applied(second, 4, {"size_mult": 0.98, "trail_mult": 1.1}),  # never prescribed
        ],
    )
    assert prescription_rows.count_departures(connection) == 4
    assert prescription_rows.count_departures(connection, newest=1) == 1
