"""Planted decays, 150 lessons a set, a quarter of them constant, over 40 weeks; and their fits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learning.meta.half_life import DecayState, HalfLife, fit_half_lives
from tests.learning.meta.planted_cases import fading_edges

N_SETS = 12
N_LESSONS = 150


@dataclass(frozen=True)
class Measured:
    median_relative_error: float
    coverage: float
    profile_coverage: float
    constant_called_decaying: float
    decay_called_decaying: float


def measure(fits: tuple[HalfLife, ...], truth: np.ndarray) -> Measured:
    posteriors = [fit.posterior for fit in fits if fit.posterior is not None]
    profiles = [fit.profile for fit in fits if fit.profile is not None]
    assert len(posteriors) == len(profiles) == len(truth)
    estimate = np.array([each.median_days for each in posteriors])
    low = np.array([each.ci_low_days for each in posteriors])
    high = np.array([each.ci_high_days for each in posteriors])
    called = np.array([fit.state is DecayState.DECAYING for fit in fits])
    decays = np.isfinite(truth)
    in_profile = [p.low_days <= t <= p.high_days for p, t in zip(profiles, truth, strict=True)]
    return Measured(
        float(np.median(np.abs(estimate[decays] - truth[decays]) / truth[decays])),
        float(np.mean((low <= truth) & (truth <= high))),
        float(np.mean(in_profile)),
        float(called[~decays].mean()),
        float(called[decays].mean()),
    )


def averages(trades_per_week: float) -> Measured:
    sets = []
    for seed in range(N_SETS):
        histories, truth = fading_edges(
            np.random.default_rng([seed, 77]), N_LESSONS, trades_per_week=trades_per_week
        )
        sets.append(measure(fit_half_lives(histories).fits, truth))
    return Measured(*np.mean([[*vars(each).values()] for each in sets], axis=0))
