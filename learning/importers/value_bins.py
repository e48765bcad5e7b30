"""A number as a scope value: which of a few ranges it lies in."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from learning.domain.scope import scope_value
from learning.errors import ConfigError

MAX_BINS: Final = 20


@dataclass(frozen=True, slots=True)
class ValueBins:
    """Ranges between limits, each with its label; a limit belongs to the range above it."""

    limits: tuple[float, ...]
    labels: tuple[str, ...]

    def label(self, value: object) -> str | None:
        """Return the label of a value; None where it is empty or no number.

        Examples:
            >>> bins = bins_from({"bins": [30, 70]}, where="rsi_zone")
            >>> [bins.label(value) for value in (29.9, 30, 70, "abc", None)]
            ['below 30', '30 to 70', '70 and above', None, None]
        """
        if value is None or isinstance(value, bool):
            return None
        try:
            number = float(str(value).strip())
        except ValueError:
            return None
        return None if math.isnan(number) else self.labels[bisect_right(self.limits, number)]


def bins_from(content: Mapping[str, Any], *, where: str) -> ValueBins:
    """Return the ranges of a dimension: ``bins`` are their limits, ``labels`` their names.

    Raises:
        ConfigError: If limits do not rise, or the labels are not one more than they.
    """
    limits, labels = content.get("bins"), content.get("labels")
    numbers = isinstance(limits, list) and all(
        isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one)
        for one in limits
    )
    if (
        not numbers
        or not limits
        or not 1 <= len(limits) < MAX_BINS
        or limits != sorted(set(limits))
    ):
        raise ConfigError(f"bins of {where} must be 1 to {MAX_BINS - 1} rising numbers")
    named = _named(limits) if labels is None else labels
    if not isinstance(named, list) or len(named) != len(limits) + 1:
        raise ConfigError(f"labels of {where} must be {len(limits) + 1}: one more than its bins")
    try:
        told = tuple(str(scope_value(where, str(label))) for label in named)
    except ValueError as error:
        raise ConfigError(f"labels of {where}: {error}") from None
    return ValueBins(tuple(float(one) for one in limits), told)


def _named(limits: list[float]) -> list[str]:
    between = [f"{low:g} to {high:g}" for low, high in pairwise(limits)]
    return [f"below {limits[0]:g}", *between, f"{limits[-1]:g} and above"]
