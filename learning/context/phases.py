"""The phase of a market on three horizons, from its own past closes.

A phase is a band of z: the log return over the horizon ÷ (σ of the hourly returns of a month
× √bars), so that a phase means the same in quiet and in wild markets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from learning.context.candles import HOUR_MS, Candles, Closes, Floats, Milliseconds, closes_by
from learning.context.candles import stretches as unbroken

HORIZONS: Final[Mapping[str, int]] = {"macro": 480, "meso": 120, "micro": 24}  # hourly bars
SIGMA_BARS: Final = 720
LEAST_SIGMA_BARS: Final = 480
_STALE_MS: Final = 4 * 24 * HOUR_MS  # the longest weekend; an older phase is not of now
_NAMES: Final = ("Euphoria", "Good", "Recover", "Chop", "Dip", "Double-Dip", "Oh-Shit")
_RECOVERS: Final = 0.9  # z of the last third of the window
_NONE: Final = -1


@dataclass(frozen=True, slots=True, eq=False)
class PhaseHistory:
    """Phases over time: ``codes[horizon][i]`` holds from ``known_ms[i]`` on, -1: none."""

    known_ms: Milliseconds
    codes: Mapping[str, npt.NDArray[np.int8]]

    def at(self, moments_ms: Milliseconds) -> list[dict[str, str]]:
        """Return the phases known at each moment; a horizon without one is absent.

        What was known more than four days before tells nothing of the moment.
        """
        place = np.searchsorted(self.known_ms, moments_ms, side="right") - 1
        if not len(self.known_ms):
            return [{} for _ in moments_ms]
        is_fresh = (place >= 0) & (moments_ms - self.known_ms[np.maximum(place, 0)] <= _STALE_MS)
        found: list[dict[str, str]] = [{} for _ in moments_ms]
        for horizon, codes in self.codes.items():
            here = np.where(is_fresh, codes[np.maximum(place, 0)], _NONE)
            for i in np.flatnonzero(here != _NONE):
                found[i][f"{horizon}_phase"] = _NAMES[here[i]]
        return found


def phase_name(z: float, z_of_last_third: float) -> str:
    """Return the phase of a horizon.

    Examples:
        >>> phase_name(1.6, 0.0), phase_name(0.2, 1.0), phase_name(0.2, 0.0), phase_name(-2.0, 0.0)
        ('Euphoria', 'Recover', 'Chop', 'Oh-Shit')
    """
    return _NAMES[int(_codes(np.array([z]), np.array([z_of_last_third]))[0])]


def phase_history(candles: Candles) -> PhaseHistory:
    """Return the phases of a reference market, each from the closes up to its own moment.

    Args:
        candles: Of one hour or finer.

    Raises:
        ValueError: If the bars are longer than an hour.
    """
    hours = closes_by(candles, HOUR_MS)
    parts = [_phases(hours, part) for part in unbroken(hours.known_ms)]
    codes = {
        horizon: np.concatenate([part[horizon] for part in parts])
        if parts
        else np.array([], dtype=np.int8)
        for horizon in HORIZONS
    }
    return PhaseHistory(hours.known_ms, codes)


def _phases(hours: Closes, part: slice) -> dict[str, npt.NDArray[np.int8]]:
    log_close = np.log(hours.close[part])
    returns = pd.Series(np.diff(log_close, prepend=np.nan))
    sigma = returns.rolling(SIGMA_BARS, min_periods=LEAST_SIGMA_BARS).std().to_numpy()
    return {
        horizon: _codes(_z(log_close, sigma, bars), _z(log_close, sigma, bars // 3))
        for horizon, bars in HORIZONS.items()
    }


def _z(log_close: Floats, sigma: Floats, bars: int) -> Floats:
    z = np.full(len(log_close), np.nan)
    moved = log_close[bars:] - log_close[:-bars]
    scale = sigma[bars:] * np.sqrt(bars)
    np.divide(moved, scale, out=z[bars:], where=scale > 0)
    return z


def _codes(z: Floats, z_of_last_third: Floats) -> npt.NDArray[np.int8]:
    recovers = (z < 0.5) & (z_of_last_third >= _RECOVERS)
    bands = [z >= 1.5, z >= 0.5, recovers, z > -0.5, z > -1.0, z > -1.75, z <= -1.75]
    return np.select(bands, list(range(7)), _NONE).astype(np.int8)
