"""Candles in feather, Parquet and CSV: the same whatever the file, and what is none refused."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from learning.errors import ImportRefused
from learning.importers.candle_files import CandleLibrary, open_candles

HOURS = 30


def bars(n: int = HOURS, *, scale: float = 1.0) -> pd.DataFrame:
    close = scale * (100.0 + np.arange(n))
    return pd.DataFrame(
        {
            "date": pd.date_range("2024-03-01", periods=n, freq="h", tz="UTC"),
            "open": close - 0.5,
            "high": close + 1.0,
            "low": close - 1.0,
            "close": close,
            "volume": np.full(n, 2.0),
        }
    )


def told(library: CandleLibrary, symbol: str) -> list[list[float]]:
    candles = library.candles_of(symbol)[0]
    columns = (candles.start_ms, candles.high, candles.low, candles.close, candles.quote_volume)
    return [np.asarray(one, dtype=np.float64).tolist() for one in columns]


def test_a_freqtrade_folder_a_parquet_and_a_csv_hold_the_same_candles(tmp_path: Path) -> None:
    folder = tmp_path / "binance"
    (folder / "futures").mkdir(parents=True)
    table = pa.Table.from_pandas(bars())
    pyarrow.feather.write_feather(table, folder / "BTC_USDT-1h.feather", compression="lz4")
    pyarrow.feather.write_feather(table, folder / "futures" / "ETH_USDT_USDT-1h-futures.feather")
    pyarrow.feather.write_feather(table, folder / "futures" / "ETH_USDT_USDT-8h-mark.feather")
    pq.write_table(
        pa.Table.from_pandas(bars().assign(symbol="BTC/USDT").rename(columns={"date": "time"})),
        tmp_path / "all.parquet",
    )
    bars().to_csv(tmp_path / "BTC_USDT-1h.csv", index=False)
    library = open_candles([folder])
    assert library.symbols == ("BTC/USDT", "ETH/USDT")
    expected = told(library, "BTC/USDT")
    assert expected[0][0] == 1_709_251_200_000  # 2024-03-01 UTC
    assert expected[4][0] == 200.0
    assert told(open_candles([tmp_path / "all.parquet"]), "BTC/USDT") == expected
    assert told(open_candles([tmp_path / "BTC_USDT-1h.csv"]), "BTC/USDT") == expected
    assert library.sentences() == ["1h candles of 2 markets, 60 bars, 2024-03-01 to 2024-03-02"]


@pytest.mark.parametrize("unit", [1, 1_000, 1_000_000])
def test_times_may_be_seconds_milli_or_microseconds(tmp_path: Path, unit: int) -> None:
    frame = bars()
    seconds = (frame["date"].astype("datetime64[ns, UTC]").astype("int64") // 10**9) * unit
    frame.drop(columns="date").assign(timestamp=seconds).to_csv(tmp_path / "SPY.csv", index=False)
    candles = open_candles([tmp_path / "SPY.csv"]).candles_of("SPY")[0]
    assert candles.start_ms[0] == 1_709_251_200_000
    assert candles.bar_ms == 3_600_000


def test_rows_out_of_order_twice_or_broken_leave_a_sound_series(tmp_path: Path) -> None:
    frame = pd.concat([bars(), bars(3, scale=2.0)]).sample(frac=1, random_state=1)
    frame.loc[frame["close"] == 110.0, "high"] = 1.0  # below its low
    frame.loc[frame["close"] == 111.0, "close"] = np.nan
    frame.loc[frame["close"] == 112.0, "low"] = -5.0
    frame.to_csv(tmp_path / "X-1h.csv", index=False)
    library = open_candles([tmp_path / "X-1h.csv"])
    candles = library.candles_of("X")[0]
    assert len(candles.start_ms) == HOURS - 3
    assert np.all(np.diff(candles.start_ms) > 0)
    assert library.series[0].n_left_out == 6


def test_a_folder_passes_over_what_is_no_candle_and_names_it(tmp_path: Path) -> None:
    bars().to_csv(tmp_path / "A-1h.csv", index=False)
    (tmp_path / "notes.csv").write_text("a,b,c,d\n1,2,3,4\n")
    library = open_candles([tmp_path])
    assert library.symbols == ("A",)
    assert list(library.ignored) == ["notes.csv"]
    assert "no column time" in library.sentences()[-1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no table of candles"),
        (b"\x80\x04\x95pickle" + b"\0" * 20, "neither feather, Parquet nor CSV"),
        (b"PAR1" + random.Random(1).randbytes(64), "cannot be read as candles"),
        (b"ARROW1" + b"\0" * 64, "cannot be read as candles"),
        (b"time,high,low,close\n" + b"2024-01-01,inf,nan,1e999\n" * 9, "no two candles"),
        (b"time,high,low,close\n" + b"9999999999999999999999,1,1,1\n" * 9, "X.csv"),
        (b"time,high,low,close\n1,2,3\n", "cannot be read as candles"),
        (b'date,close\n"2024,1\n', "no table of candles"),
    ],
)
def test_what_is_no_candle_file_gets_one_sentence(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "X.csv"
    path.write_bytes(content)
    with pytest.raises(ImportRefused, match=said) as refused:
        open_candles([path])
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300


def test_a_path_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match="does not exist"):
        open_candles([tmp_path / "nowhere"])
    with pytest.raises(ImportRefused, match="no candles in"):
        open_candles([tmp_path])


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "A-1h.csv"
    bars().to_csv(path, index=False)
    assert open_candles([path]).series[0].n == HOURS
    bars(HOURS + 5).to_csv(path, index=False)
    assert open_candles([path]).series[0].n == HOURS + 5
