"""Real trades without an effect: one random sign per week on what is left of each outcome.

No mean effect survives, the dependence within weeks and unequal variances do. Everything that
the search then finds is false.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from learning.lessons.mining import MiningRun, surviving_lessons
from tests.calibration.real_sets import MARKETS, entries, real_trades

Floats = npt.NDArray[np.float64]

OUTCOMES = ("r_multiple", "rr_path")
CRYPTO_WEEKS, CRYPTO_STEP = 15, 9
TRADFI_YEARS, DAYS_PER_YEAR = 4, 365.25
LEVEL_OF_GROUPS = 0.1


@dataclass(frozen=True, slots=True)
class FlippedTails:
    """Scores of sign-flipped windows.

    Attributes:
        n_scopes: Scores, over all windows.
        upper_per_1000: z above 3.09; 1.0 by chance.
        lower_per_1000: z below -3.09.
        share_of_groups_below_a_tenth: Groups with p below 0.1, averaged over windows.
        share_with_a_lesson: Windows that gave any lesson.
        n_windows: Windows, each flip counted.
    """

    n_scopes: int
    upper_per_1000: float
    lower_per_1000: float
    share_of_groups_below_a_tenth: float
    share_with_a_lesson: float
    n_windows: int


def flipped_tails(*, n_flips: int) -> FlippedTails:
    """Search every window of both sets and outcomes, flipped anew each time."""
    return tails_of(list(flipped_runs(n_flips=n_flips)))


def tails_of(runs: list[MiningRun]) -> FlippedTails:
    """Summarise searches in which nothing is to be found."""
    counts = [run.counts for run in runs]
    n = sum(count.n_eligible for count in counts)
    p_values = [list(run.selection.p_group.values()) for run in runs if run.selection is not None]
    return FlippedTails(
        n_scopes=n,
        upper_per_1000=1000 * sum(count.n_upper_tail for count in counts) / n,
        lower_per_1000=1000 * sum(count.n_lower_tail for count in counts) / n,
        share_of_groups_below_a_tenth=float(
            np.mean([np.mean(np.array(p) < LEVEL_OF_GROUPS) for p in p_values])
        ),
        share_with_a_lesson=float(np.mean([len(run.lessons) > 0 for run in runs])),
        n_windows=len(runs),
    )


def flipped_runs(*, n_flips: int) -> Iterator[MiningRun]:
    """Yield the search of every window, flipped."""
    for at, (trades, outcome) in enumerate(_windows()):
        rest = _residuals(trades, outcome)
        for flip in range(n_flips):
            signed = rest * _signs(trades, np.random.default_rng([at, flip]))
            yield surviving_lessons(entries(trades, signed), fdr_target=0.1, look=1, seed=flip)


def _windows() -> Iterator[tuple[pd.DataFrame, str]]:
    for market in MARKETS:
        trades = real_trades(market)
        for start, end in _spans(market, trades):
            inside = trades["closed_at_days"].between(start, end, inclusive="left")
            for outcome in OUTCOMES:
                yield trades[inside], outcome


def _spans(market: str, trades: pd.DataFrame) -> Iterator[tuple[float, float]]:
    first, last = trades["closed_at_days"].min(), trades["closed_at_days"].max()
    if market == "tradfi":
        years = TRADFI_YEARS * DAYS_PER_YEAR
        for start in np.arange(first, last - years / 2, years):
            yield start, start + years
        return
    for era in ("A", "B"):
        days = trades.loc[trades["era"] == era, "closed_at_days"]
        length = min(7.0 * CRYPTO_WEEKS, days.max() - days.min())
        for start in np.arange(days.min(), days.max() - length + 1, 7.0 * CRYPTO_STEP):
            yield start, start + length


def _residuals(trades: pd.DataFrame, outcome: str) -> Floats:
    of_pattern = trades.groupby("pattern_key")[outcome].transform("mean")
    return (trades[outcome] - of_pattern).to_numpy()


def _signs(trades: pd.DataFrame, rng: np.random.Generator) -> Floats:
    weeks, code = np.unique(np.floor(trades["closed_at_days"] / 7), return_inverse=True)
    return rng.choice([-1.0, 1.0], len(weeks))[code]
