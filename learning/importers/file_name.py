"""What the name of an export tells: strategy, symbol, timeframe."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_EXCHANGES: Final = re.compile(
    "BINANCE|BINANCEUS|BYBIT|COINBASE|KRAKEN|OKX|BITGET|MEXC|KUCOIN|BITFINEX|BITSTAMP|GEMINI|HTX|"
    "HUOBI|GATEIO|DERIBIT|BITMEX|PHEMEX|BINGX|CRYPTO|CRYPTOCAP|OANDA|FX|FXCM|IDC|FOREXCOM|"
    "PEPPERSTONE|ICMARKETS|CAPITALCOM|EIGHTCAP|FUSIONMARKETS|VANTAGE|SAXO|TVC|SP|DJ|CBOE|NASDAQ|"
    "NYSE|AMEX|BATS|ARCA|CME|MINI|CBOT|COMEX|NYMEX|EUREX|ICEUS|XETR|FWB|LSE|TSX|TSE|NSE|BSE|MCX|"
    "HKEX|SSE|SZSE|KRX|BIST|MOEX|ASX|EURONEXT|SIX|BME|MIL|GPW|INDEX"
)
_CURRENCY: Final = (
    "USD|EUR|GBP|JPY|CHF|CAD|AUD|NZD|SEK|NOK|DKK|PLN|HUF|CZK|TRY|ZAR|MXN|SGD|HKD|CNH|CNY|INR|"
    "KRW|BRL|RUB|THB|ILS|XAU|XAG|XPT|XPD"
)
_PAIR: Final = re.compile(f"({_CURRENCY})({_CURRENCY})")
_QUOTES: Final = re.compile(r"[A-Z0-9]{2,12}(USDT|USDC|BUSD|FDUSD|TUSD|USD|PERP)(\.P)?")
_TIMEFRAME: Final = re.compile(r"(\d{1,3})(m|min|h|d|w)|(m|h|d|w)(\d{1,3})", re.IGNORECASE)
_DATE: Final = re.compile(r"(19|20)\d{2}(-?\d{2}(-?\d{2})?)?|\d{2}-\d{2}-\d{4}")
_NOISE: Final = re.compile(
    r"\A(tradingview|tv)(?=[_\s])|list[_\s]of[_\s]trades|(?<![^_\s])(trades|export|report)(?![^_\s])",
    re.IGNORECASE,
)
_COPY: Final = re.compile(r"\s*\(\d+\)$")


@dataclass(frozen=True, slots=True)
class NamedFile:
    """What a file's name tells; None where it does not."""

    strategy: str | None
    symbol: str | None
    timeframe: str | None


def named_file(stem: str) -> NamedFile:
    """Read ``<Strategy>_<EXCHANGE>_<SYMBOL>_<date>`` and what is like it.

    Examples:
        >>> named_file("My_Strategy_BINANCE_BTCUSDT_2024-10-22_e0d5b")
        NamedFile(strategy='My_Strategy', symbol='BTCUSDT', timeframe=None)
        >>> named_file("tradingview_rsi_eurusd_1h")
        NamedFile(strategy='rsi', symbol='EURUSD', timeframe='1h')
        >>> named_file("export (3)")
        NamedFile(strategy=None, symbol=None, timeframe=None)
    """
    words = [word for word in re.split(r"[_\s,]+", _NOISE.sub("", _COPY.sub("", stem))) if word]
    words = _before_date(words)
    timeframe = next((found for word in words if (found := _timeframe(word))), None)
    place = _symbol_place(words)
    before = words if place is None else words[:place]
    while before and _EXCHANGES.fullmatch(before[-1]):
        before = before[:-1]
    family = [w for w in before if _timeframe(w) is None]
    return NamedFile(
        strategy="_".join(family) or None,
        symbol=None if place is None else words[place].upper(),
        timeframe=timeframe,
    )


def _before_date(words: list[str]) -> list[str]:
    """The words before a date at the end, and what a download appends to it."""
    for place, word in enumerate(words):
        if place and _DATE.fullmatch(word):
            return words[:place]
    return words


def _symbol_place(words: list[str]) -> int | None:
    named = [i + 1 for i, word in enumerate(words[:-1]) if _EXCHANGES.fullmatch(word)]
    if named:
        return named[-1]
    for i, word in enumerate(words):
        if _looks_like_symbol(word.upper()):
            return i
    return None


def _looks_like_symbol(word: str) -> bool:
    return _PAIR.fullmatch(word) is not None or _QUOTES.fullmatch(word) is not None


def _timeframe(word: str) -> str | None:
    found = _TIMEFRAME.fullmatch(word)
    if found is None:
        return None
    count, unit = (found[1], found[2]) if found[1] else (found[4], found[3])
    return f"{int(count)}{unit[0].lower()}" if int(count) else None
