"""What the search says about trades on real prices: ``python -m tests.calibration.real_sets``.

Prints two tables for the folder that EDGEKEEPER_REAL_DATA names. The first has a row for each
set and outcome: lessons on all trades, and, mined on the first 60 % of them, how the lessons did
on the rest. The second compares our sizes for ``A_mode`` and ``E_mode``, which a hash assigned
to each trade as in a randomised trial, with the plain difference of means.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from learning.evidence.trade_events import TradeEvents
from learning.lessons.level_lessons import level_lessons
from learning.lessons.lever_targets import EdgePosterior, capital_targets
from learning.lessons.mining import FoundLesson, MiningRun, surviving_lessons
from learning.lessons.scope_edges import ScopeEdge
from learning.lessons.standing import StandingScope, standing_edges

Floats = npt.NDArray[np.float64]

MARKETS = ("crypto", "tradfi")
OUTCOMES = ("r_multiple", "r_multiple_net", "rr_path", "rr_path_net")
DIMS = (
    "macro_phase", "meso_phase", "micro_phase", "bucket_leader", "bucket_rank_position",
    "market_family", "bucket", "timeframe", "A_mode", "E_mode",
)  # fmt: skip
RANDOMISED = ("A_mode", "E_mode")
SPLIT_SHARE = 0.6
Z95 = 1.959963984540054
LEAST_DRAWDOWN_PCT, LARGEST_PATH_RR = 0.1, 33.0


@cache
def real_trades(market: str) -> pd.DataFrame:
    """Read a set, with closing and entry time in days since 1970 and the path outcome net."""
    trades = pd.read_parquet(Path(os.environ["EDGEKEEPER_REAL_DATA"]) / f"trades_{market}.parquet")
    epoch, day = pd.Timestamp("1970-01-01", tz="UTC"), pd.Timedelta(days=1)
    adverse = trades["max_drawdown_pct"].clip(lower=LEAST_DRAWDOWN_PCT)
    path_net = (trades["return_net_pct"] / adverse).clip(-LARGEST_PATH_RR, LARGEST_PATH_RR)
    return trades.assign(
        closed_at_days=(trades["exit_time"] - epoch) / day,
        entered_at_days=(trades["entry_time"] - epoch) / day,
        rr_path_net=path_net,
        pattern_key=trades["pattern_key"].astype(str),
    )


def entries(trades: pd.DataFrame, outcome: Floats | pd.Series) -> TradeEvents:
    """Return the entries of the trades; an unknown level belongs to no scope."""
    return TradeEvents.from_columns(
        pattern_key=trades["pattern_key"].tolist(),
        action_category=["entry"] * len(trades),
        scope={name: _levels(trades[name]) for name in DIMS},
        closed_at_days=trades["closed_at_days"],
        rr=outcome,
        trade=trades["trade_id"],
    )


def _levels(column: pd.Series) -> list[object]:
    known = column.notna() & (column.astype(str) != "Unknown")
    return column.astype(object).where(known, None).tolist()


@cache
def run_on_all(market: str, outcome: str) -> MiningRun:
    """Search all trades of a set."""
    trades = real_trades(market)
    return surviving_lessons(entries(trades, trades[outcome]), fdr_target=0.1, look=1, seed=0)


def proposed(run: MiningRun) -> tuple[FoundLesson, ...]:
    """Return the lessons that may be approved."""
    return tuple(one for one in run.lessons if one.status == "proposed")


@dataclass(frozen=True)
class LaterEvidence:
    """How lessons mined on earlier trades did on later ones.

    Attributes:
        n_lessons: Lessons that the earlier trades gave.
        n_measured: Of these, those that the later trades can measure.
        same_sign: Share of the measured that keep their sign; None with none.
        slope: Later edge over the shrunken estimate, least squares through 0 with weights
            1 / variance; 1 is right, below 1 the estimate was too large.
        coverage: Share of later edges within the 95 % interval, widened by their own error.
        uplift_rr: Mean of (size multiplier - 1) rr over the later trades, R per 1000 trades.
        uplift_within_rr: The same with rr less its pattern's later mean: skill of selection.
    """

    n_lessons: int
    n_measured: int
    same_sign: float | None
    slope: float | None
    coverage: float | None
    uplift_rr: float
    uplift_within_rr: float


@cache
def later_evidence(market: str, outcome: str) -> LaterEvidence:
    """Mine the trades closed by the time 60 % were, look at those entered after it."""
    trades = real_trades(market)
    split = float(trades["closed_at_days"].quantile(SPLIT_SHARE))
    earlier = trades[trades["closed_at_days"] <= split]
    later = trades[trades["entered_at_days"] > split]
    run = surviving_lessons(entries(earlier, earlier[outcome]), fdr_target=0.1, look=1, seed=0)
    lessons, events = proposed(run), entries(later, later[outcome])
    return judged_later(lessons, events, run)


def judged_later(
    lessons: Sequence[FoundLesson], events: TradeEvents, run: MiningRun
) -> LaterEvidence:
    """Compare lessons with trades that they have not seen."""
    pairs = list(_measured_again(lessons, events, run))
    plain, within = _uplift(lessons, events)
    old = np.array([lesson.posterior_mean_rr for lesson, _ in pairs])
    new = np.array([edge.delta_group_rr for _, edge in pairs])
    se = np.array([edge.se_block_rr for _, edge in pairs])
    reach = np.array(
        [
            lesson.ci_high_rr - lesson.posterior_mean_rr
            if edge.delta_group_rr > lesson.posterior_mean_rr
            else lesson.posterior_mean_rr - lesson.ci_low_rr
            for lesson, edge in pairs
        ]
    )
    return LaterEvidence(
        n_lessons=len(lessons),
        n_measured=len(pairs),
        same_sign=float(np.mean(np.sign(old) == np.sign(new))) if pairs else None,
        slope=float((old * new / se**2).sum() / (old**2 / se**2).sum()) if pairs else None,
        coverage=float(np.mean(np.abs(new - old) <= np.hypot(reach, Z95 * se))) if pairs else None,
        uplift_rr=plain,
        uplift_within_rr=within,
    )


def _measured_again(
    lessons: Sequence[FoundLesson], events: TradeEvents, run: MiningRun
) -> Iterator[tuple[FoundLesson, ScopeEdge]]:
    if run.reference is None or events.n == 0:
        return
    standing = [StandingScope(one.group, one.scope) for one in lessons]
    edges = standing_edges(events, standing, reference=run.reference)
    for lesson, edge in zip(lessons, edges, strict=True):
        if isinstance(edge, ScopeEdge):
            yield lesson, edge


def _uplift(lessons: Sequence[FoundLesson], events: TradeEvents) -> tuple[float, float]:
    """Size multipliers on unseen trades: plain, and against the mean of the pattern."""
    beyond = np.zeros(events.n)
    for lesson in sorted(lessons, key=lambda one: len(one.scope)):  # the most specific decides
        code = events.group_code(lesson.group)
        matched = events.scope_matches(dict(lesson.scope)) & (events.group == code)
        beyond[matched] = size_multiplier(lesson) - 1
    own = np.array([events.rr[events.group == code].mean() for code in events.group.tolist()])
    return (
        float(1000 * np.mean(beyond * events.rr)),
        float(1000 * np.mean(beyond * (events.rr - own))),
    )


def size_multiplier(lesson: FoundLesson) -> float:
    """Return the size that a lesson asks for."""
    posterior = EdgePosterior(
        lesson.delta_q25_rr,
        lesson.own_mean_q25_rr,
        lesson.sd_rr,
        lesson.ci_low_rr,
        lesson.ci_high_rr,
    )
    targets = capital_targets(posterior, module="pm", category="entry")
    return targets.levers.get("size_mult", 1.0)


@dataclass(frozen=True)
class TrialSize:
    """The size of a randomised mode, by us and by the plain comparison; R against the pattern.

    Attributes:
        market: The set.
        outcome: The outcome.
        mode: ``A_mode=patient`` and the like.
        trial_rr: Mean of the mode minus mean of the pattern, averaged over patterns by their
            trades of that mode.
        trial_se_rr: Its standard error, weeks as clusters.
        ours_rr: The same average of our unshrunken sizes, outcomes clipped.
        shrunken_rr: The same average of our shrunken estimates.
        n_patterns: Patterns in the average.
        n_agree: Patterns whose trial size lies within our 95 % interval widened by the trial's
            own error.
    """

    market: str
    outcome: str
    mode: str
    trial_rr: float
    trial_se_rr: float
    ours_rr: float
    shrunken_rr: float
    n_patterns: int
    n_agree: int


def trial_sizes(market: str, outcome: str) -> Iterator[TrialSize]:
    """Compare every level of the randomised modes with a plain randomised comparison."""
    run, trades = run_on_all(market, outcome), real_trades(market)
    if run.reference is None:
        return
    events = entries(trades, trades[outcome])
    for dim in RANDOMISED:
        for level in sorted(trades[dim].dropna().unique()):
            standing = [StandingScope(key, ((dim, level),)) for key in events.groups]
            edges = standing_edges(events, standing, reference=run.reference)
            told = [edge for edge in edges if isinstance(edge, ScopeEdge)]
            yield _trial_size(market, outcome, (dim, level), told)


def _trial_size(
    market: str, outcome: str, condition: tuple[str, str], edges: Sequence[ScopeEdge]
) -> TrialSize:
    trades = real_trades(market)
    patterns = [edge.group[0] for edge in edges]
    own = [_difference(trades[trades["pattern_key"] == p], outcome, condition) for p in patterns]
    pooled = _difference(trades[trades["pattern_key"].isin(patterns)], outcome, condition)
    weights = np.array([edge.n for edge in edges], dtype=np.float64)
    agree = [
        edge.ci_low_rr - Z95 * se <= size <= edge.ci_high_rr + Z95 * se
        for edge, (size, se) in zip(edges, own, strict=True)
    ]
    return TrialSize(
        market=market,
        outcome=outcome,
        mode="=".join(condition),
        trial_rr=pooled[0],
        trial_se_rr=pooled[1],
        ours_rr=float(np.average([edge.delta_group_rr for edge in edges], weights=weights)),
        shrunken_rr=float(np.average([edge.posterior_mean_rr for edge in edges], weights=weights)),
        n_patterns=len(edges),
        n_agree=sum(agree),
    )


def _difference(
    trades: pd.DataFrame, outcome: str, condition: tuple[str, str]
) -> tuple[float, float]:
    """Mean in the mode minus mean of its pattern, with a standard error clustered by weeks."""
    inside = (trades[condition[0]] == condition[1]).to_numpy()
    by_pattern = trades.groupby("pattern_key")[outcome]
    beyond = (trades[outcome] - by_pattern.transform("mean")).to_numpy()
    n = int(inside.sum())
    size = float(beyond[inside].mean())
    share = trades.assign(inside=inside).groupby("pattern_key")["inside"].transform("mean")
    in_mode = trades.assign(beyond=beyond)[inside].groupby("pattern_key")["beyond"].mean()
    of_mode = trades["pattern_key"].map(in_mode).to_numpy()
    centred = inside * (beyond - of_mode) - share.to_numpy() * beyond
    weeks = np.floor(trades["closed_at_days"].to_numpy() / 7).astype(int)
    sums = pd.Series(centred / n).groupby(weeks).sum().to_numpy()
    clusters = len(sums)
    return size, float(np.sqrt(clusters / (clusters - 1) * (sums**2).sum()))


def named_scopes(lessons: Sequence[FoundLesson]) -> str:
    """Say how many lessons have which conditions, patterns counted together."""
    names = [
        ("+" if one.posterior_mean_rr > 0 else "−")
        + " & ".join(f"{name}={value}" for name, value in one.scope)
        for one in lessons
    ]
    return "; ".join(f"{n}× {name}" for name, n in Counter(names).most_common()) or "none"


def set_rows() -> Iterator[str]:
    """Yield the first table as Markdown."""
    yield (
        "| set | outcome | lessons (watch) | level lessons (losing) | scopes | mined on 60 % "
        "| measured later | same sign | slope | coverage | uplift R/1000 | within pattern |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
    for market in MARKETS:
        for outcome in OUTCOMES:
            yield _set_row(market, outcome)


def _set_row(market: str, outcome: str) -> str:
    run, later = run_on_all(market, outcome), later_evidence(market, outcome)
    trades = real_trades(market)
    levels = level_lessons(entries(trades, trades[outcome]), fdr_target=0.1, look=1).lessons
    losing = sum(one.level.mean_rr < 0 for one in levels)
    found = proposed(run)
    cells = [
        market, outcome, f"{len(found)} ({len(run.lessons) - len(found)})",
        f"{len(levels)} ({losing})" if outcome.endswith("net") else "–", named_scopes(found),
        str(later.n_lessons), str(later.n_measured), _shown(later.same_sign), _shown(later.slope),
        _shown(later.coverage), f"{later.uplift_rr:+.1f}", f"{later.uplift_within_rr:+.1f}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def trial_rows() -> Iterator[str]:
    """Yield the second table as Markdown."""
    yield (
        "| set | outcome | mode | randomised comparison R (se) | ours R | ours shrunken R "
        "| patterns that agree |"
    )
    yield "|---|---|---|---|---|---|---|"
    for market in MARKETS:
        for outcome in OUTCOMES:
            for one in trial_sizes(market, outcome):
                yield (
                    f"| {market} | {outcome} | {one.mode} | {one.trial_rr:+.3f} "
                    f"({one.trial_se_rr:.3f}) | {one.ours_rr:+.3f} | {one.shrunken_rr:+.3f} "
                    f"| {one.n_agree} of {one.n_patterns} |"
                )


def main() -> int:
    """Print both tables; 2 where no folder of real trades is named."""
    if not os.environ.get("EDGEKEEPER_REAL_DATA"):
        print("EDGEKEEPER_REAL_DATA names no folder with real trades", file=sys.stderr)
        return 2
    for row in set_rows():
        print(row, flush=True)
    print()
    for row in trial_rows():
        print(row, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
