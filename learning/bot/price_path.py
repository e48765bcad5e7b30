"""What the candles while a position was open say of it: what its summary does not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from numbers import Real
from typing import Any, Final

import numpy as np

from learning.context.candles import HOUR_MS, Candles, Floats, Milliseconds
from learning.context.excursions import Excursions, NoPath, excursions, is_stop, path_of
from learning.events.completed_trades import SIDES
from learning.events.counterfactuals import Counterfactual, missed_class
from learning.events.outcomes import path_rr

OhlcvBar = Sequence[float | datetime | None]
"""Open time (milliseconds since 1970 UTC, or a datetime), open, high, low, close, volume."""

_BAR: Final = "bars of a path must be open time, open, high, low, close, volume"


def with_path(summary: Mapping[str, Any], bars: Sequence[OhlcvBar] | None) -> dict[str, Any]:
    """Return a trade summary with what its candles tell and it does not; it says nothing twice.

    A path that does not belong to the trade, or cannot be read, changes nothing but
    ``path_reason``, which says why. A candle given twice counts once, with both its extremes; one
    without prices is a gap.

    Args:
        summary: With ``opened_at``, ``closed_at``, ``side`` and ``entry_price``; ``exit_price``
            is by default the close of the last bar.
        bars: In any order; None: the summary as it is.

    Examples:
        A long from 100 with its stop at 98 falls to 99, touches 104 in its second hour and ends
        at 103: it missed half an R at the entry and as much at the exit.

        >>> summary = {"opened_at": "2026-03-01T00:00:00+00:00", "side": "long",
        ...     "closed_at": "2026-03-01T02:00:00+00:00", "entry_price": 100.0,
        ...     "exit_price": 103.0, "initial_stop": 98.0}
        >>> t = 1772323200000
        >>> bars = [(t, 100, 101, 99, 101, 5), (t + 3600000, 101, 104, 100, 103, 5)]
        >>> told = with_path(summary, bars)
        >>> told["return_pct"], told["max_drawdown_pct"], told["rr_path"], told["payback_hours"]
        (3.0, 1.0, 3.0, 1.0)
        >>> told["could_enter_better"]["missed_rr"], told["could_exit_better"]["class"]
        (0.5, 'small')
    """
    if bars is None:
        return dict(summary)
    try:
        told = _from_path(summary, bars)
    except Exception as error:  # whatever the bot gave as a path: its close goes out without
        told = {"path_reason": f"{error}"[:200] or type(error).__name__}
    known = {name: value for name, value in told.items() if value is not None}
    return {
        **known,
        **{name: value for name, value in summary.items() if _tells(value, name, known)},
    }


def _tells(value: object, name: str, known: Mapping[str, Any]) -> bool:
    return value is not None or name not in known


def _from_path(summary: Mapping[str, Any], bars: Sequence[OhlcvBar]) -> dict[str, Any]:
    for name in ("side", "entry_price", "opened_at", "closed_at"):
        if summary.get(name) is None:
            raise ValueError(f"{name} is missing")
    if summary["side"] not in SIDES:
        raise ValueError(f"side must be one of {', '.join(SIDES)}, got {summary['side']!r}")
    candles = _candles(bars)
    opened_ms, closed_ms = _moment(summary, "opened_at"), _moment(summary, "closed_at")
    entry = _price(summary, "entry_price")
    if summary.get("exit_price") is None:
        exit_price = float(candles.close[-1])
    else:
        exit_price = _price(summary, "exit_price")
    path = path_of(
        candles,
        opened_ms,
        closed_ms,
        exit_price=exit_price,
        is_stopped=is_stop(summary.get("exit_reason")),
    )
    if isinstance(path, NoPath):
        raise ValueError(path.reason)
    found = excursions(
        path,
        side=summary["side"],
        opened_ms=opened_ms,
        entry_price=entry,
        exit_price=exit_price,
        risk_per_unit=_risk(summary, entry),
    )
    return _as_summary(found, summary, entry=entry, exit_price=exit_price)


def _as_summary(
    found: Excursions, summary: Mapping[str, Any], *, entry: float, exit_price: float
) -> dict[str, Any]:
    sign = 1.0 if summary["side"] == "long" else -1.0
    return_pct = _number(summary, "return_pct")
    if return_pct is None:
        return_pct = sign * (exit_price - entry) / entry * 100.0
    drawdown = _number(summary, "max_drawdown_pct")
    if drawdown is None:
        drawdown = found.max_drawdown_pct
    return {
        "return_pct": return_pct,
        "max_drawdown_pct": drawdown,
        "rr_path": path_rr(return_pct, drawdown),
        "mfe_r": found.mfe_r,
        "mae_r": found.mae_r,
        "payback_hours": found.payback_hours,
        "could_enter_better": _missed(found.could_enter_better),
        "could_exit_better": _missed(found.could_exit_better),
    }


def _missed(found: Counterfactual | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "best_price": found.best_price,
        "time": datetime.fromtimestamp(found.at_hours * 3600, UTC).isoformat(),
        "bars_after": found.bars_after,
        "missed_rr": found.missed_rr,
        "class": missed_class(found.missed_rr),
    }


def _risk(summary: Mapping[str, Any], entry: float) -> float | None:
    """Distance of the initial stop; None where there is none on the side of the loss."""
    stop = _number(summary, "initial_stop")
    if stop is None:
        return None
    risk = (entry - stop) if summary["side"] == "long" else (stop - entry)
    return risk if risk > 0 else None


def _price(summary: Mapping[str, Any], name: str) -> float:
    number = _number(summary, name, rule="a number above 0")
    if number is None or number <= 0:
        raise ValueError(f"{name} must be a number above 0, got {summary.get(name)!r}")
    return number


def _number(summary: Mapping[str, Any], name: str, *, rule: str = "a number") -> float | None:
    value = summary.get(name)
    if value is None:
        return None
    number = float(value) if isinstance(value, Real | Decimal) else math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} must be {rule}, got {value!r}")
    return number


def _moment(summary: Mapping[str, Any], name: str) -> int:
    try:
        return _milliseconds(summary[name])
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} must be a time, got {summary[name]!r}") from None


def _candles(bars: Sequence[OhlcvBar]) -> Candles:
    """The candles that have prices, each once and in time.

    Raises:
        ValueError: If they are no bars, or none has prices.
    """
    try:
        start_ms = np.array([_milliseconds(bar[0]) for bar in bars], dtype=np.int64)
        prices = np.array([_prices(bar) for bar in bars], dtype=np.float64).reshape(-1, 3)
    except (TypeError, ValueError, LookupError, OverflowError):
        raise ValueError(_BAR) from None
    apart_ms = np.diff(np.unique(start_ms))
    has_prices = np.isfinite(prices).all(axis=1)
    if not has_prices.any():
        raise ValueError("the path has no bar with prices")
    return _in_time(
        start_ms[has_prices],
        prices[has_prices],
        bar_ms=int(apart_ms.min()) if len(apart_ms) else HOUR_MS,
    )


def _in_time(start_ms: Milliseconds, prices: Floats, *, bar_ms: int) -> Candles:
    order = np.argsort(start_ms, kind="stable")
    once, first = np.unique(start_ms[order], return_index=True)
    high, low, close = prices[order].T
    return Candles(
        symbol="path",
        bar_ms=bar_ms,
        start_ms=once,
        high=np.maximum.reduceat(high, first),
        low=np.minimum.reduceat(low, first),
        close=close[np.append(first[1:], len(order)) - 1],
        quote_volume=np.full(len(once), np.nan),
    )


def _prices(bar: OhlcvBar) -> list[float]:
    """High, low and close; NaN where there is none."""
    return [math.nan if price is None else float(price) for price in (bar[2], bar[3], bar[4])]  # type: ignore[arg-type]


def _milliseconds(moment: object) -> int:
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    if isinstance(moment, datetime):
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return round(zoned.timestamp() * 1000)
    return int(moment)  # type: ignore[call-overload, no-any-return]
