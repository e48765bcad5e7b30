"""The arrays that all evidence code reads: one row per trade and (pattern, category)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from learning.domain.scope import ScopeValue, checked_dimensions, scope_value

GroupKey = tuple[str, str]
"""A pattern_key and an action_category."""

ABSENT = -1
"""The code of a dimension that a trade's scope does not have."""


@dataclass(frozen=True, slots=True, eq=False)
class TradeEvents:
    """Closed trades as arrays; a trade counts once within a (pattern_key, action_category).

    Attributes:
        group: Shape (n,), int32: code of the (pattern_key, action_category), into ``groups``.
        groups: The (pattern_key, action_category) of each code.
        dims: Scope dimensions, in the module's order.
        scope_codes: Shape (n, d), int16: code into ``levels`` of that dimension, -1 = absent.
        levels: Per dimension the values of its codes.
        closed_at_days: Shape (n,), days since 1970-01-01 UTC.
        rr: Shape (n,), raw outcome in R.
        trade: Shape (n,), int64: id of the trade, the same in every group it appears in.
        time_efficiency: Shape (n,), in [0, 1], NaN where a trade has none; or None.

    Raises:
        ValueError: If a shape, a code or a value breaks its rule, or a trade appears twice in
            one group.
    """

    group: npt.NDArray[np.int32]
    groups: tuple[GroupKey, ...]
    dims: tuple[str, ...]
    scope_codes: npt.NDArray[np.int16]
    levels: tuple[tuple[ScopeValue, ...], ...]
    closed_at_days: npt.NDArray[np.float64]
    rr: npt.NDArray[np.float64]
    trade: npt.NDArray[np.int64]
    time_efficiency: npt.NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        checked_dimensions(self.dims)
        _check_shapes(self)
        _check_levels(self)
        _check_codes("group", self.group, 0, len(self.groups))
        for i, name in enumerate(self.dims):
            _check_codes(
                f"scope_codes[{name!r}]", self.scope_codes[:, i], ABSENT, len(self.levels[i])
            )
        _check_finite("closed_at_days", self.closed_at_days)
        _check_finite("rr", self.rr)
        _check_trades_differ(self)

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.rr)

    @classmethod
    def from_columns(
        cls,
        *,
        pattern_key: Sequence[str],
        action_category: Sequence[str],
        scope: Mapping[str, Sequence[object]],
        closed_at_days: npt.ArrayLike,
        rr: npt.ArrayLike,
        trade: npt.ArrayLike,
        time_efficiency: npt.ArrayLike | None = None,
    ) -> TradeEvents:
        """Code plain columns; ``Unknown``, null and empty scope values become absent.

        Examples:
            >>> events = TradeEvents.from_columns(
            ...     pattern_key=["pm.a", "pm.a"], action_category=["entry", "entry"],
            ...     scope={"bucket": ["micro", "Unknown"]},
            ...     closed_at_days=[1.0, 2.0], rr=[0.5, -1.0], trade=[7, 8],
            ... )
            >>> events.groups, events.levels, events.scope_codes.ravel().tolist()
            ((('pm.a', 'entry'),), (('micro',),), [0, -1])
        """
        keys = pd.MultiIndex.from_arrays([list(pattern_key), list(action_category)])
        group, groups = keys.factorize(sort=True)
        coded = [_coded_levels(name, column) for name, column in scope.items()]
        codes = np.column_stack([column for column, _ in coded]).astype(np.int16)
        return cls(
            group=group.astype(np.int32),
            groups=tuple((str(pattern), str(category)) for pattern, category in groups),
            dims=tuple(scope),
            scope_codes=codes,
            levels=tuple(values for _, values in coded),
            closed_at_days=np.asarray(closed_at_days, dtype=np.float64),
            rr=np.asarray(rr, dtype=np.float64),
            trade=np.asarray(trade, dtype=np.int64),
            time_efficiency=None
            if time_efficiency is None
            else np.asarray(time_efficiency, dtype=np.float64),
        )

    def where(self, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> TradeEvents:
        """Return the chosen rows, with the same codes, groups and levels."""
        efficiency = self.time_efficiency
        return replace(
            self,
            group=self.group[chosen],
            scope_codes=self.scope_codes[chosen],
            closed_at_days=self.closed_at_days[chosen],
            rr=self.rr[chosen],
            trade=self.trade[chosen],
            time_efficiency=None if efficiency is None else efficiency[chosen],
        )

    def canonical(self) -> TradeEvents:
        """Return the same events with sorted groups and levels, rows by group, time and trade.

        Two inputs that differ in row order or in the numbering of codes become equal, so that
        no result depends on either.
        """
        group, groups = _sorted_codes(self.group, self.groups)
        coded = [
            _sorted_codes(self.scope_codes[:, i], values) for i, values in enumerate(self.levels)
        ]
        recoded = replace(
            self,
            group=group.astype(np.int32),
            groups=groups,
            scope_codes=np.column_stack([codes for codes, _ in coded]).astype(np.int16),
            levels=tuple(values for _, values in coded),
        )
        return recoded.where(np.lexsort((self.trade, self.closed_at_days, group)))

    def group_code(self, key: GroupKey) -> int | None:
        """Return the code of a group, None where no trade could belong to it."""
        return self.groups.index(key) if key in self.groups else None

    def scope_matches(self, scope: Mapping[str, ScopeValue]) -> npt.NDArray[np.bool_]:
        """Return which rows satisfy every condition of a scope; none where a value is unseen.

        Raises:
            ValueError: If the scope names a dimension that the events do not have.
        """
        matches = np.ones(self.n, dtype=np.bool_)
        for name, value in scope.items():
            if name not in self.dims:
                raise ValueError(f"scope dimension {name!r} is not among {list(self.dims)}")
            i = self.dims.index(name)
            code = self.levels[i].index(value) if value in self.levels[i] else ABSENT - 1
            matches &= self.scope_codes[:, i] == code
        return matches


def _coded_levels(
    name: str, column: Sequence[object]
) -> tuple[npt.NDArray[np.int64], tuple[ScopeValue, ...]]:
    values = [scope_value(name, _plain(value)) for value in column]
    levels = tuple(sorted({v for v in values if v is not None}, key=_level_order))
    code_of = {value: code for code, value in enumerate(levels)}
    codes = [ABSENT if value is None else code_of[value] for value in values]
    return np.array(codes, dtype=np.int64), levels


def _plain(value: object) -> object:
    if value is pd.NA or value is pd.NaT:
        return None
    return value.item() if isinstance(value, np.generic) else value


def _level_order(value: object) -> tuple[str, object]:
    return type(value).__name__, value


def _sorted_codes(
    codes: npt.NDArray[np.signedinteger], values: Sequence
) -> tuple[npt.NDArray[np.int64], tuple]:
    order = sorted(range(len(values)), key=lambda code: _level_order(values[code]))
    new_code = np.full(len(values) + 1, ABSENT, dtype=np.int64)  # the last one serves code -1
    new_code[order] = np.arange(len(values))
    return new_code[codes], tuple(values[code] for code in order)


def _check_shapes(events: TradeEvents) -> None:
    n = len(events.rr)
    expected: dict[str, tuple[int, ...]] = {
        "group": (n,),
        "scope_codes": (n, len(events.dims)),
        "closed_at_days": (n,),
        "rr": (n,),
        "trade": (n,),
        "time_efficiency": (n,),
    }
    for name, shape in expected.items():
        column = getattr(events, name)
        if column is not None and column.shape != shape:
            raise ValueError(f"{name} must have shape {shape}, got {column.shape}")
    if len(events.levels) != len(events.dims):
        raise ValueError(
            f"levels must hold one tuple per dimension ({len(events.dims)}), "
            f"got {len(events.levels)}"
        )


def _check_levels(events: TradeEvents) -> None:
    if len(set(events.groups)) != len(events.groups):
        raise ValueError("groups must differ, got one (pattern_key, action_category) twice")
    for name, values in zip(events.dims, events.levels, strict=True):
        if len(set(values)) != len(values):
            raise ValueError(f"levels of {name!r} must differ, got {list(values)}")
        for value in values:
            if scope_value(name, value) is None:
                raise ValueError(f"levels of {name!r} must be present values, got {value!r}")


def _check_codes(name: str, codes: npt.NDArray[np.signedinteger], low: int, end: int) -> None:
    if not np.issubdtype(codes.dtype, np.integer):
        raise ValueError(f"{name} must hold integers, got {codes.dtype}")
    wrong = (codes < low) | (codes >= end)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(f"{name}[{at}] must be in [{low}, {end - 1}], got {codes[at]}")


def _check_finite(name: str, column: npt.NDArray[np.float64]) -> None:
    wrong = ~np.isfinite(column)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(f"{name}[{at}] must be finite, got {column[at]}")


def _check_trades_differ(events: TradeEvents) -> None:
    order = np.lexsort((events.trade, events.group))
    group, trade = events.group[order], events.trade[order]
    twice = (np.diff(group) == 0) & (np.diff(trade) == 0)
    if twice.any():
        at = int(np.argmax(twice))
        raise ValueError(
            f"a trade counts once per (pattern_key, action_category), got trade {trade[at]} "
            f"twice in {events.groups[group[at]]}"
        )
