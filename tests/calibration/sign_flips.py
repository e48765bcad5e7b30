"""Real trades without an effect: one random sign per week on what is left of each outcome.

No mean effect survives, the dependence within weeks and unequal variances do. Everything that
the search then finds is false. Scores of one flip hang together, so that only many flips tell:

    python -m tests.calibration.sign_flips --flips 24

Flipped are the whole sets, and windows of them (15 weeks, or four years of the sparser one). A
sum of few weeks with random signs is bounded: in windows its tails are thinner than normal ones
whatever the score. The last column says what scores would show under all signs if each was
divided by its true standard error.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from learning.evidence.block_statistics import (
    MIN_EFFECTIVE_BLOCKS,
    block_evidence,
    scope_sets,
)
from learning.lessons.mining import TAIL_Z, MiningRun, surviving_lessons
from learning.lessons.scope_edges import GroupTrades, outcome_scale, trades_by_group
from tests.calibration.real_sets import MARKETS, entries, real_trades

Floats = npt.NDArray[np.float64]

OUTCOMES = ("r_multiple", "rr_path")
CRYPTO_WEEKS, CRYPTO_STEP = 15, 9
TRADFI_YEARS, DAYS_PER_YEAR = 4, 365.25
LEVEL_OF_GROUPS = 0.1
SIGN_VECTORS, SIGNS_AT_ONCE = 4000, 200
ALL = "all"


@dataclass(frozen=True, eq=False)
class FlippedRun:
    """The search of a window, flipped once.

    Attributes:
        window: Number of the window.
        name: Its market and outcome.
        run: What the search said.
    """

    window: int
    name: str
    run: MiningRun


@dataclass(frozen=True, slots=True)
class FlippedTails:
    """Scores of sign-flipped windows.

    Attributes:
        n_scopes: Scores, over all windows and flips.
        upper_per_1000: z above 3.09; 1.0 by chance if scores were normal.
        upper_se: Its standard error, from the spread over flips; NaN with a single one.
        lower_per_1000: z below -3.09.
        lower_se: Its standard error.
        share_of_groups_below_a_tenth: Groups with p below 0.1, averaged over windows.
        share_with_a_lesson: Windows that gave any lesson.
        n_windows: Windows, each flip counted.
    """

    n_scopes: int
    upper_per_1000: float
    upper_se: float
    lower_per_1000: float
    lower_se: float
    share_of_groups_below_a_tenth: float
    share_with_a_lesson: float
    n_windows: int


def flipped_tails(*, n_flips: int, whole: bool) -> FlippedTails:
    """Search both sets and outcomes, whole or in windows, flipped anew each time."""
    return tails_of(list(flipped_runs(n_flips=n_flips, whole=whole)))


def tails_of(runs: Sequence[FlippedRun]) -> FlippedTails:
    """Summarise searches in which nothing is to be found."""
    selections = [one.run.selection for one in runs if one.run.selection is not None]
    below = [np.mean(np.array(list(s.p_group.values())) < LEVEL_OF_GROUPS) for s in selections]
    upper, upper_se = _rate(runs, [one.run.counts.n_upper_tail for one in runs])
    lower, lower_se = _rate(runs, [one.run.counts.n_lower_tail for one in runs])
    return FlippedTails(
        n_scopes=sum(one.run.counts.n_eligible for one in runs),
        upper_per_1000=upper,
        upper_se=upper_se,
        lower_per_1000=lower,
        lower_se=lower_se,
        share_of_groups_below_a_tenth=float(np.mean(below)),
        share_with_a_lesson=float(np.mean([len(one.run.lessons) > 0 for one in runs])),
        n_windows=len(runs),
    )


def _rate(runs: Sequence[FlippedRun], found: Sequence[int]) -> tuple[float, float]:
    """Scores found per 1000, and the standard error: flips of a window are independent."""
    n = np.array([one.run.counts.n_eligible for one in runs])
    rate = sum(found) / n.sum()
    beyond = pd.Series(np.array(found) - rate * n).groupby([one.window for one in runs])
    variance = float((beyond.var() * beyond.size()).sum(skipna=False))
    return float(1000 * rate), float(1000 * np.sqrt(variance) / n.sum())


def flipped_runs(*, n_flips: int, whole: bool) -> Iterator[FlippedRun]:
    """Yield the search of every set or window, flipped."""
    for window in _windows(whole=whole):
        for flip in range(n_flips):
            rng = np.random.default_rng([window.number, flip])
            signed = window.rest * _signs(window.trades, rng)
            events = entries(window.trades, signed)
            run = surviving_lessons(events, fdr_target=0.1, look=1, seed=flip)
            yield FlippedRun(window.number, window.name, run)


def tails_under_all_signs(*, whole: bool) -> dict[str, float]:
    """Return, per market and outcome and for all, what scores of known error would show.

    Given the weeks, the edge of a scope is the sum of their shares with random signs, so its
    standard error is the root of the sum of squares, and its law is drawn. Per 1000 on each
    side, over the same scopes.
    """
    counts: defaultdict[str, Floats] = defaultdict(lambda: np.zeros(2))
    for window in _windows(whole=whole):
        counted = _beyond_under_all_signs(window)
        for name in (window.name, ALL):
            counts[name] += counted
    return {name: float(1000 * beyond / n) for name, (beyond, n) in counts.items()}


def _beyond_under_all_signs(window: _Window) -> Floats:
    """Scores beyond 3.09 on one side, and scores drawn."""
    rng = np.random.default_rng(window.number)
    events = entries(window.trades, window.rest).canonical()
    counted = np.zeros(2)
    for trades in trades_by_group(events, outcome_scale(events).clip):
        shares = _shares_of_weeks(trades)
        shares /= np.sqrt((shares**2).sum(axis=1, keepdims=True))
        for _ in range(SIGN_VECTORS // SIGNS_AT_ONCE):
            scores = shares @ rng.choice([-1.0, 1.0], (trades.weeks.n, SIGNS_AT_ONCE))
            counted += (np.abs(scores) > TAIL_Z).sum() / 2, scores.size
    return counted


def _shares_of_weeks(trades: GroupTrades) -> Floats:
    """What each week adds to the edge of each eligible scope, shape (s, weeks)."""
    sets = scope_sets(trades.scope_codes, trades.n_levels)
    evidence = block_evidence(sets, trades.outcome, trades.weeks)
    sets = sets.take(np.flatnonzero(evidence.n_effective_blocks >= MIN_EFFECTIVE_BLOCKS))
    of_trades = (trades.outcome, (np.arange(trades.n), trades.weeks.code))
    weeks = sparse.csr_matrix(of_trades, shape=(trades.n, trades.weeks.n))
    members = (np.ones(len(sets.rows)), sets.rows, sets.indptr)
    inside = sparse.csr_matrix(members, shape=(len(sets.n), trades.n)) @ weeks
    of_group = np.asarray(weeks.sum(axis=0)) / trades.n
    shares: Floats = inside.toarray() / sets.n[:, None] - of_group
    return shares


@dataclass(frozen=True, eq=False)
class _Window:
    number: int
    name: str
    trades: pd.DataFrame
    rest: Floats  # what is left of the outcomes beside the means of their patterns


def _windows(*, whole: bool) -> Iterator[_Window]:
    spans = [
        (market, span)
        for market in MARKETS
        for span in ([(-np.inf, np.inf)] if whole else _spans(market, real_trades(market)))
    ]
    for number, ((market, (start, end)), outcome) in enumerate(product(spans, OUTCOMES)):
        trades = real_trades(market)
        trades = trades[trades["closed_at_days"].between(start, end, inclusive="left")]
        yield _Window(number, f"{market} {outcome}", trades, _residuals(trades, outcome))


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


def main() -> None:
    """Print the tails of each market and outcome, and of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=24)
    asked = parser.parse_args()
    print(f"{asked.flips} flips; scores per 1000 (standard error over flips)")
    for whole in (True, False):
        named = "whole sets" if whole else "windows"
        print(f"{named:20} {'above 3.09':>13} {'below -3.09':>13}   error known")
        known = tails_under_all_signs(whole=whole)
        runs = list(flipped_runs(n_flips=asked.flips, whole=whole))
        for name in sorted(known, key=lambda one: one == ALL):
            chosen = [one for one in runs if name in (one.name, ALL)]
            print(_line(name, chosen, known[name]), flush=True)


def _line(name: str, runs: Sequence[FlippedRun], known: float) -> str:
    tails = tails_of(runs)
    upper = f"{tails.upper_per_1000:.2f} ({tails.upper_se:.2f})"
    lower = f"{tails.lower_per_1000:.2f} ({tails.lower_se:.2f})"
    return f"{name:20} {upper:>13} {lower:>13} {known:13.2f}"


if __name__ == "__main__":
    main()
