"""Which outcome an analysis uses: chosen once, printed with every number, never mixed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

OUTCOMES: Final = ("r_multiple_net", "r_multiple", "rr_path")
NEEDED_SHARE: Final = 0.95


def chosen_outcome(trades_with: Mapping[str, int], *, n_trades: int, asked: str | None) -> str:
    """Return the outcome that was asked for, else the first that 95 % of the trades have.

    Net before gross before path: what reaches the account comes first.

    Args:
        trades_with: Trades by outcome that have it.
        n_trades: All closed trades, at least one.
        asked: The user's choice.

    Raises:
        ValueError: If no trade has the outcome asked for, or none has enough trades.

    Examples:
        >>> chosen_outcome({"r_multiple": 96, "rr_path": 100}, n_trades=100, asked=None)
        'r_multiple'
        >>> chosen_outcome({"r_multiple": 60, "rr_path": 100}, n_trades=100, asked=None)
        'rr_path'
    """
    if asked is not None:
        if not trades_with.get(asked):
            raise ValueError(f"no trade has the outcome {asked}; there are {_listed(trades_with)}")
        return asked
    for name in OUTCOMES:
        if trades_with.get(name, 0) >= NEEDED_SHARE * n_trades:
            return name
    raise ValueError(
        f"no outcome is known for {NEEDED_SHARE:.0%} of the {n_trades} trades "
        f"({_listed(trades_with)}): choose one by EDGEKEEPER_OUTCOME; "
        "trades without it are left out"
    )


def _listed(trades_with: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {trades_with.get(name, 0)}" for name in OUTCOMES)
