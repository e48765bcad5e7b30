"""Where edge is: cells of two conditions from the events, and the stored scopes of a setup."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import BIT

from dashboard.queries import Filters, Group, Source, kept, sum_in_memory
from learning.evidence.shrinkage import cell_edges, shrunk_edges
from learning.evidence.week_sums import WEEK_DAYS
from learning.store import database, week_sum_rows
from learning.store.mining_run_rows import NEWEST_LOOK_FIRST, SEARCHED
from learning.store.schema import (
    mining_runs,
    pattern_trade_events,
    scope_groups,
    scope_levels,
    scope_stat_cells,
)

Unit = Literal["R", "%", "money"]
_EPOCH = date(1970, 1, 1)
_TIMEOUT_MS = 20_000


class EdgeQuery(NamedTuple):
    """Which edges are asked for.

    Attributes:
        module: Of the trades.
        dims: The one or two conditions of a cell.
        filters: Which trades count.
        unit: In which they are measured.
        outcome: What is averaged where the unit is R.
        category: The only action; None for all.
    """

    module: str
    dims: tuple[str, ...]
    filters: Filters
    unit: Unit
    outcome: str
    category: str | None = None


@dataclass(frozen=True)
class EdgeTable:
    """Edges of the cells of two conditions, against the mean of their setup.

    Attributes:
        cells: One row per setup and cell: n, mean, delta, se, edge, low, high (nan: unknown).
        groups: One row per setup: n, mean.
        prior_sd: How far true edges of the table lie apart; 0 where its spread is chance.
        n_trades: Distinct trades behind the table.
        unit: Of every number in it.
        outcome: What was averaged.
    """

    cells: pd.DataFrame
    groups: pd.DataFrame
    prior_sd: float
    n_trades: int
    unit: str
    outcome: str


@dataclass(frozen=True, slots=True)
class _Measure:
    column: str
    unit: str
    clip: tuple[float, float] | None
    currency: str | None = None


@kept
def read_edge_table(source: Source, asked: EdgeQuery) -> EdgeTable:
    """Measure the cells of one or two conditions, shrunk toward their setups.

    A trade counts once in its setup. The variance minds that trades of one week share shocks;
    outcomes in R are clipped as in the last discovery look, before the first as in the last
    search. Where nothing leaves out trades, the cells of one condition come from the sums that
    are stored with the scopes.
    """
    with database.transaction(source.engine, read_only=True, statement_timeout_ms=_TIMEOUT_MS) as c:
        measure = _measure(c, asked.module, asked.unit, asked.outcome)
        blocks = None
        if len(asked.dims) == 1 and asked.unit == "R" and not asked.filters.narrows_trades:
            blocks = _stored_blocks(c, asked)
        if blocks is None:
            blocks = _blocks(c, asked, measure)
    cells, groups = _measured(blocks, asked.dims)
    shrunk = shrunk_edges(cells["delta"].to_numpy(float), cells["se"].to_numpy(float))
    cells["edge"], cells["low"], cells["high"] = shrunk.mean, shrunk.low, shrunk.high
    return EdgeTable(
        cells=cells,
        groups=groups,
        prior_sd=shrunk.prior_sd,
        n_trades=int(groups["n"].sum()),
        unit=measure.unit,
        outcome=measure.column,
    )


def _measure(connection: Connection, module: str, unit: Unit, outcome: str) -> _Measure:
    e = pattern_trade_events.c
    if unit == "%":
        return _Measure("return_pct", "%", None)
    if unit == "money":
        most = (
            sa.select(e.currency)
            .where(e.module == module, e.currency.is_not(None), e.pnl_amount.is_not(None))
            .group_by(e.currency)
            .order_by(sa.func.count().desc())
            .limit(1)
        )
        currency = connection.scalar(most)
        return _Measure("pnl_amount", currency or "money", None, currency)
    m = mining_runs.c
    clip = connection.execute(
        sa.select(m.clip_low_rr, m.clip_high_rr)
        .where(m.module == module, m.outcome == outcome, SEARCHED)
        .order_by(*NEWEST_LOOK_FIRST)
        .limit(1)
    ).one_or_none()
    return _Measure(outcome, "R", None if clip is None else (clip[0], clip[1]))


@dataclass(frozen=True, slots=True)
class _Block:
    """The trades of one setup, summed by cell and week.

    Attributes:
        key: Its pattern_key and action_category.
        cells: Shape (r,), what each row's trades lie in; absent where a condition is.
        week: Shape (r,).
        n: Shape (r,), distinct trades.
        total: Shape (r,), sum of their outcomes.
        total_sq: Shape (r,), sum of the squares.
    """

    key: tuple[str, str]
    cells: list[tuple[Any, ...]]
    week: npt.NDArray[np.int64]
    n: npt.NDArray[np.float64]
    total: npt.NDArray[np.float64]
    total_sq: npt.NDArray[np.float64]


def _block(key: tuple[str, str], cells: list[tuple[Any, ...]], *columns: Any) -> _Block:
    week, *numbers = columns
    return _Block(key, cells, np.asarray(week, dtype=np.int64),
                  *(np.asarray(one, dtype=np.float64) for one in numbers))  # fmt: skip


def _stored_blocks(connection: Connection, asked: EdgeQuery) -> list[_Block] | None:
    """Return the sums that are stored; None where they were made of other outcomes or origins."""
    dim = asked.dims[0]
    rows = week_sum_rows.read_sums(
        connection, asked.module, dim, outcome=asked.outcome, origins=asked.filters.origins
    )
    if not rows:
        return None
    values = _values(connection, asked.module, dim)
    return [
        _block((row.pattern_key, row.action_category), [(values.get(code),) for code in row.codes],
               row.weeks, row.n, row.total, row.total_sq)
        for row in rows
        if asked.filters.pattern_key in (None, row.pattern_key)
        and asked.category in (None, row.action_category)
    ]  # fmt: skip


def _values(connection: Connection, module: str, dim: str) -> dict[int, str]:
    """Return the value of each code of a dimension."""
    c = scope_levels.c
    query = sa.select(c.code, c.value).where(c.module == module, c.name == dim)
    return {row.code: str(row.value) for row in connection.execute(query)}


def _blocks(connection: Connection, asked: EdgeQuery, measure: _Measure) -> list[_Block]:
    e = pattern_trade_events.c
    value: sa.ColumnElement[Any] = e[measure.column]
    if measure.clip is not None:
        value = sa.func.least(sa.func.greatest(value, measure.clip[0]), measure.clip[1])
    # in whole days: a quarter faster than in seconds, which are numeric
    week = (sa.cast(e.closed_at, sa.Date) - sa.literal(_EPOCH)) / WEEK_DAYS
    keys = [
        e.pattern_key,
        e.action_category,
        *(e.scope[d].as_string().label(d) for d in asked.dims),
    ]
    query = (
        sa.select(
            *keys,
            week.label("week"),
            sa.func.count().label("n"),
            sa.func.sum(value).label("total"),
            sa.func.sum(value * value).label("total_sq"),
        )
        .where(e.seq == 0, *_conditions(connection, asked, measure))
        .group_by(*keys, sa.text("week"))
    )
    sum_in_memory(connection)
    by_setup: dict[tuple[str, str], list[tuple[Any, ...]]] = defaultdict(list)
    for row in connection.execute(query):
        by_setup[row[0], row[1]].append(row[2:])
    return [_of_rows(key, rows, len(asked.dims)) for key, rows in sorted(by_setup.items())]


def _of_rows(key: tuple[str, str], rows: list[tuple[Any, ...]], n_dims: int) -> _Block:
    columns = list(zip(*rows, strict=True))
    return _block(key, list(zip(*columns[:n_dims], strict=True)), *columns[n_dims:])


def _conditions(
    connection: Connection, asked: EdgeQuery, measure: _Measure
) -> list[sa.ColumnElement[bool]]:
    e = pattern_trade_events.c
    filters = asked.filters
    kept_rows = [
        e.module == asked.module,
        e.origin.in_(filters.origins),
        e[measure.column].is_not(None),
    ]
    if measure.currency is not None:
        kept_rows.append(e.currency == measure.currency)
    if asked.category is not None:
        kept_rows.append(e.action_category == asked.category)
    if filters.pattern_key is not None:
        kept_rows.append(e.pattern_key == filters.pattern_key)
    if filters.bot is not None:
        kept_rows.append(e.bot == filters.bot)
    if filters.days is not None:
        last = connection.scalar(
            sa.select(sa.func.max(e.closed_at)).where(e.module == asked.module)
        )
        if last is not None:
            kept_rows.append(e.closed_at > last - timedelta(days=filters.days))
    return kept_rows


_KEYS = ["pattern_key", "action_category"]


def _measured(blocks: list[_Block], dims: tuple[str, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    groups = pd.DataFrame(
        [(*one.key, int(one.n.sum()), one.total.sum() / one.n.sum()) for one in blocks],
        columns=[*_KEYS, "n", "mean"],
    )
    columns = [*_KEYS, *dims, "n", "mean", "delta", "se"]
    parts = [part for one in blocks if (part := _cells_of(one)) is not None]
    if not parts:
        return pd.DataFrame(columns=columns), groups
    whole = [np.concatenate(column) for column in zip(*parts, strict=True)]
    found = pd.DataFrame(dict(zip(columns, (*_texts(whole[0]), *whole[1:]), strict=True)))
    return found.astype({"n": "int64"}), groups


def _texts(rows: npt.NDArray[np.object_]) -> Iterator[list[str]]:
    """Yield the columns of pattern, action and conditions."""
    for column in rows.T:
        yield [str(one) for one in column]


def _cells_of(block: _Block) -> tuple[npt.NDArray[Any], ...] | None:
    """Measure the cells of a setup; None where none of its trades has every condition.

    Returns:
        Setup and conditions of each cell, shape (c, 2 + dims); n, mean, delta and se, (c,) each.
    """
    listed = sorted({cell for cell in block.cells if None not in cell})
    if not listed:
        return None
    place = {cell: i for i, cell in enumerate(listed)}
    cell = np.array([place.get(one, -1) for one in block.cells])
    weeks, week = np.unique(block.week, return_inverse=True)
    inside = cell >= 0
    shape = (len(listed), len(weeks))
    at = cell[inside] * shape[1] + week[inside]
    total = _summed(at, block.total[inside], shape)
    edges = cell_edges(
        _summed(at, block.n[inside], shape),
        total,
        _summed(cell[inside], block.total_sq[inside], shape[:1]),
        group_n=_summed(week, block.n, shape[1:]),
        group_total=_summed(week, block.total, shape[1:]),
    )
    named = np.array([(*block.key, *one) for one in listed], dtype=object)
    mean = total.sum(axis=1) / np.maximum(edges.n, 1)
    return named, edges.n, mean, edges.delta, edges.se


def _summed(at: Any, values: Any, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    summed = np.bincount(at, weights=values, minlength=math.prod(shape))
    return np.asarray(summed, dtype=np.float64).reshape(shape)


# ------------------------------------------------------------------ stored scopes
@kept
def read_dimensions(source: Source, module: str) -> dict[str, list[Any]]:
    """Return the conditions that stored scopes of a module know, each with its values."""
    c = scope_levels.c
    query = sa.select(c.name, c.value).where(c.module == module).order_by(c.dimension, c.code)
    with database.transaction(source.engine, read_only=True) as connection:
        found: dict[str, list[Any]] = {}
        for name, value in connection.execute(query):
            found.setdefault(name, []).append(value)
    return found


@kept
def read_groups(source: Source, module: str) -> pd.DataFrame:
    """Return the setups that statistics are stored for, the largest first."""
    c = scope_groups.c
    query = (
        sa.select(
            c.id,
            c.module,
            c.pattern_key,
            c.action_category,
            c.n,
            c.avg_rr,
            c.variance,
            c.updated_at,
        )
        .where(c.module == module)
        .order_by(c.n.desc())
    )
    with database.transaction(source.engine, read_only=True) as connection:
        result = connection.execute(query)
        return pd.DataFrame(result.mappings().all(), columns=list(result.keys()))


@kept
def read_scopes(
    source: Source, group: Group, within: Mapping[str, Any], depth: int, limit: int = 400
) -> pd.DataFrame:
    """Return the stored scopes of a setup that add conditions to a context.

    Args:
        group: The setup.
        within: The context whose children are wanted; {} is the setup itself.
        depth: How many conditions to add at most.
        limit: The most rows, those with most trades first.
    """
    with database.transaction(source.engine, read_only=True, statement_timeout_ms=_TIMEOUT_MS) as c:
        levels = _levels(c, group.module)
        rows = c.execute(_scope_query(group, within, levels, depth, limit)).mappings().all()
    return _spelled(rows, levels)


@kept
def read_way(source: Source, group: Group, within: Mapping[str, Any]) -> pd.DataFrame:
    """Return the stored scope of each step from a setup to a context, one condition more a step.

    A step that is not stored, for want of trades, is left out.
    """
    steps = list(within.items())
    found = []
    for i in range(len(steps)):
        siblings = read_scopes(source, group, dict(steps[:i]), 1, 5000)
        own = [one == dict(steps[: i + 1]) for one in siblings["scope"]]
        found.append(siblings[own])
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["scope"])


@dataclass(frozen=True)
class _Levels:
    """Code and value of every level, by dimension."""

    names: Mapping[int, str]
    values: Mapping[tuple[int, int], Any]

    def code(self, name: str, value: object) -> tuple[int, int] | None:
        """Return dimension and code of a value."""
        for (dimension, code), known in self.values.items():
            if self.names[dimension] == name and known == value:
                return dimension, code
        return None


def _levels(connection: Connection, module: str) -> _Levels:
    c = scope_levels.c
    rows = connection.execute(
        sa.select(c.dimension, c.code, c.name, c.value).where(c.module == module)
    ).all()
    return _Levels(
        {row.dimension: row.name for row in rows},
        {(row.dimension, row.code): row.value for row in rows},
    )


def _scope_query(
    group: Group, within: Mapping[str, Any], levels: _Levels, depth: int, limit: int
) -> sa.Select[Any]:
    g, c = scope_groups.c, scope_stat_cells.c
    fixed = [levels.code(name, value) for name, value in within.items()]
    codes = sorted(one for one in fixed if one is not None)
    mask = sum(1 << dimension for dimension, _ in codes)
    # of the mask, not of the codes: then whole packs are passed over
    size = sa.func.bit_count(sa.cast(sa.cast(c.scope_mask, sa.Integer), BIT(16)))
    query = (
        sa.select(*_scope_columns())
        .join_from(scope_stat_cells, scope_groups, g.id == c.group_id)
        .where(
            g.module == group.module,
            g.pattern_key == group.pattern_key,
            g.action_category == group.action_category,
            c.scope_mask.op("&")(mask) == mask,
            size > len(codes),
            size <= len(codes) + depth,
            *(_has_code(dimension, code) for dimension, code in codes),
        )
        .order_by(c.n.desc())
        .limit(limit)
    )
    return query.where(sa.false()) if any(one is None for one in fixed) else query


def _scope_columns() -> list[sa.ColumnElement[Any]]:
    g, c = scope_groups.c, scope_stat_cells.c
    names = (
        "scope_mask", "scope_codes", "n", "sum_rr", "sum_rr_sq", "variance", "edge_raw",
        "rr_baseline", "segments_tested", "segments_positive",
    )  # fmt: skip
    return [*(c[name] for name in names), g.n.label("group_n"), g.avg_rr.label("group_avg_rr")]


def _has_code(dimension: int, code: int) -> sa.ColumnElement[bool]:
    # the code of dimension i stands where the mask's bits up to i count it
    c = scope_stat_cells.c
    upto = sa.cast(sa.cast(c.scope_mask, sa.Integer).op("&")((2 << dimension) - 1), BIT(16))
    return c.scope_codes[sa.func.bit_count(upto)] == code


def _spelled(rows: Any, levels: _Levels) -> pd.DataFrame:
    spelled = []
    for row in rows:
        dims = [i for i in range(15) if row["scope_mask"] >> i & 1]
        scope = {
            levels.names[d]: levels.values[(d, code)]
            for d, code in zip(dims, row["scope_codes"], strict=True)
        }
        avg_rr = row["sum_rr"] / row["n"]
        spelled.append(
            {
                **{k: v for k, v in row.items() if k != "scope_codes"},
                "scope": scope,
                "depth": len(dims),
                "avg_rr": avg_rr,
                "delta_rr": avg_rr - row["group_avg_rr"],
                "se_rr": (row["variance"] / row["n"]) ** 0.5 if row["n"] > 1 else None,
            }
        )
    columns = [
        "scope",
        "depth",
        "n",
        "avg_rr",
        "delta_rr",
        "se_rr",
        "edge_raw",
        "variance",
        "segments_tested",
        "segments_positive",
        "group_n",
        "group_avg_rr",
    ]
    return pd.DataFrame(spelled, columns=columns)
