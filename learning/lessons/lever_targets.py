"""From a lesson's posterior to the levers it asks for, and the strength it speaks with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from learning.domain.levers import LEVERS, adds_risk, clamp, levers_of
from learning.domain.pattern_key import ActionCategory

SIZE_REACH = 0.3  # a size or allocation multiplier reaches neutral ± 0.3
AGGRESSION_REACH = 0.2
EDGE_SCALE = 0.5  # in standard deviations of the outcome: tanh is three quarters there at 0.5
SCORES = ("time_efficiency", "field_coherence", "recurrence")


@dataclass(frozen=True, slots=True)
class EdgePosterior:
    """What the posterior of a lesson says, as far as levers need it (all in R).

    ``delta_q25_rr`` is the 25 % quantile of the edge, taken toward zero and cut there;
    ``own_mean_q25_rr`` the 25 % quantile of the scope's own mean outcome;
    ``sd_rr`` the standard deviation of the outcome in the group.
    """

    delta_q25_rr: float
    own_mean_q25_rr: float
    sd_rr: float
    ci_low_rr: float
    ci_high_rr: float

    @property
    def contains_zero(self) -> bool:
        """Whether the 95 % interval of the edge contains 0."""
        return self.ci_low_rr <= 0.0 <= self.ci_high_rr


@dataclass(frozen=True, slots=True)
class LeverTargets:
    """The levers a lesson asks for, and those it may not have, each with its reason."""

    levers: Mapping[str, float]
    withheld: Mapping[str, str]


def capital_targets(
    posterior: EdgePosterior, *, module: str, category: ActionCategory
) -> LeverTargets:
    """Map an edge to its capital levers.

    With ``d`` the cautious edge in standard deviations, size and allocation go to
    ``1 + 0.3 tanh(d / 0.5)`` and the aggression levers to ``1 ± 0.2 tanh(d / 0.5)``. A lever
    that adds risk beyond neutral also needs the scope's own mean to earn: better than its
    pattern is not enough where it still loses.

    Raises:
        ValueError: If the standard deviation is not positive.

    Examples:
        >>> edge = EdgePosterior(0.5, 0.2, sd_rr=1.0, ci_low_rr=0.3, ci_high_rr=0.9)
        >>> capital_targets(edge, module="dm", category="entry").levers
        {'alloc_mult': 1.228478}
        >>> losing = EdgePosterior(0.5, -0.1, sd_rr=1.0, ci_low_rr=0.3, ci_high_rr=0.9)
        >>> dict(capital_targets(losing, module="dm", category="entry").withheld)
        {'alloc_mult': 'better than its pattern, still losing'}
    """
    if not posterior.sd_rr > 0:
        raise ValueError(f"sd_rr must be positive, got {posterior.sd_rr}")
    names = levers_of(module, category)
    if posterior.contains_zero:
        return LeverTargets({}, dict.fromkeys(names, "the 95 % interval contains 0"))
    pull = math.tanh(posterior.delta_q25_rr / posterior.sd_rr / EDGE_SCALE)
    levers: dict[str, float] = {}
    withheld: dict[str, str] = {}
    for name in names:
        value = _target(name, pull)
        if value == LEVERS[name].neutral:
            withheld[name] = "the cautious edge is 0"
        elif adds_risk(LEVERS[name], value) and not posterior.own_mean_q25_rr > 0:
            withheld[name] = "better than its pattern, still losing"
        else:
            levers[name] = value
    return LeverTargets(levers, withheld)


def _target(name: str, pull: float) -> float:
    reach = SIZE_REACH if name in ("size_mult", "alloc_mult") else AGGRESSION_REACH
    sign = -1.0 if name == "exit_aggression_mult" else 1.0
    return round(clamp(LEVERS[name], 1.0 + sign * reach * pull), 6)


def lesson_strength(
    lfsr: float, scores: Mapping[str, float | None], weights: Mapping[str, float]
) -> float:
    """Return how strongly a lesson speaks, 0 to 1.

    ``(1 − 2 lfsr) (0.5 + 0.5 Σ wᵢ scoreᵢ / Σ wᵢ)`` over the scores that are present, so regime
    weights move an override by at most half. With no score at all the bracket is 0.75. Where
    an edge of exactly 0 is likelier than not, both signs are likelier wrong than right: 0.

    Args:
        lfsr: Local false sign rate, 0 to 1; above 0.5 where the edge is probably 0.
        scores: ``time_efficiency``, ``field_coherence``, ``recurrence``, each 0 to 1 or absent.
        weights: Regime weights by the same names; a missing one is 1.

    Raises:
        ValueError: If lfsr is outside [0, 1].

    Examples:
        >>> lesson_strength(0.0, {"time_efficiency": 1.0, "field_coherence": 0.0}, {})
        0.75
        >>> lesson_strength(0.0, {"time_efficiency": 1.0, "field_coherence": 0.0},
        ...                 {"time_efficiency": 1.5, "field_coherence": 0.5})
        0.875
    """
    if not 0.0 <= lfsr <= 1.0:
        raise ValueError(f"lfsr must be in [0, 1], got {lfsr}")
    weighted = total = 0.0
    for name in SCORES:
        value = scores.get(name)
        if value is not None:
            weight = weights.get(name, 1.0)
            weighted += weight * value
            total += weight
    mean = weighted / total if total > 0 else 0.5
    return max(1.0 - 2.0 * lfsr, 0.0) * (0.5 + 0.5 * mean)
