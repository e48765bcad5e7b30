"""Candles in files: freqtrade's feather folders, Parquet, CSV; recognised by their content.

Only read, never unpickled: feather, Parquet and CSV hold values, no code. One market is in memory
at a time, unless a single file holds several: then that file is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq

from learning.context.candles import Candles, Days, days_of
from learning.errors import ImportRefused

MAX_ROWS: Final = 40_000_000  # of one file: two gigabytes in memory
MAX_FILES: Final = 5_000
_SUFFIXES: Final = (".feather", ".parquet", ".csv")
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "time": ("time", "date", "timestamp", "datetime", "open_time", "opentime", "date/time"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c"),
    "volume": ("volume", "vol", "v"),
    "quote_volume": ("quote_volume", "quotevolume", "quote_asset_volume"),
    "symbol": ("symbol", "pair", "ticker", "market"),
}
_FREQTRADE: Final = re.compile(r"(?P<symbol>.+?)-(?P<bar>\d+[smhdwM]\w*?)(-(?P<kind>\w+))?")
_NOT_PRICES: Final = frozenset({"mark", "funding_rate", "index", "premiumindex", "premiumIndex"})
_EPOCH_UNITS: Final = ((1e11, 1000.0), (1e14, 1.0), (1e17, 1e-3), (np.inf, 1e-6))


@dataclass(frozen=True, slots=True)
class CandleSeries:
    """The candles of one market in one file; ``n_left_out`` rows broke a rule."""

    symbol: str
    path: Path
    bar_ms: int
    first_ms: int
    last_ms: int
    n: int
    n_left_out: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class CandleLibrary:
    """All candles that a person pointed at."""

    series: tuple[CandleSeries, ...]
    days: Mapping[str, Days]
    ignored: Mapping[str, str] = field(default_factory=dict)  # file → why

    @property
    def symbols(self) -> tuple[str, ...]:
        """Return the markets, sorted."""
        return tuple(sorted({one.symbol for one in self.series}))

    def candles_of(self, symbol: str) -> list[Candles]:
        """Read the candles of a market, the finest bars first."""
        found = [
            next(one for one in _markets_of(part.path) if one.symbol == symbol)
            for part in self.series
            if part.symbol == symbol
        ]
        return sorted(found, key=lambda one: one.bar_ms)

    def sentences(self) -> list[str]:
        """Say what was found, one fact a line."""
        lines = []
        for bar_ms in sorted({one.bar_ms for one in self.series}):
            parts = [one for one in self.series if one.bar_ms == bar_ms]
            first = pd.Timestamp(min(one.first_ms for one in parts), unit="ms")
            last = pd.Timestamp(max(one.last_ms for one in parts), unit="ms")
            markets = len({one.symbol for one in parts})
            lines.append(
                f"{bar_name(bar_ms)} candles of {markets} market{'s' * (markets != 1)}, "
                f"{sum(one.n for one in parts)} bars, {first:%Y-%m-%d} to {last:%Y-%m-%d}"
            )
        left_out = sum(one.n_left_out for one in self.series)
        if left_out:
            lines.append(f"left out: {left_out} bars without finite prices, a low and a high")
        lines += [f"passed over: {name}, {why}" for name, why in list(self.ignored.items())[:10]]
        return lines


def bar_name(bar_ms: int) -> str:
    """Return the length of a bar as people write it.

    Examples:
        >>> bar_name(300_000), bar_name(3_600_000), bar_name(86_400_000)
        ('5m', '1h', '1d')
    """
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if bar_ms % size == 0:
            return f"{bar_ms // size}{unit}"
    return f"{bar_ms}ms"


def open_candles(paths: Sequence[Path]) -> CandleLibrary:
    """Recognise candles in files and folders; a folder is searched to its depth.

    In a folder, files without candles are passed over and named; a file that was pointed at
    itself must hold some.

    Raises:
        ImportRefused: If there is nothing to read; one sentence says what and why.
    """
    series: list[CandleSeries] = []
    days: dict[str, list[tuple[int, Days]]] = {}
    ignored: dict[str, str] = {}
    for path, is_named in _files(paths):
        try:
            markets = _contents(path)
        except ImportRefused as error:
            if is_named:
                raise
            ignored[path.name] = str(error)
            continue
        for one, n_left_out in markets:
            series.append(_series(one, path, n_left_out))
            days.setdefault(one.symbol, []).append((one.bar_ms, days_of(one)))
    if not series:
        raise ImportRefused(f"no candles in {', '.join(str(path) for path in paths)}")
    # of several bar lengths of a market, the longest span tells most of its days
    best = {
        name: max(found, key=lambda one: (len(one[1].day), one[0]))[1]
        for name, found in days.items()
    }
    return CandleLibrary(tuple(series), best, ignored)


def _files(paths: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    for path in paths:
        if path.is_dir():
            found = sorted(one for one in path.rglob("*") if one.suffix.lower() in _SUFFIXES)
            if len(found) > MAX_FILES:
                raise ImportRefused(f"{path} holds over {MAX_FILES} files: name a folder below it")
            yield from ((one, False) for one in found if not _is_no_price(one))
        elif path.is_file():
            yield path, True
        else:
            raise ImportRefused(f"{path} does not exist")


def _is_no_price(path: Path) -> bool:
    named = _FREQTRADE.fullmatch(path.stem)
    return named is not None and named["kind"] in _NOT_PRICES


def _series(candles: Candles, path: Path, n_left_out: int) -> CandleSeries:
    first, last = int(candles.start_ms[0]), int(candles.start_ms[-1]) + candles.bar_ms
    n = len(candles.start_ms)
    return CandleSeries(candles.symbol, path, candles.bar_ms, first, last, n, n_left_out)


def _markets_of(path: Path) -> Iterator[Candles]:
    """The candles of each market in a file."""
    return (candles for candles, _ in _contents(path))


def _contents(path: Path) -> tuple[tuple[Candles, int], ...]:
    state = path.stat()
    return _read(path, (state.st_mtime_ns, state.st_size))


@lru_cache(maxsize=2)  # a file of many markets is asked for each of them
def _read(path: Path, state: tuple[int, int]) -> tuple[tuple[Candles, int], ...]:
    """Read a file in the state it is in: each market with how many rows were left out."""
    del state
    try:
        table = _table(path)
        columns = _columns(table.column_names, path)
        symbols = _symbols(table, columns, path)
        times = _times(table.column(columns["time"]), path)
        prices = {
            name: _numbers(table.column(columns[name]))
            for name in ("high", "low", "close", "volume", "quote_volume")
            if name in columns
        }
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError) as error:
        said = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise ImportRefused(f"{path.name} cannot be read as candles: {said}") from None
    found = [
        _candles(name, times[rows], {key: one[rows] for key, one in prices.items()})
        for name, rows in symbols
    ]
    usable = tuple((candles, left_out) for candles, left_out in found if candles is not None)
    if not usable:
        raise ImportRefused(f"{path.name} holds no two candles of one market")
    return usable


def _table(path: Path) -> pa.Table:
    with path.open("rb") as stream:
        head = stream.read(512)
    if head.startswith(b"PAR1"):
        with pq.ParquetFile(path) as stored:
            _check_rows(stored.metadata.num_rows, path)
            return stored.read(columns=_wanted(stored.schema_arrow.names))
    if head.startswith((b"ARROW1", b"FEA1")):
        table = pyarrow.feather.read_table(path, memory_map=False)
        _check_rows(table.num_rows, path)
        return table
    if b"\0" in head:
        raise ImportRefused(f"{path.name} is neither feather, Parquet nor CSV")
    if path.stat().st_size > 100 * MAX_ROWS:
        raise ImportRefused(f"{path.name} is larger than 4 GB: split it by market")
    return _csv(path)


def _csv(path: Path) -> pa.Table:
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        header = stream.readline(2**16)
    delimiter = max((",", ";", "\t"), key=header.count)
    if header.count(delimiter) < 3:
        raise ImportRefused(f"{path.name} is no table of candles: {header.strip()[:80]!r}")
    return pyarrow.csv.read_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(use_threads=False),
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter),
    )


def _check_rows(n: int, path: Path) -> None:
    if n > MAX_ROWS:
        raise ImportRefused(f"{path.name} has {n} rows, at most {MAX_ROWS} can be read at once")


def _wanted(names: Sequence[str]) -> list[str]:
    known = {one for aliases in _NAMES.values() for one in aliases}
    return [name for name in names if _plain(name) in known]


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


def _columns(names: Sequence[str], path: Path) -> dict[str, str]:
    """Our name → the file's."""
    by_plain = {_plain(name): name for name in reversed(names)}
    found = {
        ours: next(by_plain[one] for one in aliases if one in by_plain)
        for ours, aliases in _NAMES.items()
        if any(one in by_plain for one in aliases)
    }
    for needed in ("time", "high", "low", "close"):
        if needed not in found:
            known = ", ".join(str(name) for name in list(names)[:20])
            raise ImportRefused(f"{path.name} holds no candles: no column {needed}, but {known}")
    return found


def _symbols(
    table: pa.Table, columns: Mapping[str, str], path: Path
) -> list[tuple[str, npt.NDArray[np.int64]]]:
    """Each market with the places of its rows."""
    if "symbol" not in columns:
        return [(symbol_in_name(path.stem), np.arange(table.num_rows))]
    column = table.column(columns["symbol"])
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    codes, names = pd.factorize(column.to_pandas(), sort=True)
    order = np.argsort(codes, kind="stable")
    edges = np.searchsorted(codes[order], np.arange(len(names) + 1))
    return [
        (str(name).strip(), order[edges[i] : edges[i + 1]])
        for i, name in enumerate(names)
        if str(name).strip()
    ]


def symbol_in_name(stem: str) -> str:
    """Return the symbol that a file's name begins with.

    Examples:
        >>> symbol_in_name("BTC_USDT-5m"), symbol_in_name("ETH_USDT_USDT-1h-futures")
        ('BTC/USDT', 'ETH/USDT')
        >>> symbol_in_name("BINANCE_BTCUSDT, 60"), symbol_in_name("EURUSD_1h")
        ('BTCUSDT', 'EURUSD')
    """
    named = _FREQTRADE.fullmatch(stem)
    if named is not None:
        return "/".join(named["symbol"].split("_")[:2])
    first = re.split(r"[,\s]", stem)[0]
    parts = [part for part in first.split("_") if part and not re.fullmatch(r"\d+[smhdwM]?", part)]
    return parts[-1] if parts else stem


def _times(column: Any, path: Path) -> npt.NDArray[np.int64]:
    """Milliseconds since 1970; numbers are seconds, milli-, micro- or nanoseconds by their size."""
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        numbers: npt.NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy()
        largest = float(np.nanmax(np.abs(numbers))) if len(numbers) else 0.0
        scale = next(scale for limit, scale in _EPOCH_UNITS if largest < limit)
        return np.nan_to_num(numbers * scale, nan=-1.0, posinf=-1.0, neginf=-1.0).astype(np.int64)
    whole: npt.NDArray[np.int64]
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        moments = column.cast(pa.timestamp("ms"), safe=False).cast(pa.int64())
        whole = moments.fill_null(-1).to_numpy()
        return whole
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        raise ImportRefused(f"{path.name} holds no candles: its times are {column.type}")
    parsed = pd.to_datetime(column.to_pandas(), utc=True, format="ISO8601", errors="coerce")
    whole = parsed.astype("datetime64[ms, UTC]").astype("int64").to_numpy().copy()
    whole[parsed.isna().to_numpy()] = -1
    return whole


def _numbers(column: Any) -> npt.NDArray[np.float64]:
    """Prices; a 32-bit float as the shortest decimal it stands for; what is none is NaN."""
    values: npt.NDArray[np.float64]
    if pa.types.is_float32(column.type):
        column = column.cast(pa.string()).cast(pa.float64())
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        values = pd.to_numeric(column.to_pandas(), errors="coerce").to_numpy(dtype=np.float64)
        return values
    values = column.cast(pa.float64(), safe=False).to_numpy()
    return values


def _candles(
    symbol: str, times: npt.NDArray[np.int64], prices: Mapping[str, npt.NDArray[np.float64]]
) -> tuple[Candles | None, int]:
    """The candles of a market, in time and each once, and how many rows were left out."""
    high, low, close = prices["high"], prices["low"], prices["close"]
    is_sound = (times > 0) & (low > 0) & (low <= high) & np.isfinite(high) & (close > 0)
    is_sound &= np.isfinite(close)
    rows = np.flatnonzero(is_sound)
    rows = rows[np.argsort(times[rows], kind="stable")]
    rows = rows[np.append(np.diff(times[rows]) != 0, True)] if len(rows) else rows
    if len(rows) < 2:
        return None, len(times) - len(rows)
    gaps = np.diff(times[rows])
    lengths, counts = np.unique(gaps, return_counts=True)
    return (
        Candles(
            symbol=symbol,
            bar_ms=int(lengths[np.argmax(counts)]),
            start_ms=times[rows],
            high=high[rows],
            low=low[rows],
            close=close[rows],
            quote_volume=_traded(prices, close)[rows],
        ),
        len(times) - len(rows),
    )


def _traded(
    prices: Mapping[str, npt.NDArray[np.float64]], close: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    if "quote_volume" in prices:
        return prices["quote_volume"]
    if "volume" in prices:
        return prices["volume"] * close
    return np.full(len(close), np.nan)
