"""What the candles while a position was open say of it: what its summary does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from learning.context.candles import HOUR_MS, Candles
from learning.context.excursions import Excursions, NoPath, excursions, is_stop, path_of
from learning.events.counterfactuals import Counterfactual, missed_class
from learning.events.outcomes import path_rr

OhlcvBar = Sequence[float | datetime]
"""Open time (milliseconds since 1970 UTC, or a datetime), open, high, low, close, volume."""


def with_path(summary: Mapping[str, Any], bars: Sequence[OhlcvBar] | None) -> dict[str, Any]:
    """Return a trade summary with what its candles tell and it does not; it says nothing twice.

    A path that does not belong to the trade changes nothing but ``path_reason``, which says why.

    Args:
        summary: With ``opened_at``, ``closed_at``, ``side`` and ``entry_price``; ``exit_price``
            is by default the close of the last bar.
        bars: Oldest first; None: the summary as it is.

    Raises:
        ValueError: If a bar has no four prices, or the bars do not increase in time.

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
    told = _from_path(summary, bars)
    return {**{name: value for name, value in told.items() if value is not None}, **summary}


def _from_path(summary: Mapping[str, Any], bars: Sequence[OhlcvBar]) -> dict[str, Any]:
    missing = [
        name
        for name in ("side", "entry_price", "opened_at", "closed_at")
        if summary.get(name) is None
    ]
    if missing or len(bars) == 0:
        return {"path_reason": f"{missing[0]} is missing" if missing else "the path has no bar"}
    candles = _candles(bars)
    opened_ms, closed_ms = (_milliseconds(summary[name]) for name in ("opened_at", "closed_at"))
    exit_price = summary.get("exit_price") or float(candles.close[-1])
    path = path_of(
        candles,
        opened_ms,
        closed_ms,
        exit_price=exit_price,
        is_stopped=is_stop(summary.get("exit_reason")),
    )
    if isinstance(path, NoPath):
        return {"path_reason": path.reason}
    entry = float(summary["entry_price"])
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
    return_pct = summary.get("return_pct")
    if return_pct is None:
        return_pct = sign * (exit_price - entry) / entry * 100.0
    drawdown = summary.get("max_drawdown_pct", found.max_drawdown_pct)
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
    return None if found is None else {**asdict(found), "class": missed_class(found.missed_rr)}


def _risk(summary: Mapping[str, Any], entry: float) -> float | None:
    """Distance of the initial stop; None where there is none on the side of the loss."""
    stop = summary.get("initial_stop")
    if stop is None:
        return None
    risk = (entry - stop) if summary["side"] == "long" else (stop - entry)
    return float(risk) if risk > 0 else None


def _candles(bars: Sequence[OhlcvBar]) -> Candles:
    start_ms = np.array([_milliseconds(bar[0]) for bar in bars], dtype=np.int64)
    prices = np.array([[float(value) for value in bar[1:5]] for bar in bars])  # type: ignore[arg-type]
    if prices.shape != (len(bars), 4):
        raise ValueError("each bar of a path must be open time, open, high, low, close, volume")
    bar_ms = int(np.diff(start_ms).min()) if len(bars) > 1 else HOUR_MS
    return Candles(
        symbol="path",
        bar_ms=bar_ms,
        start_ms=start_ms,
        high=prices[:, 1],
        low=prices[:, 2],
        close=prices[:, 3],
        quote_volume=np.full(len(bars), np.nan),
    )


def _milliseconds(moment: object) -> int:
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    if isinstance(moment, datetime):
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return round(zoned.timestamp() * 1000)
    return int(moment)  # type: ignore[call-overload, no-any-return]
