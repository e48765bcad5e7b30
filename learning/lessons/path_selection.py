"""Groups that only some trades reach, and the choices that decide which.

An add at +1 R exists only in trades that reached +1 R. Among trades that were added to, the mode
that says *when* to add picks the outcome: adding late leaves winners only. Such a difference is
arithmetic, not edge, so that mode is no condition of a lesson there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from learning.evidence.trade_events import ABSENT, GroupKey, TradeEvents

ENTRY = "entry"
LATER = ("add", "trim")
SHARED_SHARE = 0.5  # of a group's trades that are entries of the same pattern too


def path_selected_groups(events: TradeEvents) -> tuple[GroupKey, ...]:
    """Return the adds and trims that only some of the pattern's own entries reach.

    A group whose trades were not recorded as entries is not among them: there is nothing to
    tell a selection by.
    """
    return tuple(key for key in events.groups if key[1] in LATER and _is_selected(events, key))


def groups_behind(key: GroupKey) -> tuple[GroupKey, ...]:
    """Return the groups that what is measured in one rests on: itself, and what it is reached from.

    Examples:
        >>> groups_behind(("pm.a.b.c", "exit"))
        (('pm.a.b.c', 'exit'),)
        >>> groups_behind(("pm.a.b.c", "add"))
        (('pm.a.b.c', 'add'), ('pm.a.b.c', 'entry'))
    """
    return (key, (key[0], ENTRY)) if key[1] in LATER else (key,)


def _is_selected(events: TradeEvents, key: GroupKey) -> bool:
    entries = events.group_code((key[0], ENTRY))
    if entries is None:
        return False
    entered = events.trade[events.group == entries]
    reached = events.trade[events.group == events.group_code(key)]
    shared = int(np.isin(reached, entered).sum())
    return shared >= SHARED_SHARE * len(reached) and shared < len(entered)


def without_timing_choices(
    events: TradeEvents, timing_dims: Sequence[str]
) -> tuple[TradeEvents, tuple[GroupKey, ...]]:
    """Return the events without the timing dimensions in path-selected groups.

    Args:
        events: Closed trades of all groups.
        timing_dims: Dimensions that say when the bot adds or trims; those not configured are
            left out.

    Returns:
        The events, and the groups in which the dimensions were made absent.

    Examples:
        >>> events = TradeEvents.from_columns(
        ...     pattern_key=["pm.a.b.c"] * 3, action_category=["entry", "entry", "add"],
        ...     scope={"A_mode": ["normal", "patient", "normal"]},
        ...     closed_at_days=[1, 2, 1], rr=[2.0, -1.0, 2.0], trade=[7, 8, 7],
        ... )
        >>> narrowed, groups = without_timing_choices(events, ["A_mode"])
        >>> groups, (narrowed.scope_codes.ravel() == -1).tolist()
        ((('pm.a.b.c', 'add'),), [False, False, True])
    """
    columns = [i for i, name in enumerate(events.dims) if name in timing_dims]
    groups = path_selected_groups(events) if columns else ()
    if not groups:
        return events, ()
    numbers = [code for code, key in enumerate(events.groups) if key in groups]
    selected = np.isin(events.group, numbers)
    codes = events.scope_codes.copy()
    for column in columns:
        codes[selected, column] = ABSENT
    return replace(events, scope_codes=codes), groups
