"""What a mining run rests on, in a few bytes: where it is as before, mining would find the same."""

from __future__ import annotations

import hashlib
import json

from sqlalchemy import Connection

from jobs.job import JobContext
from jobs.runner import code_version
from learning.domain.pattern_key import Module
from learning.settings import Settings
from learning.store import (
    group_mark_rows,
    lesson_rows,
    mining_run_rows,
    regime_weight_rows,
    state_rows,
)

NAME = "rests_on"  # in the details of a run
_NET = "r_multiple_net"
_NO_EVIDENCE = {"database_url", "listen_url", "notice_urls", "home", "host", "port"}


def mining_mark(connection: Connection, module: Module, settings: Settings) -> str | None:
    """Return a hash of all that a run reads; None while no outcome is analysed.

    To be asked before the trades are read: what is committed in between is then read by this
    run, and once more by the next.
    """
    outcome = state_rows.read_state(connection).outcome
    if outcome is None:
        return None
    told = {
        "marks": [
            [*key, mark.n, mark.events_hash]
            for name in sorted({outcome, _NET})
            for key, mark in sorted(
                group_mark_rows.read_marks(
                    connection, module, outcome=name, origins=settings.origins
                ).items()
            )
        ],
        "lessons": [
            [one.lesson_id, one.status, one.version]
            for one in lesson_rows.read_lessons(connection, module)
        ],
        "weights": [
            [*key, sorted(values.items())]
            for key, values in sorted(regime_weight_rows.read_weights(connection, module).items())
        ],
        "outcome": outcome,
        "settings": settings.model_dump(mode="json", exclude=_NO_EVIDENCE),
        "code": code_version(),
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def is_mined_already(
    connection: Connection, module: Module, mark: str | None, context: JobContext
) -> bool:
    """Say whether the newest run rested on the same, and no discovery look is due by time.

    One that is due by growth, or since there was too little to see, would see the same trades.
    """
    last = mining_run_rows.last_run(connection, module)
    if mark is None or last is None or last.details.get(NAME) != mark:
        return False
    look = mining_run_rows.last_discovery(connection, module, last.outcome)
    if look is None:
        return False
    return (context.now - look.created_at).days < context.settings.discovery_interval_days
