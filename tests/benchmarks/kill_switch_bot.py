"""A bot that only asks, all the time: ``python -m tests.benchmarks.kill_switch_bot URL``.

It prints a line whenever the answer changes: the monotonic time, and applied, kill switch or what
else the outcome says. The clock is the same in every process of the machine.
"""

from __future__ import annotations

import sys
import time

from learning.bot.config_feed import start_config_feed
from learning.runtime.apply import apply_pattern_strength_overrides
from tests.learning.runtime.configs import KEY

LOOK_S = 0.0005  # an order path that asks 2,000 times a second


def main() -> None:
    feed = start_config_feed(sys.argv[1], bot="measured")
    known = ""
    while feed.status().is_running:
        outcome = apply_pattern_strength_overrides(KEY, "entry", {}, {"A_value": 0.5}).outcome
        if outcome.reason != known:
            known = outcome.reason
            print(f"{time.monotonic():.6f} {known}", flush=True)
        time.sleep(LOOK_S)


if __name__ == "__main__":
    main()
