"""Which market a symbol means, however a source spells it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_DOLLARS: Final = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USD")
_QUOTES: Final = (
    *_DOLLARS,
    "EUR",
    "GBP",
    "JPY",
    "CHF",
    "AUD",
    "CAD",
    "NZD",
    "TRY",
    "BTC",
    "ETH",
    "BNB",
)
_CURRENCIES: Final = frozenset({"USD", "EUR", "GBP", "JPY", "CHF", "AUD", "CAD", "NZD"})
_PARTS: Final = re.compile(r"[/_\-\s]+")
Market = tuple[str, str | None]


def market_of(symbol: str) -> Market:
    """Return base and quote of a symbol; the quote is None where it names none.

    Currencies that stand for a dollar are one quote.

    Examples:
        >>> market_of("BTC/USDT:USDT"), market_of("BTC_USDT"), market_of("BINANCE:BTCUSDT")
        (('BTC', 'USD'), ('BTC', 'USD'), ('BTC', 'USD'))
        >>> market_of("EURUSD"), market_of("SPY"), market_of("SOL/BTC")
        (('EUR', 'USD'), ('SPY', None), ('SOL', 'BTC'))
    """
    text = symbol.strip().upper()
    before, colon, after = text.partition(":")
    text = after if colon and "/" not in before else before
    parts = [part for part in _PARTS.split(text) if part]
    if len(parts) >= 2:
        return parts[0], _quote(parts[1])
    for quote in _QUOTES:
        if text.endswith(quote) and len(text) >= len(quote) + 2:
            return text.removesuffix(quote), _quote(quote)
    return text, None


def _quote(quote: str) -> str:
    return "USD" if quote in _DOLLARS else quote


def find_market(symbol: str, known: Iterable[str]) -> str | None:
    """Return the known symbol that means the same market; the same text wins, then base and quote.

    Where one of the two names no quote, the base alone decides, if one market has it.

    Examples:
        >>> find_market("BTC/USDT", ["ETH", "BTC"]), find_market("SOL", ["SOL/BTC", "SOL/USDT"])
        ('BTC', None)
    """
    names = sorted(known)
    if symbol in names:
        return symbol
    base, quote = market_of(symbol)
    markets = {name: market_of(name) for name in names}
    same = [name for name in names if markets[name] == (base, quote)]
    if same:
        return same[0]
    loose = [
        name for name in names if markets[name][0] == base and None in (quote, markets[name][1])
    ]
    return loose[0] if len(loose) == 1 else None


def reference_of(symbol: str, known: Iterable[str]) -> str | None:
    """Return the reference market of a symbol among the known ones; None where there is none.

    Pairs of currencies follow EURUSD, gold itself, all else BTC where there is one, else SPY.

    Examples:
        >>> reference_of("NZDUSD", ["EURUSD", "SPY"]), reference_of("AAPL", ["EURUSD", "SPY"])
        ('EURUSD', 'SPY')
        >>> reference_of("SOL/USDT", ["BTC/USDT", "SPY"])
        'BTC/USDT'
    """
    names = list(known)
    base, quote = market_of(symbol)
    if base == "XAU":
        wanted = ["XAUUSD"]
    elif base in _CURRENCIES and quote in _CURRENCIES:
        wanted = ["EURUSD"]
    else:
        wanted = ["BTC/USDT", "SPY"]
    found = (find_market(name, names) for name in wanted)
    return next((name for name in found if name is not None), None)
