"""What mining rests on, in a few bytes: where it is as before, mining would find the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from jobs.job import JobContext
from jobs.lesson_claims import moments_behind
from jobs.runner import code_version
from learning.domain.pattern_key import Module
from learning.evidence.aggregation import RegimeWeights, regime_weights_for
from learning.evidence.trade_events import GroupKey
from learning.lessons.path_selection import groups_behind
from learning.settings import Settings
from learning.store import group_mark_rows, mining_run_rows, regime_weight_rows, state_rows
from learning.store.group_mark_rows import GroupMark
from learning.store.lesson_rows import StoredLesson

NAME = "rests_on"  # in the details of a run
_NET = "r_multiple_net"
_NO_EVIDENCE = {"database_url", "listen_url", "notice_urls", "home", "host", "port"}


@dataclass(frozen=True, slots=True)
class Grounds:
    """What the evidence of a module's lessons rests on, beside the lessons themselves.

    To be read before the trades: what is committed in between is then read by this run, and once
    more by the next.

    Attributes:
        rules: What holds for all: the outcome, the settings, the code.
        marks: The trades of each group, by outcome.
        weights: What was learned of regimes.
    """

    rules: Mapping[str, Any]
    marks: Mapping[str, Mapping[GroupKey, GroupMark]]
    weights: RegimeWeights

    def of_run(self, lessons: Sequence[StoredLesson], now: datetime) -> str:
        """Return a hash of all that a run reads, and of whether a lesson is to be asked."""
        return _hash(
            {
                **self.rules,
                "marks": self._marks_of([key for marks in self.marks.values() for key in marks]),
                "lessons": [
                    [one.lesson_id, one.status, one.version, moments_behind(one, now)]
                    for one in lessons
                ],
                "weights": [
                    [*key, sorted(values.items())] for key, values in sorted(self.weights.items())
                ],
            }
        )

    def of_lesson(self, lesson: StoredLesson, *, reference_run: int) -> str:
        """Return a hash of all that one lesson is measured on and judged by between two looks.

        Args:
            reference_run: The discovery look that froze what it is measured against.
        """
        own = regime_weights_for(self.weights, *lesson.key, lesson.scope)
        standing = (lesson.lesson_id, lesson.status, lesson.version, lesson.confirmation)
        return _hash(
            {
                **self.rules,
                "marks": self._marks_of(groups_behind(lesson.key)),
                "lesson": standing,
                "weights": sorted(own.items()),
                "reference_run": reference_run,
            }
        )

    def _marks_of(self, groups: Sequence[GroupKey]) -> list[list[Any]]:
        return [
            [outcome, *key, marks[key].n, marks[key].events_hash]
            for outcome, marks in sorted(self.marks.items())
            for key in sorted(set(groups))
            if key in marks
        ]


def read_grounds(connection: Connection, module: Module, settings: Settings) -> Grounds | None:
    """Read what a module's evidence rests on; None while no outcome is analysed."""
    outcome = state_rows.read_state(connection).outcome
    if outcome is None:
        return None
    return Grounds(
        rules={
            "outcome": outcome,
            "settings": settings.model_dump(mode="json", exclude=_NO_EVIDENCE),
            "code": code_version(),
        },
        marks={
            name: group_mark_rows.read_marks(
                connection, module, outcome=name, origins=settings.origins
            )
            for name in sorted({outcome, _NET})
        },
        weights=regime_weight_rows.read_weights(connection, module),
    )


def _hash(told: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def is_mined_already(
    connection: Connection, module: Module, mark: str, context: JobContext
) -> bool:
    """Say whether the newest run rested on the same, and no discovery look is due by time.

    One that is due by growth, or since there was too little to see, would see the same trades.
    """
    last = mining_run_rows.last_run(connection, module)
    if last is None or last.details.get(NAME) != mark:
        return False
    look = mining_run_rows.last_discovery(connection, module, last.outcome)
    if look is None:
        return True
    return (context.now - look.created_at).days < context.settings.discovery_interval_days
