"""What an override would have done on past trades: the same trades at another size.

Only size can be replayed: a trade at 1.1 times its size earns 1.1 times its R of base risk. What
else an override changes would have made other trades, and no record tells their outcomes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from learning.domain.levers import LEVERS, clamp
from learning.overrides.effect_record import SIZE_LEVERS
from learning.overrides.effects import Effect, NotMeasured, size_uplift
from learning.overrides.materialising import stepped

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Sample = Literal["in sample", "out of sample"]
ValueKind = Literal["target", "in force", "first step"]

IN_SAMPLE_NOTE: Final = (
    "In sample, the lesson was chosen because these trades went as they did: it must look good "
    "there, and proves nothing."
)
_AGGRESSION: Final = (
    "it changes which decisions are taken: the trades it would have added or spared are not known"
)
_TIMING: Final = (
    "it changes when and at what price a trade is carried out: the other price is not in the record"
)


@dataclass(frozen=True, slots=True, eq=False)
class ReplayTrades:
    """The past trades in scope, in the order in which they closed.

    Attributes:
        rr: Shape (n,), outcome at base size, R, not clipped.
        closed_at_days: Shape (n,), days since 1970-01-01 UTC, not falling.
        is_in_sample: Shape (n,), whether the trade had closed when the lesson made its claim.

    Raises:
        ValueError: If the shapes differ or the trades are not in order.
    """

    rr: FloatArray
    closed_at_days: FloatArray
    is_in_sample: BoolArray

    def __post_init__(self) -> None:
        if not (self.rr.shape == self.closed_at_days.shape == self.is_in_sample.shape):
            raise ValueError(
                "rr, closed_at_days and is_in_sample must have one shape (n,), got "
                f"{self.rr.shape}, {self.closed_at_days.shape} and {self.is_in_sample.shape}"
            )
        if np.any(np.diff(self.closed_at_days) < 0):
            raise ValueError("closed_at_days must not fall: trades are replayed as they closed")

    def sample(self, sample: Sample) -> ReplayTrades:
        """The trades of one sample."""
        chosen = self.is_in_sample == (sample == "in sample")
        return ReplayTrades(self.rr[chosen], self.closed_at_days[chosen], self.is_in_sample[chosen])


@dataclass(frozen=True, slots=True)
class SampleReplay:
    """One multiplier on the trades of one sample; totals and drawdowns in R of base risk.

    Attributes:
        sample: Up to the lesson's standing claim, or after it.
        n: Trades.
        traded_rr: Sum of the outcomes at base size.
        adjusted_rr: Sum at the adjusted size.
        traded_drawdown_rr: Largest fall of the running sum below its peak so far, at least 0.
        adjusted_drawdown_rr: The same at the adjusted size.
        difference: Mean difference per trade with its interval, out of sample only: in sample
            no interval is honest.
    """

    sample: Sample
    n: int
    traded_rr: float
    adjusted_rr: float
    traded_drawdown_rr: float
    adjusted_drawdown_rr: float
    difference: Effect | NotMeasured


@dataclass(frozen=True, slots=True, eq=False)
class MultiplierReplay:
    """One multiplier on all past trades in scope.

    Attributes:
        kind: The lesson's target, what is in force now, or the first step after an approval.
        multiplier: Of the size.
        samples: In sample, then out of sample; a sample without trades is left out.
        adjusted_curve_rr: Shape (n,), running sum at the adjusted size.
    """

    kind: ValueKind
    multiplier: float
    samples: tuple[SampleReplay, ...]
    adjusted_curve_rr: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class LessonReplay:
    """A lesson's override on the past trades in its scope, as of now.

    Attributes:
        outcome: What R stands for.
        lever: The size lever that was replayed; None where the override has none.
        trades: What was replayed.
        traded_curve_rr: Shape (n,), running sum at base size.
        replays: The target first, then the value in force, or the first step toward the target.
        not_replayable: Why, for each other lever of the override.
    """

    outcome: str
    lever: str | None
    trades: ReplayTrades
    traded_curve_rr: FloatArray
    replays: tuple[MultiplierReplay, ...]
    not_replayable: Mapping[str, str]


def lesson_replay(
    trades: ReplayTrades,
    targets: Mapping[str, float],
    *,
    outcome: str,
    strength: float,
    in_force: Mapping[str, float] | None = None,
) -> LessonReplay:
    """Replay a lesson's size lever on past trades.

    Args:
        trades: Those in scope.
        targets: The levers of the lesson's effect, flatly named.
        outcome: What R stands for.
        strength: Of the lesson, 0 to 1; scales its first step.
        in_force: The levers of its override as materialised; None where it has none.

    Examples:
        >>> trades = ReplayTrades(np.array([2.0, -1.0]), np.array([1.0, 2.0]),
        ...                       np.array([True, True]))
        >>> found = lesson_replay(trades, {"size_mult": 1.3, "trail_mult": 1.1},
        ...                       outcome="r_multiple", strength=0.5)
        >>> [(one.kind, one.multiplier) for one in found.replays]
        [('target', 1.3), ('first step', 1.02)]
        >>> round(found.replays[0].samples[0].adjusted_rr, 9), list(found.not_replayable)
        (1.3, ['trail_mult'])
    """
    lever = next((name for name in SIZE_LEVERS if name in targets), None)
    values = [] if lever is None else _values(lever, targets[lever], strength, in_force)
    return LessonReplay(
        outcome=outcome,
        lever=lever,
        trades=trades,
        traded_curve_rr=np.cumsum(trades.rr),
        replays=tuple(replayed(trades, value, kind=kind) for kind, value in values),
        not_replayable={name: _why_not(name) for name in targets if name not in SIZE_LEVERS},
    )


def replayed(trades: ReplayTrades, multiplier: float, *, kind: ValueKind) -> MultiplierReplay:
    """Replay one size multiplier, each sample by itself."""
    samples: Sequence[Sample] = ("in sample", "out of sample")
    parts = [(sample, trades.sample(sample)) for sample in samples]
    return MultiplierReplay(
        kind=kind,
        multiplier=multiplier,
        samples=tuple(_sample(name, part, multiplier) for name, part in parts if len(part.rr)),
        adjusted_curve_rr=np.cumsum(multiplier * trades.rr),
    )


def max_drawdown(rr: FloatArray) -> float:
    """Return the largest fall of the running sum below its peak so far; the peak starts at 0.

    Args:
        rr: Shape (n,), in order.

    Examples:
        Up to 2, down to -1, up to 4, down to 3.

        >>> max_drawdown(np.array([2.0, -3.0, 5.0, -1.0]))
        3.0
        >>> max_drawdown(np.array([-1.0, -1.0]))
        2.0
    """
    curve = np.concatenate([[0.0], np.cumsum(rr)])
    return float(np.max(np.maximum.accumulate(curve) - curve))


def _values(
    lever: str, target: float, strength: float, in_force: Mapping[str, float] | None
) -> list[tuple[ValueKind, float]]:
    rule = LEVERS[lever]
    target = clamp(rule, target)
    if in_force is not None:
        return [("target", target), ("in force", in_force.get(lever, rule.neutral))]
    heading = rule.neutral + (target - rule.neutral) * strength
    first = stepped(heading, epoch_start=rule.neutral, lever=lever)
    return [("target", target), ("first step", first)]


def _sample(sample: Sample, trades: ReplayTrades, multiplier: float) -> SampleReplay:
    if sample == "in sample":
        difference: Effect | NotMeasured = NotMeasured("the lesson was chosen on these trades")
    elif multiplier == 1:
        difference = NotMeasured("at its neutral value nothing differs")
    else:
        sized = np.full(len(trades.rr), multiplier)
        difference = size_uplift(sized, trades.rr, trades.closed_at_days).uplift
    return SampleReplay(
        sample=sample,
        n=len(trades.rr),
        traded_rr=float(trades.rr.sum()),
        adjusted_rr=float((multiplier * trades.rr).sum()),
        traded_drawdown_rr=max_drawdown(trades.rr),
        adjusted_drawdown_rr=max_drawdown(multiplier * trades.rr),
        difference=difference,
    )


def _why_not(lever: str) -> str:
    is_aggression = lever in ("entry_aggression_mult", "exit_aggression_mult")
    is_gate = lever.startswith("signal_thresholds.")
    return _AGGRESSION if is_aggression or is_gate else _TIMING
