"""The outcome of a trade in R, and how quickly it paid.

Three outcomes exist side by side and are never mixed: ``r_multiple`` and ``r_multiple_net``
(return per initial risk, before and after costs) and ``rr_path`` (return per worst adverse
excursion).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from learning.events.completed_trades import RR_LIMIT, TradeSummary

RR_PATH_LIMIT: Final = 33.0
DRAWDOWN_FLOOR_PCT: Final = 0.1


@dataclass(frozen=True, slots=True)
class NoRisk:
    """A trade whose initial risk is not known."""

    reason: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a trade earned; absent where its source does not tell.

    ``no_risk_reason`` says why a trade without an R multiple has none.
    """

    r_multiple: float | None
    r_multiple_net: float | None
    rr_path: float | None
    time_efficiency: float
    no_risk_reason: str | None = None


def outcome_of(summary: TradeSummary, *, max_stop_distance: float) -> Outcome:
    """Return the outcome of a closed trade: what is given, else what follows from its prices.

    Args:
        summary: The trade.
        max_stop_distance: Largest distance of the initial stop, as a fraction of the entry
            price, that counts as the risk of a trade.
    """
    risk = initial_risk_pct(summary, max_stop_distance=max_stop_distance)
    gross = _multiple(summary.r_multiple, summary.return_pct, risk)
    net = _multiple(summary.r_multiple_net, summary.return_net_pct, risk)
    unknown = gross is None and net is None and isinstance(risk, NoRisk)
    return Outcome(
        r_multiple=gross,
        r_multiple_net=net,
        rr_path=_path(summary),
        time_efficiency=_efficiency(summary),
        no_risk_reason=risk.reason if unknown and isinstance(risk, NoRisk) else None,
    )


def initial_risk_pct(summary: TradeSummary, *, max_stop_distance: float) -> float | NoRisk:
    """Return the distance of the initial stop from the entry, in percent of the entry price.

    A stop on the side of profit is no risk, and one further away than ``max_stop_distance`` is
    a catastrophe stop that says nothing of what the trade risked.

    Examples:
        >>> from datetime import UTC, datetime
        >>> at = datetime(2024, 3, 1, tzinfo=UTC)
        >>> trade = TradeSummary(at, at, side="long", entry_price=200.0, initial_stop=190.0)
        >>> initial_risk_pct(trade, max_stop_distance=0.12)
        5.0
        >>> initial_risk_pct(trade, max_stop_distance=0.04).reason
        'initial_stop 190 is further than 4 % from entry_price 200'
    """
    entry, stop = summary.entry_price, summary.initial_stop
    if stop is None or not entry:
        return NoRisk("initial_stop or entry_price is missing")
    if summary.side is None:
        return NoRisk("side is missing")
    risk = (entry - stop) / entry if summary.side == "long" else (stop - entry) / entry
    if not risk > 0:
        return NoRisk(
            f"initial_stop {stop:g} is on the wrong side of entry_price {entry:g} "
            f"for a {summary.side}"
        )
    if risk > max_stop_distance:
        return NoRisk(
            f"initial_stop {stop:g} is further than {100 * max_stop_distance:g} % "
            f"from entry_price {entry:g}"
        )
    return 100.0 * risk


def path_rr(return_pct: float, max_drawdown_pct: float) -> float:
    """Return the return per worst adverse excursion: floor 0.1 %, bounded to ±33.

    Examples:
        >>> path_rr(3.0, 1.5), path_rr(3.0, 0.0), path_rr(9.0, 0.05)
        (2.0, 30.0, 33.0)
    """
    return _bounded(return_pct / max(max_drawdown_pct, DRAWDOWN_FLOOR_PCT))


def time_efficiency(days: float) -> float:
    """Return 1 / (1 + days) until a trade paid back, or until it was closed.

    Examples:
        >>> time_efficiency(0), time_efficiency(3)
        (1.0, 0.25)
    """
    return 1.0 / (1.0 + days)


def _multiple(given: float | None, return_pct: float | None, risk: float | NoRisk) -> float | None:
    if given is not None:
        return given
    if return_pct is None or isinstance(risk, NoRisk):
        return None
    multiple = return_pct / risk
    return multiple if abs(multiple) <= RR_LIMIT else None


def _path(summary: TradeSummary) -> float | None:
    if summary.rr_path is not None:
        return _bounded(summary.rr_path)
    if summary.return_pct is None or summary.max_drawdown_pct is None:
        return None
    return path_rr(summary.return_pct, summary.max_drawdown_pct)


def _bounded(rr: float) -> float:
    return min(max(rr, -RR_PATH_LIMIT), RR_PATH_LIMIT)


def _efficiency(summary: TradeSummary) -> float:
    held_hours = (summary.closed_at - summary.opened_at).total_seconds() / 3600
    hours = held_hours if summary.payback_hours is None else summary.payback_hours
    return time_efficiency(hours / 24)
