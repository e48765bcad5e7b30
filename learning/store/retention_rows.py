"""What is thrown away when it is old: records of running, never events, decisions or telemetry.

Strands, events, decisions, versions of lessons, moves of overrides and their applications are
never touched: the database refuses it for most of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from learning.store.schema import (
    bot_heartbeats,
    job_runs,
    learning_edge_history,
    regime_weight_history,
)

_ENDED = ("ok", "failed", "skipped", "lost")


@dataclass(frozen=True, slots=True)
class Retention:
    """How long each kind of record is kept.

    Attributes:
        arrivals: Good runs for a single arrival, which come by the thousand.
        log_tails: The log of a run; the run itself stays.
        runs: Runs; the last good one of each job always stays, for its age.
        heartbeats: Bot processes that read nothing any more.
        edge_history: Windows of the edge history; they can be rebuilt from events.
        daily_weights: Regime weights of every day; before that the last ones of each week stay.
        weights: Regime weights; the last ones of each regime always stay.
    """

    arrivals: timedelta = timedelta(days=2)
    log_tails: timedelta = timedelta(days=30)
    runs: timedelta = timedelta(days=400)
    heartbeats: timedelta = timedelta(days=30)
    edge_history: timedelta = timedelta(days=5 * 366)
    daily_weights: timedelta = timedelta(days=90)
    weights: timedelta = timedelta(days=5 * 366)


POLICY = Retention()


def prune(connection: Connection, policy: Retention, *, now: datetime) -> dict[str, int]:
    """Delete what is older than the policy keeps; return how many rows, by kind."""
    c = job_runs.c
    last_ok = sa.select(sa.func.max(c.id)).where(c.status == "ok").group_by(c.job)
    disposable = sa.and_(c.status.in_(_ENDED), c.id.not_in(last_ok))
    arrivals = sa.delete(job_runs).where(
        disposable,
        c.run_trigger == "notify",
        c.status == "ok",
        c.finished_at < now - policy.arrivals,
    )
    runs = sa.delete(job_runs).where(disposable, c.finished_at < now - policy.runs)
    logs = (
        sa.update(job_runs)
        .where(c.log_tail.is_not(None), c.finished_at < now - policy.log_tails)
        .values(log_tail=sa.null())
    )
    silent = sa.delete(bot_heartbeats).where(
        bot_heartbeats.c.last_read_at < now - policy.heartbeats
    )
    windows = sa.delete(learning_edge_history).where(
        learning_edge_history.c.window_start < now - policy.edge_history
    )
    statements: dict[str, sa.Delete | sa.Update] = {
        "runs_for_arrivals": arrivals,
        "runs": runs,
        "log_tails": logs,
        "bot_heartbeats": silent,
        "edge_history_windows": windows,
        "regime_weights": _superseded_weights(policy, now),
    }
    return {name: connection.execute(one).rowcount for name, one in statements.items()}


def _superseded_weights(policy: Retention, now: datetime) -> sa.Delete:
    """Weights that later ones of their regime follow: within a week, or beyond all keeping."""
    h, later = regime_weight_history.c, regime_weight_history.alias("later")
    same = sa.and_(
        *(
            later.c[name] == h[name]
            for name in ("module", "pattern_key", "action_category", "regime_signature")
        ),
        later.c.learned_on > h.learned_on,
    )

    def week(day: sa.ColumnElement[date]) -> sa.ColumnElement[Any]:
        return sa.func.date_trunc("week", day)

    followed = sa.exists().where(same)
    followed_soon = sa.exists().where(same, week(later.c.learned_on) == week(h.learned_on))
    return sa.delete(regime_weight_history).where(
        sa.or_(
            sa.and_(h.learned_on < (now - policy.daily_weights).date(), followed_soon),
            sa.and_(h.learned_on < (now - policy.weights).date(), followed),
        )
    )
