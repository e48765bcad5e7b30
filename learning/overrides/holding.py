"""Which decisions are old enough for all of their trades to have closed.

Only closed trades have an outcome. Where an override changes how long a trade is held, those that
are still open are not the same kind of trades in both arms, and comparing what has closed so far
compares unlike things. So an age is found that hardly any trade of either arm outlives, and younger
decisions wait, alike in both arms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from learning.overrides.effect_record import AppliedTrades

HELD_QUANTILE: Final = 0.99
"""Share of the trades of an arm that have closed by the age that makes a decision count."""


@dataclass(frozen=True, slots=True, eq=False)
class RipeTrades:
    """Trades of a period, as they stood when all but a few of its decisions had closed.

    Attributes:
        trades: Decided in the period and closed by ``ripe_on_days``.
        ripe_on_days: When that was, or will be at the earliest, days since 1970.
    """

    trades: AppliedTrades
    ripe_on_days: float


def old_enough(applied: AppliedTrades, *, now_days: float) -> AppliedTrades:
    """Return the trades whose decision is older than trades of either arm are usually held.

    Args:
        applied: Closed trades.
        now_days: Days since 1970.

    Examples:
        Held for 1 to 4 days each, but one that took 30: of the treated, one in four.

        >>> held, decided = np.array([1.0, 4.0, 2.0, 30.0]), np.array([0.0, 10.0, 20.0, 60.0])
        >>> true = np.ones(4, dtype=bool)
        >>> trades = AppliedTrades(held, decided + held, decided, held, true, true, held,
        ...                        np.arange(4))
        >>> old_enough(trades, now_days=95.0).decided_at_days.tolist()
        [0.0, 10.0, 20.0, 60.0]
        >>> old_enough(trades, now_days=89.0).decided_at_days.tolist()
        [0.0, 10.0, 20.0]
    """

    def known(age: float) -> AppliedTrades:
        return applied.chosen(applied.decided_at_days <= now_days - age)

    return known(_outlived_by_few(known))


def of_period(applied: AppliedTrades, first_days: float, end_days: float) -> RipeTrades:
    """Return the trades decided in a period as they stood when it became ripe.

    What closed later changes nothing any more: whenever one looks afterwards, the answer is the
    same.

    Args:
        applied: Closed trades.
        first_days: Start of the period, days since 1970.
        end_days: Its end, excluded.
    """
    decided = applied.decided_between(first_days, end_days)

    def known(age: float) -> AppliedTrades:
        return decided.chosen(decided.closed_at_days <= end_days + age)

    age = _outlived_by_few(known)
    return RipeTrades(known(age), end_days + age)


def _outlived_by_few(known: Callable[[float], AppliedTrades]) -> float:
    """The least age that is not below what is usually held by those known at that age."""
    age, usual = 0.0, _usually_held_days(known(0.0))
    while usual > age:
        age, usual = usual, _usually_held_days(known(usual))
    return age


def _usually_held_days(trades: AppliedTrades) -> float:
    """The quantile of the arm that holds longer; 0 of no trades."""
    held = trades.closed_at_days - trades.decided_at_days
    arms = (held[trades.treated], held[~trades.treated])
    return max((float(np.quantile(one, HELD_QUANTILE)) for one in arms if len(one)), default=0.0)
