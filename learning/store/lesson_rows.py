"""Lessons: evidence as found and refreshed, and their versions. Statuses move by decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from learning.domain.pattern_key import Module
from learning.domain.scope import Scope, scope_hash
from learning.evidence.trade_events import GroupKey
from learning.lessons.evidence_record import EvidenceRecord
from learning.lessons.life_cycle import claimed_at
from learning.store.schema import learning_lessons, lesson_versions, pattern_trade_events

LessonKey = tuple[str, str, str, str]
"""pattern_key, action_category, hash of the scope's values, lesson type."""

_UNASKED = {"confirmation": "pending", "confirmation_reason": None, "moments_asked": 0}


@dataclass(frozen=True, slots=True)
class StoredLesson:
    """A lesson as stored."""

    lesson_id: int
    module: Module
    key: GroupKey
    scope: Scope
    lesson_type: str
    outcome: str
    n: int
    stats: Mapping[str, Any]
    effect: Mapping[str, Any]
    strength: float
    decay_halflife_hours: float | None
    half_life_state: str
    half_life_reason: str | None
    latent_factor_id: str | None
    status: str
    status_reason: str
    confirmation: str
    moments_asked: int
    version: int
    weak_looks: int
    mean_closed_at: datetime
    discovered_at: datetime
    activated_at: datetime | None
    expires_at: datetime | None
    composition: Mapping[str, Any]

    @property
    def identity(self) -> LessonKey:
        """What makes it this lesson and no other."""
        return lesson_key(self.key, self.scope, self.lesson_type)

    @property
    def label(self) -> str:
        """Its name on screens and in commands."""
        return f"L-{self.lesson_id:04d}"

    @property
    def claimed_at(self) -> datetime:
        """Since when its trades are later ones: see ``claimed_at``."""
        return claimed_at(self.stats, self.discovered_at)


def lesson_key(key: GroupKey, scope: Scope, lesson_type: str) -> LessonKey:
    """Return the identity of a lesson."""
    return (*key, scope_hash(scope), lesson_type)


def read_lessons(
    connection: Connection,
    module: Module | None = None,
    *,
    statuses: Sequence[str] | None = None,
    lesson_id: int | None = None,
) -> list[StoredLesson]:
    """Return lessons by id."""
    c = learning_lessons.c
    query = sa.select(learning_lessons).order_by(c.id)
    if module is not None:
        query = query.where(c.module == module)
    if statuses is not None:
        query = query.where(c.status.in_(statuses))
    if lesson_id is not None:
        query = query.where(c.id == lesson_id)
    return [_stored(row) for row in connection.execute(query).mappings()]


def _stored(row: sa.RowMapping) -> StoredLesson:
    return StoredLesson(
        lesson_id=row["id"],
        module=row["module"],
        key=(row["pattern_key"], row["action_category"]),
        scope={name: row["scope_values"][name] for name in row["scope_dims"]},
        lesson_type=row["lesson_type"],
        outcome=row["outcome"],
        n=row["n"],
        stats=row["stats"],
        effect=row["effect"],
        strength=row["lesson_strength"],
        decay_halflife_hours=row["decay_halflife_hours"],
        half_life_state=row["half_life_state"],
        half_life_reason=row["half_life_reason"],
        latent_factor_id=row["latent_factor_id"],
        status=row["status"],
        status_reason=row["status_reason"],
        confirmation=row["confirmation"],
        moments_asked=row["moments_asked"],
        version=row["version"],
        weak_looks=row["weak_looks"],
        mean_closed_at=row["mean_closed_at"],
        discovered_at=row["discovered_at"],
        activated_at=row["activated_at"],
        expires_at=row["expires_at"],
        composition=row["composition"],
    )


def insert_lesson(
    connection: Connection,
    module: Module,
    record: EvidenceRecord,
    *,
    status: str,
    reason: str,
    mining_run_id: int,
    parent_lesson_id: int | None,
    composition: Mapping[str, Any],
    now: datetime,
) -> int:
    """Insert a lesson that was found for the first time; return its id."""
    lesson_id: int = connection.execute(
        sa.insert(learning_lessons)
        .values(
            module=module,
            pattern_key=record.key[0],
            action_category=record.key[1],
            scope_dims=list(record.scope),
            scope_values=dict(record.scope),
            scope_values_hash=scope_hash(record.scope),
            lesson_type=record.lesson_type,
            half_life_reason="not fitted yet: the half-lives are estimated by a job of their own",
            status=status,
            status_reason=reason,
            parent_lesson_id=parent_lesson_id,
            discovered_at=now,
            mining_run_id=mining_run_id,
            **_evidence(record, composition),
        )
        .returning(learning_lessons.c.id)
    ).scalar_one()
    append_version(connection, lesson_id, reason=reason)
    return lesson_id


def _evidence(record: EvidenceRecord, composition: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "outcome": record.stats["rr_kind"],
        "n": record.n,
        "stats": dict(record.stats),
        "effect": {name: dict(levers) for name, levers in record.effect.items()},
        "lesson_strength": record.strength,
        "mean_closed_at": record.mean_closed_at,
        "composition": dict(composition),
    }


def refresh_lesson(
    connection: Connection,
    lesson_id: int,
    record: EvidenceRecord,
    *,
    weak_looks: int,
    mining_run_id: int,
    composition: Mapping[str, Any],
    claims_anew: bool,
) -> None:
    """Write today's evidence of a standing lesson; its status and version stay.

    A lesson that claims anew is pending again, whatever later trades said of its former claim.
    """
    connection.execute(
        sa.update(learning_lessons)
        .where(learning_lessons.c.id == lesson_id)
        .values(
            weak_looks=weak_looks,
            mining_run_id=mining_run_id,
            updated_at=sa.func.now(),
            **(_UNASKED if claims_anew else {}),
            **_evidence(record, composition),
        )
    )


def set_weak_looks(connection: Connection, lesson_id: int, weak_looks: int) -> None:
    """Write at how many discovery looks in a row a lesson was weak."""
    connection.execute(
        sa.update(learning_lessons)
        .where(learning_lessons.c.id == lesson_id)
        .values(weak_looks=weak_looks, updated_at=sa.func.now())
    )


def raise_version(connection: Connection, lesson_id: int, *, reason: str) -> int:
    """Start a new version of a lesson that is not active; return its number."""
    version: int = connection.execute(
        sa.update(learning_lessons)
        .where(learning_lessons.c.id == lesson_id)
        .values(version=learning_lessons.c.version + 1, updated_at=sa.func.now())
        .returning(learning_lessons.c.version)
    ).scalar_one()
    append_version(connection, lesson_id, reason=reason)
    return version


def append_version(connection: Connection, lesson_id: int, *, reason: str) -> None:
    """Keep a lesson as it stands as its current version."""
    c = learning_lessons.c
    snapshot = sa.func.jsonb_build_object(
        "scope_values", c.scope_values, "stats", c.stats, "effect", c.effect,
        "lesson_strength", c.lesson_strength, "decay_halflife_hours", c.decay_halflife_hours,
        "latent_factor_id", c.latent_factor_id, "outcome", c.outcome, "n", c.n,
    )  # fmt: skip
    connection.execute(
        sa.insert(lesson_versions).from_select(
            ["lesson_id", "version", "snapshot", "reason"],
            sa.select(c.id, c.version, snapshot, sa.literal(reason)).where(c.id == lesson_id),
        )
    )


def read_effects(connection: Connection, module: Module) -> dict[int, Mapping[str, Any]]:
    """Return the effect of each lesson's current version, as it was offered or approved."""
    lessons, versions = learning_lessons.c, lesson_versions.c
    rows = connection.execute(
        sa.select(lessons.id, versions.snapshot["effect"])
        .join(
            lesson_versions,
            sa.and_(versions.lesson_id == lessons.id, versions.version == lessons.version),
        )
        .where(lessons.module == module)
    )
    return dict(rows.all())


def set_confirmation(
    connection: Connection, lesson_id: int, *, state: str, reason: str, moments_asked: int
) -> None:
    """Write what the trades since discovery say, and at which moment they were asked last."""
    connection.execute(
        sa.update(learning_lessons)
        .where(learning_lessons.c.id == lesson_id)
        .values(
            confirmation=state,
            confirmation_reason=reason,
            moments_asked=moments_asked,
            updated_at=sa.func.now(),
        )
    )


def set_half_life(
    connection: Connection,
    lesson_id: int,
    *,
    hours: float | None,
    state: str,
    reason: str | None,
    details: Mapping[str, Any],
) -> None:
    """Write a lesson's half-life, or why there is none."""
    connection.execute(
        sa.update(learning_lessons)
        .where(learning_lessons.c.id == lesson_id)
        .values(
            decay_halflife_hours=hours,
            half_life_state=state,
            half_life_reason=reason,
            half_life=dict(details),
            updated_at=sa.func.now(),
        )
    )


def set_strength(connection: Connection, lesson_id: int, strength: float) -> None:
    """Write a lesson's strength."""
    connection.execute(
        sa.update(learning_lessons)
        .where(learning_lessons.c.id == lesson_id)
        .values(lesson_strength=strength, updated_at=sa.func.now())
    )


def set_factor(connection: Connection, lesson_ids: Sequence[int], factor_id: str | None) -> None:
    """Write which latent factor lessons belong to."""
    connection.execute(
        sa.update(learning_lessons)
        .where(
            learning_lessons.c.id.in_(lesson_ids),
            learning_lessons.c.latent_factor_id.is_distinct_from(factor_id),
        )
        .values(latent_factor_id=factor_id, updated_at=sa.func.now())
    )


def read_composition(
    connection: Connection,
    module: Module,
    key: GroupKey,
    scope: Scope,
    *,
    outcome: str,
    origins: Sequence[str],
) -> dict[str, dict[str, int]]:
    """Return a lesson's trades by bot and by origin."""
    c = pattern_trade_events.c
    trades = connection.execute(
        sa.select(c.bot, c.origin, sa.func.count(sa.distinct(c.strand_id)))
        .where(
            c.module == module,
            c.pattern_key == key[0],
            c.action_category == key[1],
            c.origin.in_(origins),
            c.scope.contains(dict(scope)),
            c[outcome].is_not(None),
        )
        .group_by(c.bot, c.origin)
    )
    by_bot: dict[str, int] = {}
    by_origin: dict[str, int] = {}
    for bot, origin, n in trades:
        by_bot[bot] = by_bot.get(bot, 0) + n
        by_origin[origin] = by_origin.get(origin, 0) + n
    return {"by_bot": by_bot, "by_origin": by_origin}
