"""How many false lessons a search may bring: maxima within a group, rates between groups.

Scopes of one group overlap by the thousand, so within a group the question is how large the
*largest* score gets by chance, with the very dependence of its scopes; between groups the
Benjamini-Hochberg rule holds, and the error level inside the selected groups pays for the
selection. Rates over single scopes would be diluted by copies of one true effect.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:  # a page must not wait for the compiler that stands behind these
    from learning.evidence.block_statistics import Floats
    from learning.evidence.trade_events import GroupKey

N_MULTIPLIERS: Final = 4000
MIN_EXCEEDANCES: Final = 20
TAIL_SHARE: Final = 0.1
_SCOPES_AT_ONCE: Final = 1024


def q_values(p_values: Floats) -> Floats:
    """Turn p-values into Benjamini-Hochberg q-values.

    Holds under independence or positive dependence (PRDS).

    Args:
        p_values: Shape (m,), each in [0, 1]; one per hypothesis *tested*, including those that
            failed: m is the price of the search.

    Returns:
        Shape (m,), same order, each in [0, 1] and never below its p-value.

    Raises:
        ValueError: If a p-value is NaN or outside [0, 1].

    References:
        Benjamini & Hochberg (1995), JRSS B 57(1), 289-300, section 3.1.

    Examples:
        >>> q_values(np.array([0.01, 0.04, 0.03, 0.50])).round(4).tolist()
        [0.04, 0.0533, 0.0533, 0.5]
    """
    wrong = ~((p_values >= 0) & (p_values <= 1))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(f"p_values[{at}] must be in [0, 1], got {p_values[at]}")
    m = len(p_values)
    order = np.argsort(p_values, kind="stable")
    raised = p_values[order] * m / np.arange(1, m + 1)
    adjusted = np.empty(m)
    adjusted[order] = np.minimum.accumulate(raised[::-1])[::-1]
    return np.minimum(adjusted, 1.0)


def look_level(fdr_target: float, look: int) -> float:
    """Return the error level of a discovery look.

    The first look uses the whole target, all further ones together share another one.

    Raises:
        ValueError: If ``fdr_target`` is not in (0, 1) or ``look`` is below 1.

    Examples:
        >>> look_level(0.1, 1), round(look_level(0.1, 2), 4), round(look_level(0.1, 3), 4)
        (0.1, 0.0608, 0.0152)
    """
    if not 0 < fdr_target < 1:
        raise ValueError(f"fdr_target must be in (0, 1), got {fdr_target}")
    if look < 1:
        raise ValueError(f"look must be 1 or more, got {look}")
    return fdr_target if look == 1 else fdr_target * 6 / (math.pi**2 * (look - 1) ** 2)


def group_generator(key: GroupKey, *, look: int, seed: int) -> np.random.Generator:
    """Return the generator that belongs to a group, a look and a seed, and to nothing else."""
    text = "\x1f".join([*key, str(look), str(seed)])
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


def null_maxima(influence: Floats, rng: np.random.Generator) -> Floats:
    """Draw the largest absolute score of a group's scopes when none has an edge.

    Each draw gives every block one standard normal multiplier that all scopes share, which
    keeps the exact dependence of overlapping scopes.

    Args:
        influence: Shape (s, b), influence of each block on each scope's delta.
        rng: Source of the multipliers.

    Returns:
        Shape (4000,), sorted from large to small.

    References:
        Chernozhukov, Chetverikov & Kato (2013), Ann. Statist. 41(6), 2786-2819.
    """
    size = np.sqrt((influence**2).sum(axis=1, keepdims=True))
    scaled = (influence / np.where(size > 0, size, 1.0)).astype(np.float32)
    multipliers = rng.standard_normal((influence.shape[1], N_MULTIPLIERS), dtype=np.float32)
    largest = np.zeros(N_MULTIPLIERS, dtype=np.float32)
    for start in range(0, len(scaled), _SCOPES_AT_ONCE):
        scores = scaled[start : start + _SCOPES_AT_ONCE] @ multipliers
        np.maximum(largest, scores.max(axis=0), out=largest)
        np.maximum(largest, -scores.min(axis=0), out=largest)
    return -np.sort(-largest.astype(np.float64))


@dataclass(frozen=True, slots=True)
class NullMaxima:
    """Distribution of a group's largest score without an edge.

    Attributes:
        descending: Shape (r,), draws from large to small.
    """

    descending: Floats

    def tail(self, scores: Floats) -> Floats:
        """Return P(largest >= score) for each score.

        Counted where at least twenty draws reach the score; beyond that extrapolated by an
        exponential tail, and with one to nineteen draws the smaller of the two.
        """
        r = len(self.descending)
        reached = np.searchsorted(-self.descending, -scores, side="right")
        counted = (reached + 1) / (r + 1)
        start, scale = self._exponential_tail()
        far = TAIL_SHARE * np.exp(-(scores - start) / scale)
        few = np.where(reached == 0, far, np.minimum(counted, far))
        return np.where(reached >= MIN_EXCEEDANCES, counted, np.minimum(few, 1.0))

    def critical(self, level: float) -> float:
        """Return the smallest score whose tail probability is at most the level."""
        r = len(self.descending)
        start, scale = self._exponential_tail()
        far = start + scale * math.log(TAIL_SHARE / level)
        beyond = float(np.nextafter(self.descending[MIN_EXCEEDANCES - 1], np.inf))
        candidate = max(far, beyond)
        reached = min(math.floor(level * (r + 1) * (1 + 1e-12)) - 1, r - 1)
        if reached < 1:
            return candidate
        counted = float(np.nextafter(self.descending[reached], np.inf))
        return min(candidate, counted)

    def _exponential_tail(self) -> tuple[float, float]:
        start = float(np.quantile(self.descending, 1 - TAIL_SHARE))
        excess = self.descending[self.descending > start] - start
        return start, float(excess.mean()) if len(excess) else np.finfo(np.float64).tiny


@dataclass(frozen=True)
class GroupSelection:
    """Which groups may bring lessons, and the level inside each.

    Attributes:
        p_group: p-value per group tested; 1 for groups without an eligible scope.
        q_group: The same after Benjamini-Hochberg.
        selected: Groups that pass.
        level: Error level inside a selected group; None where no group passes.
    """

    p_group: Mapping[GroupKey, float]
    q_group: Mapping[GroupKey, float]
    selected: tuple[GroupKey, ...]
    level: float | None

    def q_of_scopes(self, key: GroupKey, tails: Floats) -> Floats | None:
        """Return the displayed q-value of scopes of a group, None where no group passes.

        Args:
            key: A tested group.
            tails: Shape (s,), P(largest score of the group >= score of the scope).
        """
        if not self.selected:
            return None
        inside = tails * len(self.p_group) / len(self.selected)
        return np.minimum(1.0, np.maximum(self.q_group[key], inside))


def select_groups(p_group: Mapping[GroupKey, float], *, level: float) -> GroupSelection:
    """Select groups by Benjamini-Hochberg and split the level among the selected.

    Testing each selected group at ``level * selected / tested`` keeps the expected average
    error over the selected groups at the level.

    References:
        Benjamini & Bogomolov (2014), JRSS B 76(1), 297-318, theorem 1.

    Examples:
        >>> selection = select_groups({("a", "entry"): 0.001, ("b", "entry"): 0.6}, level=0.1)
        >>> selection.selected, selection.level
        ((('a', 'entry'),), 0.05)
    """
    keys = list(p_group)
    adjusted = q_values(np.array([p_group[key] for key in keys]))
    q_group = dict(zip(keys, adjusted.tolist(), strict=True))
    selected = tuple(key for key in keys if q_group[key] <= level)
    return GroupSelection(
        p_group=dict(p_group),
        q_group=q_group,
        selected=selected,
        level=level * len(selected) / len(keys) if selected else None,
    )


def largest_score_p_value(maxima: NullMaxima, z: Floats) -> float:
    """Return the p-value of a group: how often chance alone brings so large a score."""
    return float(maxima.tail(np.array([np.abs(z).max()]))[0])
