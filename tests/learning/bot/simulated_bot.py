"""A bot in a process of its own: ``python -m tests.learning.bot.simulated_bot URL LOG N PAUSE_S``.

It trades a recorded stream: asks how much capital a signal gets, how strongly and how to act on it,
records signal and entry, then the close. Treated trades of the planted context earn ``PLANTED_RR``
more, trades whose plan is treated ``PLAN_RR`` more. One line of the log per trade says what the bot
was told and did. At a few places it waits for what its script does meanwhile, so that nothing
depends on how fast either of them is.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from learning.bot.config_feed import start_config_feed
from learning.bot.recorder import Recorder, start_recorder
from learning.runtime.apply import (
    apply_allocation_overrides,
    apply_pattern_execution_overrides,
    apply_pattern_strength_overrides,
)
from learning.runtime.outcome import Adjusted, Outcome

BOT = "simulated-bot"
SETUP = "pm.trend.S1.flag"
SIGNAL = "dm.social.S0.call"
PLANTED_SCOPE = {"bucket": "micro"}
EDGE_RR = 0.6  # of the planted context, against -0.6 elsewhere: what the learning finds
PLANTED_RR = 0.8  # what its override adds to a treated trade
PLAN_SCOPE = {"timeframe": "4h"}
PLAN_RR = 0.5  # what the override of the plan adds to a treated trade
BASE = {"A_value": 0.5, "E_value": 0.5, "position_size_frac": 0.1}
PLAN = {"trail_speed": 1.0, "entry_delay_bars": 0, "phase1_frac": 0.5}
SHARE = {"allocation": 1000.0}
SEED = 11
MALFORMED_EVERY = 100
_WAIT_S = 150.0


@dataclass(frozen=True, slots=True)
class RecordedTrade:
    """A trade as it goes without any override."""

    trade_id: str
    scope: dict[str, Any]
    opened_at: datetime
    rr: float


def recorded_stream(n: int, *, end: datetime) -> list[RecordedTrade]:
    """A stream of 560 days up to a moment."""
    rng = np.random.default_rng(SEED)
    step = timedelta(days=560) / n
    noise = rng.standard_t(5, n) * 0.8
    buckets, frames = rng.integers(0, 2, n), rng.integers(0, 2, n)
    return [
        RecordedTrade(
            trade_id=f"s-{i:06d}",
            scope={"bucket": ("micro", "mid")[buckets[i]], "timeframe": ("1h", "4h")[frames[i]]},
            opened_at=end - step * (n - i),
            rr=0.2 + (EDGE_RR if buckets[i] == 0 else -EDGE_RR) + float(noise[i]),
        )
        for i in range(n)
    ]


def part_waited_for(n: int) -> int:
    """How many trades come before the bot waits for an override."""
    return n * 2 // 5


def main() -> None:
    url, log_path, n, pause_s = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    recorder = start_recorder(
        url, bot=BOT, origin="simulated", spool=log_path.with_suffix(".spool")
    )
    feed = start_config_feed(url, bot=BOT, origin="simulated")
    with log_path.open("w") as log:
        knows_switch = False
        for i, trade in enumerate(recorded_stream(n, end=last_monday())):
            if i in (part_waited_for(n), n * 3 // 5, n * 4 // 5 + 5):
                _wait_until(lambda outcome: bool(outcome.applications))
            if i == n * 4 // 5 and not knows_switch:
                _wait_until(lambda outcome: outcome.reason == "kill switch")
            line = _traded(recorder, trade)
            knows_switch = knows_switch or line["strength"]["reason"] == "kill switch"
            log.write(json.dumps(line) + "\n")
            if i % MALFORMED_EVERY == 0:
                recorder.record_action(trade_id=trade.trade_id, pattern_key="no pattern at all")
            if i >= part_waited_for(n):
                time.sleep(pause_s)
    recorder.stop(timeout_s=120)
    feed.stop(timeout_s=60)
    told, followed = recorder.status(), feed.status()
    print(json.dumps({
        "delivered": told.n_delivered, "dropped": told.n_dropped, "waiting": told.n_waiting,
        "telemetry_dropped": followed.telemetry_dropped, "is_running": followed.is_running,
    }))  # fmt: skip


def last_monday() -> datetime:
    """The beginning of this week: weekly blocks, and so what is learned, are the same any day."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=today.weekday())


def _wait_until(holds: Callable[[Outcome], bool]) -> None:
    deadline = time.monotonic() + _WAIT_S
    while not holds(_levers(PLANTED_SCOPE, None).outcome):
        if time.monotonic() > deadline:
            raise SystemExit("what the bot waits for never came")
        time.sleep(0.002)


def _levers(scope: dict[str, Any], trade_id: str | None) -> Any:
    return apply_pattern_strength_overrides(SETUP, "entry", scope, BASE, trade_id=trade_id)


def _traded(recorder: Recorder, trade: RecordedTrade) -> dict[str, Any]:
    """Trade one trade of the stream, and say what was told of it."""
    strength = _levers(trade.scope, trade.trade_id)
    plan = apply_pattern_execution_overrides(
        SETUP, "entry", trade.scope, PLAN, trade_id=trade.trade_id
    )
    signal = {"bucket": trade.scope["bucket"]}
    share = apply_allocation_overrides(SIGNAL, "entry", signal, SHARE, trade_id=trade.trade_id)
    recorder.record_action(
        trade_id=trade.trade_id, module="dm", pattern_key=SIGNAL, action_category="entry",
        scope=signal, applied_knobs=dict(share), ts=trade.opened_at,
    )  # fmt: skip
    recorder.record_action(
        trade_id=trade.trade_id, pattern_key=SETUP, action_category="entry",
        scope=trade.scope, applied_knobs={**strength, **plan}, ts=trade.opened_at,
    )  # fmt: skip
    rr = trade.rr + PLANTED_RR * is_treated(strength.outcome, PLANTED_SCOPE)
    rr += PLAN_RR * is_treated(plan.outcome, PLAN_SCOPE)
    recorder.record_position_closed(
        trade_id=trade.trade_id,
        trade_summary={
            "opened_at": trade.opened_at,
            "closed_at": trade.opened_at + timedelta(hours=6),
            "r_multiple": round(rr, 6),
        },
    )
    told = {"strength": _told(strength), "plan": _told(plan), "share": _told(share)}
    return {"trade_id": trade.trade_id, "rr": round(rr, 6), **told}


def _told(adjusted: Adjusted) -> dict[str, Any]:
    outcome: Outcome = adjusted.outcome
    return {
        "reason": outcome.reason,
        "generation": outcome.generation,
        "revision": outcome.revision,
        "levers": dict(adjusted),
        "parts": [[part.override.lesson.lesson_id, part.arm] for part in outcome.applications],
    }


def is_treated(outcome: Outcome, scope: dict[str, Any]) -> bool:
    """Whether the override of a context is in force for a trade."""
    return outcome.reason == "applied" and any(
        dict(part.override.scope) == scope and part.arm == "treated"
        for part in outcome.applications
    )


if __name__ == "__main__":
    main()
