"""Columns that tell the context of a trade: its scope, its signals, the knobs that were applied."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from learning.domain.pattern_key import Module
from learning.domain.scope import ScopeValue, scope_value
from learning.errors import ImportRefused
from learning.importers.field_values import RowRejected
from learning.importers.mapping import ColumnMapping
from learning.importers.table_file import TableFile
from learning.importers.value_bins import ValueBins

SIGNAL_COLUMNS: Final = (
    "TS", "OX", "DX", "EDX", "OBV_z", "rsi14", "atr_pct", "vol_ratio", "bbw_rank",
    "dist_ema200_atr",
)  # fmt: skip
KNOB_COLUMNS: Final = (
    "entry_delay_bars", "phase1_frac", "trim_delay", "trail_mult", "trail_speed",
    "panic_trigger_level", "wait_n_bars_after_trim", "min_ts_for_add", "min_dx_for_add",
    "max_edx_for_add", "min_ox_for_trim",
)  # fmt: skip
MAX_SIGNALS: Final = 200
CONTEXT_GROUPS: Final = ("scope", "signal", "knob")
_SIGNAL_PREFIX: Final = "signal_"
_SAMPLE: Final = 500
Role = tuple[str, str]  # group ("" for the trade itself, scope, signal, knob, pattern) and name
Parser = tuple[str, Callable[[object], Any]]


def context_columns(
    table: TableFile, mapping: ColumnMapping, dimensions: Mapping[Module, Sequence[str]]
) -> dict[Role, Parser]:
    """Return the columns of a table that tell a context, and how each is read.

    Those that are called as a dimension, a signal or a knob is, and those that a mapping names.

    Args:
        table: Whose columns they are.
        mapping: How its columns are called here.
        dimensions: Scope dimensions of each module.

    Raises:
        ImportRefused: If it has more signals than can be kept.
    """

    dims = dict.fromkeys(name for of_module in dimensions.values() for name in of_module)
    scope = {name: mapping.column(name) for name in dims} | dict(mapping.dimensions)
    signals = {name: name for name in SIGNAL_COLUMNS}
    prefixed = [
        name for name in table.columns if name.startswith(_SIGNAL_PREFIX) and name != "signal_time"
    ]
    signals |= {name.removeprefix(_SIGNAL_PREFIX): name for name in _of_numbers(table, prefixed)}
    signals |= mapping.signals
    knobs = {name: name for name in KNOB_COLUMNS} | dict(mapping.knobs)
    found: dict[Role, Parser] = {
        ("scope", name): (column, _scope_parser(name, mapping.bins.get(name)))
        for name, column in scope.items()
    }
    found |= {("signal", name): (column, table.number) for name, column in signals.items()}
    found |= {("knob", name): (column, table.number) for name, column in knobs.items()}
    present = {role: read for role, read in found.items() if read[0] in table.columns}
    n_signals = sum(group == "signal" for group, _ in present)
    if n_signals > MAX_SIGNALS:
        raise ImportRefused(
            f"{table.path.name} has {n_signals} signal columns, at most {MAX_SIGNALS} can be kept"
        )
    return present


def _of_numbers(table: TableFile, names: Sequence[str]) -> Iterator[str]:
    """The columns whose first cells are numbers, most of them: a name or a time is no signal."""
    chunk = next(iter(table.chunks(names)), None) if names else None
    for name in names:
        cells = () if chunk is None else chunk.columns[name][:_SAMPLE]
        told = [_is_number(cell, table) for cell in cells if cell is not None and str(cell).strip()]
        if sum(told) * 2 >= len(told):
            yield name


def _is_number(cell: object, table: TableFile) -> bool:
    try:
        return table.number(cell) is not None
    except (ValueError, TypeError):
        return False


def _scope_parser(
    name: str, bins: ValueBins | None = None
) -> Callable[[object], ScopeValue | None]:
    @lru_cache(maxsize=1024, typed=True)
    def parse(value: object) -> ScopeValue | None:
        if bins is not None:
            return bins.label(value)
        # "3" in text and 3 in a typed column are the same rank
        if isinstance(value, str) and value.strip().isdecimal() and len(value) < 10:
            value = int(value)
        return scope_value(name, value)

    return parse


@dataclass(frozen=True, slots=True)
class TradeContext:
    """What a row says of the context of its trade."""

    scope: Mapping[str, ScopeValue] = field(default_factory=dict)
    signals: Mapping[str, float] = field(default_factory=dict)
    knobs: Mapping[str, float] = field(default_factory=dict)


NO_CONTEXT: Final = TradeContext()


def context_of(cells: Mapping[str, object], readers: Mapping[Role, Parser]) -> TradeContext:
    """Return what the cells of a row say of its context.

    Raises:
        RowRejected: If a cell breaks the rule of its column.
    """
    if not readers:
        return NO_CONTEXT
    found: dict[str, dict[str, Any]] = {group: {} for group in CONTEXT_GROUPS}
    for (group, name), (column, read) in readers.items():
        value = _read(cells.get(column), column, read)
        if value is not None:
            found[group][name] = value
    return TradeContext(found["scope"], found["signal"], found["knob"])


def _read(value: object, column: str, read: Callable[[object], Any]) -> Any:
    try:
        return None if value is None else read(value)
    except (ValueError, TypeError) as error:
        text = str(error).partition(", got ")[0]
        rule = text[text.find("must ") :] if "must " in text else "must be a plain value"
        raise RowRejected(column, rule, value) from None
