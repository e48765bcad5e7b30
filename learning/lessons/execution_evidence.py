"""What the execution of trades left on the table, and which signals tell good trades from bad.

The better price of a trade is known only in hindsight, so a median of what was missed is held
against half an R, the least that counts as missed, and never against 0: every path has some
better price. Whether acting on it helps is for the hold-out to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import special

from learning.domain.levers import ThresholdKind, ThresholdRange
from learning.evidence.block_statistics import (
    MIN_EFFECTIVE_BLOCKS,
    WITHIN_BLOCK_CORRELATION,
    Blocks,
    Floats,
    block_mean_variance,
    effective_blocks,
    time_blocks,
)
from learning.evidence.significance import hall_transform
from learning.lessons.scope_edges import TOWARD_ZERO_SHARE, GroupTrades
from learning.lessons.standing import Undetermined

LEAST_MISSED_RR: Final = 0.5  # where "small" begins: less is called none
MIN_MISSED_TRADES: Final = 50
MIN_SIDE_TRADES: Final = 30  # on each side of a threshold
EARLIER_SHARE: Final = 0.6
EMBARGO_DAYS: Final = 10.0

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ExecutionTrades:
    """The trades of a group with what their execution left, in time order.

    Attributes:
        trades: The trades.
        missed_entry_rr: Shape (n,), R that waiting with the entry would have gained, at least 0;
            NaN where not known.
        missed_exit_rr: Shape (n,), R that another exit would have gained: above 0 where the
            exit was too early, below 0 where it was too late; NaN where not known.
        signals: Per signal its value at the action, shape (n,), NaN where absent.
    """

    trades: GroupTrades
    missed_entry_rr: Floats
    missed_exit_rr: Floats
    signals: Mapping[str, Floats]


def execution_trades(
    trades: GroupTrades,
    *,
    trade: npt.NDArray[np.int64],
    missed_entry_rr: Floats,
    entry_gap_days: Floats,
    missed_exit_rr: Floats,
    exit_gap_days: Floats,
    signals: Mapping[str, Floats],
) -> ExecutionTrades:
    """Bring what is known of executions into the order of a group's trades.

    Args:
        trades: The trades of the group.
        trade: Shape (m,), increasing ids of the trades that the other arrays tell of; those
            that are not in the group are left out, those of the group that are missing tell
            nothing.
        missed_entry_rr: Shape (m,), see :func:`signed_entry`.
        entry_gap_days: Shape (m,).
        missed_exit_rr: Shape (m,), see :func:`signed_exit`.
        exit_gap_days: Shape (m,).
        signals: Shape (m,) each.
    """
    at = np.searchsorted(trade, trades.trade)
    known = at < len(trade)
    known[known] = trade[at[known]] == trades.trade[known]

    def ordered(values: Floats) -> Floats:
        told = np.full(trades.n, np.nan)
        told[known] = values[at[known]]
        return told

    return ExecutionTrades(
        trades=trades,
        missed_entry_rr=ordered(signed_entry(missed_entry_rr, entry_gap_days)),
        missed_exit_rr=ordered(signed_exit(missed_exit_rr, exit_gap_days)),
        signals={name: ordered(values) for name, values in signals.items()},
    )


def signed_entry(missed_rr: Floats, gap_days: Floats) -> Floats:
    """Return what entering too early missed, shape (n,).

    Args:
        missed_rr: Shape (n,), R of the best entry; what is below 0 missed nothing.
        gap_days: Shape (n,), from the entry to the best entry. NaN: it came while the trade was
            open, which is what the path of a trade shows. Below 0 it came before the entry:
            nothing was missed by entering too early.

    Examples:
        >>> signed_entry(np.array([1.0, 1.0, -0.2]), np.array([np.nan, -0.5, 2.0])).tolist()
        [1.0, 0.0, 0.0]
    """
    return np.where(gap_days < 0, np.minimum(missed_rr, 0.0), missed_rr).clip(min=0.0)


def signed_exit(missed_rr: Floats, gap_days: Floats) -> Floats:
    """Return what the exit missed with its direction, shape (n,).

    Args:
        missed_rr: Shape (n,), R of the best exit; what is below 0 missed nothing.
        gap_days: Shape (n,), from the exit to the best exit: after it, the exit was too early;
            at or before it, too late. Where the moment is not known, neither can be said.

    Examples:
        >>> signed_exit(np.array([1.0, 1.0, 1.0]), np.array([0.5, -0.5, np.nan])).tolist()
        [1.0, -1.0, nan]
    """
    size = missed_rr.clip(min=0.0)
    sided = np.where(gap_days > 0, size, -size)
    return np.where(np.isnan(gap_days) & (size > 0), np.nan, sided + 0.0)


@dataclass(frozen=True, slots=True)
class MissedMedian:
    """The median of what was missed, with an interval that knows that weeks share shocks.

    Attributes:
        n: Trades that tell.
        n_effective_blocks: Independent weeks among them.
        median_rr: R.
        ci_low_rr: Lower end of the 95 % interval.
        ci_high_rr: Upper end.
        cautious_rr: 25 % quantile toward zero, cut at 0.
        p_above: One-sided p-value against a median of at most +0.5 R.
        p_below: One-sided p-value against a median of at least -0.5 R.
        p_sign: One-sided p-value against a median of the other sign.
    """

    n: int
    n_effective_blocks: float
    median_rr: float
    ci_low_rr: float
    ci_high_rr: float
    cautious_rr: float
    p_above: float
    p_below: float
    p_sign: float


def missed_median(missed_rr: Floats, closed_at_days: Floats) -> MissedMedian | Undetermined:
    """Measure the median of what was missed.

    A sign test whose share has a block jackknife error, and at least the error that trades
    correlated by 0.1 within a week would have; the interval inverts it.

    Args:
        missed_rr: Shape (n,), no NaN.
        closed_at_days: Shape (n,), days since 1970.

    References:
        Woodruff (1952), J. Am. Stat. Assoc. 47(260), 635-646: intervals of quantiles in
        clustered samples.
    """
    n = len(missed_rr)
    if n < MIN_MISSED_TRADES:
        return Undetermined(f"{n} trades tell what they missed, {MIN_MISSED_TRADES} needed")
    blocks = time_blocks(closed_at_days)
    held = effective_blocks(blocks)
    if held < MIN_EFFECTIVE_BLOCKS:
        return Undetermined(f"{held:.1f} effective blocks, {MIN_EFFECTIVE_BLOCKS:g} needed")
    median = float(np.median(missed_rr))
    se = _share_error(missed_rr <= median, blocks)
    reach = _reach(0.025, held) * se
    near = _reach(TOWARD_ZERO_SHARE, held) * se
    if reach >= 0.5:
        return Undetermined("the interval of the median is wider than the trades")
    sign = 1.0 if median >= 0 else -1.0
    return MissedMedian(
        n=n,
        n_effective_blocks=held,
        median_rr=median,
        ci_low_rr=float(np.quantile(missed_rr, 0.5 - reach, method="lower")),
        ci_high_rr=float(np.quantile(missed_rr, 0.5 + reach, method="higher")),
        cautious_rr=sign * max(0.0, _quantile_toward_zero(sign * missed_rr, near)),
        p_above=_p_majority(missed_rr > LEAST_MISSED_RR, blocks, held),
        p_below=_p_majority(missed_rr < -LEAST_MISSED_RR, blocks, held),
        p_sign=_p_majority(sign * missed_rr > 0, blocks, held),
    )


def _quantile_toward_zero(positive: Floats, near: float) -> float:
    return float(np.quantile(positive, 0.5 - near, method="lower"))


def _p_majority(flags: Bools, blocks: Blocks, held: float) -> float:
    """One-sided p-value against a share of at most one half."""
    t = (float(flags.mean()) - 0.5) / _share_error(flags, blocks)
    return _upper_tail(t, held)


def _reach(tail: float, held: float) -> float:
    """Standard errors from the middle to where a tail of Student's t begins."""
    return -float(special.stdtrit(held - 1, tail))


def _upper_tail(t: float, held: float) -> float:
    return float(special.stdtr(held - 1, -t))


def _share_error(flags: Bools, blocks: Blocks) -> float:
    n = np.bincount(blocks.code, minlength=blocks.n)
    design_effect = float((n * (1 + WITHIN_BLOCK_CORRELATION * (n - 1))).sum() / len(flags))
    least = 0.25 * design_effect / len(flags)
    seen = block_mean_variance(flags.astype(np.float64), blocks) or 0.0
    return float(np.sqrt(max(seen, least)))


@dataclass(frozen=True, slots=True)
class SplitContrast:
    """How much better trades on the right side of a threshold did than the others.

    Attributes:
        n: Trades on both sides.
        n_passing: Trades on the right side.
        n_effective_blocks: Of the side that has fewer.
        contrast_rr: Mean of the right side minus mean of the other.
        se_rr: Block jackknife standard error.
        ci_low_rr: Lower end of the 95 % interval.
        ci_high_rr: Upper end.
        cautious_rr: 25 % quantile toward zero, cut at 0.
        t: Skewness-corrected t.
        p_value: One-sided, that the right side is better.
    """

    n: int
    n_passing: int
    n_effective_blocks: float
    contrast_rr: float
    se_rr: float
    ci_low_rr: float
    ci_high_rr: float
    cautious_rr: float
    t: float
    p_value: float


def split_contrast(
    passes: Bools, outcome: Floats, closed_at_days: Floats
) -> SplitContrast | Undetermined:
    """Compare the trades on the two sides of a threshold, leaving out one week at a time.

    Args:
        passes: Shape (n,), which trades are on the right side.
        outcome: Shape (n,), R.
        closed_at_days: Shape (n,), days since 1970.
    """
    few = int(min(passes.sum(), (~passes).sum()))
    if few < MIN_SIDE_TRADES:
        return Undetermined(f"{few} trades on one side, {MIN_SIDE_TRADES} needed")
    blocks = time_blocks(closed_at_days)
    held = min(_blocks_of(closed_at_days[side]) for side in (passes, ~passes))
    if held < MIN_EFFECTIVE_BLOCKS:
        return Undetermined(
            f"{held:.1f} effective blocks on one side, {MIN_EFFECTIVE_BLOCKS:g} needed"
        )
    contrast, variance = _jackknifed_contrast(passes, outcome, blocks)
    if not variance > 0:
        return Undetermined("leaving out a week never changes the difference")
    se = float(np.sqrt(variance))
    t = _corrected_t(contrast / se, passes, outcome, blocks)
    reach = _reach(0.025, held) * se
    near = _reach(TOWARD_ZERO_SHARE, held) * se
    return SplitContrast(
        n=len(passes),
        n_passing=int(passes.sum()),
        n_effective_blocks=held,
        contrast_rr=contrast,
        se_rr=se,
        ci_low_rr=contrast - reach,
        ci_high_rr=contrast + reach,
        cautious_rr=float(np.sign(contrast) * max(0.0, abs(contrast) - near)),
        t=t,
        p_value=_upper_tail(t, held),
    )


def _blocks_of(closed_at_days: Floats) -> float:
    return effective_blocks(time_blocks(closed_at_days))


def _jackknifed_contrast(passes: Bools, outcome: Floats, blocks: Blocks) -> tuple[float, float]:
    def sums(side: Bools) -> tuple[Floats, Floats]:
        code = blocks.code[side]
        n = np.bincount(code, minlength=blocks.n).astype(np.float64)
        total = np.bincount(code, weights=outcome[side], minlength=blocks.n)
        return n, total.astype(np.float64)

    (n_in, s_in), (n_out, s_out) = sums(passes), sums(~passes)
    contrast = s_in.sum() / n_in.sum() - s_out.sum() / n_out.sum()
    without = (s_in.sum() - s_in) / (n_in.sum() - n_in) - (s_out.sum() - s_out) / (
        n_out.sum() - n_out
    )
    spread = float(((contrast - without) ** 2).sum())
    return float(contrast), (blocks.n - 1) / blocks.n * spread


def _corrected_t(t: float, passes: Bools, outcome: Floats, blocks: Blocks) -> float:
    """Take the skewness of the outcome out of t; it matters where the sides are uneven."""
    n_in, n_out = float(passes.sum()), float((~passes).sum())
    n = np.bincount(blocks.code, minlength=blocks.n)
    design_effect = float((n * (1 + WITHIN_BLOCK_CORRELATION * (n - 1))).sum() / len(passes))
    centred = outcome - outcome.mean()
    skew = float((centred**3).mean() / (centred**2).mean() ** 1.5)
    skew *= (n_in**-2 - n_out**-2) / (1 / n_in + 1 / n_out) ** 1.5
    one = np.ones(1)
    corrected = hall_transform(t * one, skew / design_effect**1.5 * one, one)
    return float(corrected[0])


def passing(signal: Floats, value: float, kind: ThresholdKind) -> Bools:
    """Return which trades a threshold lets through, shape (n,)."""
    return signal >= value if kind == "min" else signal <= value


@dataclass(frozen=True, slots=True)
class ChosenThreshold:
    """A threshold chosen on earlier trades, and its test on the later ones.

    Attributes:
        value: The threshold, on the signal's scale.
        chosen_before_days: End of the trades it was chosen on, days since 1970.
        confirmation: On the trades from ten days later; or why there is none.
    """

    value: float
    chosen_before_days: float
    confirmation: SplitContrast | Undetermined


def chosen_threshold(
    signal: Floats, outcome: Floats, closed_at_days: Floats, given: ThresholdRange
) -> ChosenThreshold | Undetermined:
    """Choose the threshold that separates outcomes best, and test it on later trades.

    The choice costs nothing, since the trades that choose are not those that test; ten days
    between them keep open trades and slow shocks from reaching over.

    Args:
        signal: Shape (n,), NaN where a trade did not tell.
        outcome: Shape (n,), R.
        closed_at_days: Shape (n,), days since 1970.
        given: Where the threshold may stand.
    """
    told = np.isfinite(signal)
    signal, outcome, days = signal[told], outcome[told], closed_at_days[told]
    if len(signal) < 2 * MIN_SIDE_TRADES:
        return Undetermined(f"{len(signal)} trades tell the signal, {2 * MIN_SIDE_TRADES} needed")
    border = float(np.quantile(days, EARLIER_SHARE))
    value = _best_value(signal, outcome, days, days <= border, given)
    if value is None:
        return Undetermined("no value has enough earlier trades on both sides and separates them")
    return ChosenThreshold(value, border, later_contrast(
        signal, outcome, days, value=value, kind=given.kind, chosen_before_days=border
    ))  # fmt: skip


def later_contrast(
    signal: Floats,
    outcome: Floats,
    closed_at_days: Floats,
    *,
    value: float,
    kind: ThresholdKind,
    chosen_before_days: float,
) -> SplitContrast | Undetermined:
    """Test a threshold on the trades that closed after the embargo; NaN signals are left out."""
    later = np.isfinite(signal) & (closed_at_days > chosen_before_days + EMBARGO_DAYS)
    return split_contrast(
        passing(signal[later], value, kind), outcome[later], closed_at_days[later]
    )


def _best_value(
    signal: Floats, outcome: Floats, days: Floats, earlier: Bools, given: ThresholdRange
) -> float | None:
    best, best_t = None, 0.0
    for value in given.values:
        passes = passing(signal[earlier], value, given.kind)
        contrast = split_contrast(passes, outcome[earlier], days[earlier])
        if isinstance(contrast, SplitContrast) and contrast.t > best_t:
            best, best_t = value, contrast.t
    return best
