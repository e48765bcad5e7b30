"""Which lessons a list of decisions holds: by state, by what is asked of them, by overlap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import pandas as pd

EXPIRED: Final = "expired"
PUT_OFF: Final = "put off"
STATES: Final = ("proposed", "active", EXPIRED, PUT_OFF, "watch", "disabled", "rejected", "retired")
SORTS: Final[Mapping[str, tuple[str, bool]]] = {
    "at stake": ("value_rr", False),
    "edge": ("posterior_mean_rr", False),
    "q": ("q_value", True),
    "trades": ("n", False),
    "newest": ("discovered_at", False),
}


@dataclass(frozen=True, slots=True)
class Queue:
    """A list as it stood when it was opened: ids and versions, no rows.

    It lives in the session from one run of the page to the next. A page is run as a script each
    time, so a class of its own would be another one at the next run, and no queue known again.
    """

    asked: tuple[Any, ...]
    number: int
    data_version: int
    ids: tuple[int, ...]
    versions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a list is narrowed to.

    Attributes:
        min_n: Least number of trades.
        max_q: Largest q-value; None: any, also none.
        factor: Latent factor; None: any.
        only_apart: Leave out what an override in force already speaks about.
        sort: One of ``SORTS``.
    """

    min_n: int = 0
    max_q: float | None = None
    factor: str | None = None
    only_apart: bool = False
    sort: str = "at stake"


def with_states(
    lessons: pd.DataFrame, *, now: datetime, put_off: Mapping[int, datetime]
) -> pd.DataFrame:
    """Return lessons with the list that each belongs to.

    An active lesson whose override has ended is expired: no bot obeys it, and renewing is a
    decision. A proposed one that the reader put off waits in a list of its own.

    Args:
        put_off: By lesson id, until when the reader put it off.
    """
    state = lessons["status"].astype(object).copy()
    ended = pd.to_datetime(lessons["expires_at"], utc=True) <= now
    state[(lessons["status"] == "active") & ended] = EXPIRED
    state[(lessons["status"] == "proposed") & lessons["id"].isin(list(put_off))] = PUT_OFF
    return lessons.assign(state=state)


def narrowed(lessons: pd.DataFrame, asked: Asked) -> pd.DataFrame:
    """Return the lessons that pass, in the order asked for."""
    kept = lessons["n"] >= asked.min_n
    if asked.max_q is not None:
        kept &= lessons["q_value"] <= asked.max_q
    if asked.factor is not None:
        kept &= lessons["latent_factor_id"] == asked.factor
    if asked.only_apart:
        kept &= ~lessons["meets_active"]
    column, ascending = SORTS[asked.sort]
    return lessons[kept].sort_values([column, "id"], ascending=[ascending, True])


_COMPETING: Final = ["status", "latent_factor_id", "module", "pattern_key", "action_category",
                     "lesson_type", "scope"]  # fmt: skip


def meets_active(lessons: pd.DataFrame) -> pd.Series:
    """Say of each lesson whether another one in force competes with it for the same trades.

    They do where they are one latent factor, or of one setup with contexts that can both hold.
    A level and a scope of a setup do not: both apply, as a product.
    """
    rows = lessons[_COMPETING].to_dict("records")
    active = [row for row in rows if row["status"] == "active"]
    factors = {row["latent_factor_id"] for row in active if row["latent_factor_id"]}
    by_setup: dict[tuple[Any, ...], list[dict[Any, Any]]] = {}
    for row in active:
        by_setup.setdefault(_setup(row), []).append(row)
    found = [
        row["status"] != "active"
        and (
            row["latent_factor_id"] in factors
            or any(can_both_hold(row["scope"], other["scope"])
                   for other in by_setup.get(_setup(row), ()))
        )
        for row in rows
    ]  # fmt: skip
    return pd.Series(found, index=lessons.index, dtype=bool)


def _setup(lesson: Mapping[Any, Any]) -> tuple[Any, ...]:
    names = ("module", "pattern_key", "action_category")
    return (*(lesson[name] for name in names), lesson["lesson_type"] == "level")


def can_both_hold(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Say whether some trade may lie in both contexts.

    Examples:
        >>> can_both_hold({"bucket": "mid"}, {"phase": "Dip"})
        True
        >>> can_both_hold({"bucket": "mid", "phase": "Dip"}, {"bucket": "big"})
        False
    """
    return all(other.get(name, value) == value for name, value in one.items())


def neighbour(ids: list[int], chosen: int, step: int) -> int:
    """Return the lesson before or after one in a list; at its ends it stays.

    Examples:
        >>> neighbour([3, 5, 9], 5, 1), neighbour([3, 5, 9], 9, 1), neighbour([3, 5], 7, 1)
        (9, 9, 3)
    """
    if chosen not in ids:
        return ids[0]
    return ids[min(max(ids.index(chosen) + step, 0), len(ids) - 1)]


def factors_of(lessons: pd.DataFrame) -> Iterator[str]:
    """Yield the latent factors of lessons, those of most lessons first."""
    yield from lessons["latent_factor_id"].dropna().value_counts().index
