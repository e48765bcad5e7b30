"""The search written once more, slowly: one scope at a time, boolean masks and plain loops.

Shares no code with the package; the tests compare the two number by number.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from scipy import special, stats

LEAST = {1: 10, 2: 20, 3: 30, 4: 50}


def slow_search(
    group: np.ndarray, levels: np.ndarray, days: np.ndarray, rr: np.ndarray
) -> dict[tuple[int, tuple[tuple[int, int], ...]], dict[str, Any]]:
    """Return every scope with four effective blocks, by group and conditions; -1 is absent."""
    y_all = np.clip(rr, *np.quantile(rr, [0.001, 0.99]))
    skewness = ((y_all - y_all.mean()) ** 3).mean() / y_all.std() ** 3
    found: dict[tuple[int, tuple[tuple[int, int], ...]], dict[str, Any]] = {}
    for g in sorted(set(group.tolist())):
        here = group == g
        for scope, member in _distinct_scopes(levels[here]).items():
            one = _measured(y_all[here], np.floor(days[here] / 7), levels[here], scope, member)
            if one is not None and one["blocks"] >= 4:
                found[g, scope] = one
    _score(found, skewness)
    return found


def _distinct_scopes(levels: np.ndarray) -> dict[tuple[tuple[int, int], ...], np.ndarray]:
    seen: set[bytes] = set()
    scopes = {}
    for k in (1, 2, 3, 4):
        for dims in itertools.combinations(range(levels.shape[1]), k):
            present = levels[(levels[:, dims] >= 0).all(axis=1)][:, dims]
            for values in sorted(set(map(tuple, present.tolist()))):
                member = (levels[:, dims] == values).all(axis=1)
                n = int(member.sum())
                if n < LEAST[k] or n == len(levels) or member.tobytes() in seen:
                    continue
                seen.add(member.tobytes())
                scopes[tuple(zip(dims, values, strict=True))] = member
    return scopes


def _measured(
    y: np.ndarray,
    week: np.ndarray,
    levels: np.ndarray,
    scope: tuple[tuple[int, int], ...],
    member: np.ndarray,
) -> dict[str, Any] | None:
    n, big_n, variance = int(member.sum()), len(y), y.var()
    counts = np.array([int((member & (week == b)).sum()) for b in sorted(set(week))])
    u = counts * (1 + 0.1 * (counts - 1))
    blocks = u.sum() ** 2 / (u**2).sum()
    if (counts > 0).sum() < 2:
        return None
    delta = y[member].mean() - y.mean()
    jack = []
    for b in sorted(set(week)):
        rest = week != b
        jack.append(delta - (y[member & rest].mean() - y[rest].mean()))
    held = (counts > 0).sum()
    own, tie = variance, 0.0
    for dim, value in scope:
        same = levels[:, dim] == value
        tie += n / (same.sum() + 50) * (big_n - same.sum()) / (big_n - n)
        own *= (same.sum() * y[same].var() + 50 * variance) / ((same.sum() + 50) * variance)
    return {
        "n": n,
        "k": len(scope),
        "mask": tuple(dim for dim, _ in scope),
        "share": n / big_n,
        "blocks": blocks,
        "dof": max(blocks - 1, 1.0),
        "deff": u.sum() / n,
        "extra": (counts**2).sum() / n - 1,
        "delta": delta,
        "tie": min(tie, 1.0),
        "v_jack": (held - 1) / held * sum(j**2 for j in jack),
        "v_iid": max(
            own * (1 - 2 * n / big_n) / n + variance / big_n,
            0.1 * variance * (1 - n / big_n) / n,
        ),
    }


def _score(found: dict[Any, dict[str, Any]], skewness: float) -> None:
    def sums(chosen: list[dict[str, Any]]) -> tuple[float, float, float]:
        a = b = d = 0.0
        for one in chosen:
            weight = one["dof"] / (1 + 0.05 * one["extra"]) ** 2
            a += weight * (one["v_jack"] / one["v_iid"] - 1) * one["extra"]
            b += weight * one["extra"] ** 2
            d += one["dof"]
        return a, b, d

    scopes = list(found.values())
    rho = {}
    for mask in {one["mask"] for one in scopes}:
        a, b, _ = sums([one for one in scopes if one["mask"] == mask])
        a_k, b_k, d_k = sums([one for one in scopes if one["k"] == len(mask)])
        rho[mask] = max(0.0, (a + 20 * (b_k / d_k) * (a_k / b_k)) / (b + 20 * b_k / d_k))
    for one in scopes:
        one["v_prior"] = one["v_iid"] * (1 + rho[one["mask"]] * one["extra"])
    d0 = _prior_dof(scopes)
    for one in scopes:
        nu, w = d0 + one["dof"], one["dof"] / (d0 + one["dof"])
        variance = (d0 * one["v_prior"] + one["dof"] * one["v_jack"]) / nu
        t = one["delta"] / math.sqrt(variance)
        gam = skewness * (1 - one["share"]) / (math.sqrt(one["n"]) * one["deff"] ** 1.5)
        h = 1 - 3 * (w + (1 - w) * one["tie"])
        corrected = t - h * gam * t**2 / 6 + h**2 * gam**2 * t**3 / 108 + gam / 6
        p = 2 * stats.t.sf(abs(corrected), nu)
        one["z"] = math.copysign(stats.norm.isf(p / 2), corrected)
        one["variance"] = variance
        one["d0"] = d0


def _prior_dof(scopes: list[dict[str, Any]]) -> float:
    wide = [one for one in scopes if one["dof"] > 4]
    e = [
        math.log(one["v_jack"] / one["v_prior"])
        - special.digamma(one["dof"] / 2)
        + math.log(one["dof"] / 2)
        for one in wide
    ]
    deviation = np.median((np.array(e) - np.median(e)) ** 2)
    target = 2.198 * deviation - np.mean([special.polygamma(1, one["dof"] / 2) for one in wide])
    candidates = np.linspace(0.01, 60, 600_000)  # by looking, not by solving
    above = special.polygamma(1, candidates / 2) > target
    return float(candidates[above.argmin()]) if not above.all() else 60.0
