"""One freqtrade position, from a database, a backtest or the REST interface, as a closed trade.

Returns are price returns: freqtrade's profit ratio includes leverage and is net of fees and
funding, so ``return_net_pct`` is it divided by the leverage. The gross return has no fees: from
the fills where entries and exits match, else from open and close rate where there was one exit.
Both are relative to everything that was put in, as freqtrade counts it.

``r_multiple`` and ``r_multiple_net`` divide them by the distance from the *first* entry to the
initial stop. Later entries move the average price but not the risk that was taken at entry;
measured from the average, winners that were added to would seem to have no stop at all and drop
out, which would bias what remains. ``rr_path`` divides the gross return by the worst excursion
below the average entry. Extremes are sampled by the bot, so they are a lower bound; the exit
price counts as one of them. Where no stop counts, R is by the risk that the user says every trade
has (``r_fixed_risk``). What has no outcome at all, as in the exports of 2018 to 2020, is kept with
its return: candles tell its path.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import datetime
from typing import Any, Final

from learning.domain.pattern_key import key_part
from learning.domain.scope import ScopeValue, scope_value
from learning.events.outcomes import path_rr
from learning.importers.field_values import (
    MAX_TEXT_LENGTH,
    RowRejected,
    as_instant,
    as_name,
    as_number,
)
from learning.importers.import_answers import ImportAnswers
from learning.importers.imported_trade import ImportedTrade, TradeAction, check_closed
from learning.importers.mapping import ColumnMapping
from learning.importers.tag_rules import TagRules
from learning.importers.trade_outcomes import (
    LEAST_PRICE,
    NoRisk,
    initial_risk_pct,
    price_return_pct,
)

# our name → the names it had over freqtrade's versions, newest first
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "enter_tag": ("enter_tag", "buy_tag"),
    "exit_reason": ("exit_reason", "sell_reason"),
    "initial_stop": ("initial_stop_loss", "initial_stop_loss_abs"),
    "profit_ratio": ("close_profit", "profit_ratio", "profit_percent"),  # each of them a ratio
    "profit_abs": ("close_profit_abs", "profit_abs"),
    "opened": ("open_timestamp", "open_date"),
    "closed": ("close_timestamp", "close_date"),
    "timeframe": ("timeframe", "ticker_interval"),
    "stake_currency": ("stake_currency", "quote_currency"),
}
_FORCED: Final = frozenset({"force_exit", "emergency_exit", "liquidation"})
_RENAMED: Final = {
    "sell_signal": "exit_signal",
    "custom_sell": "custom_exit",
    "force_sell": "force_exit",
    "emergency_sell": "emergency_exit",
}
"""What freqtrade's own migration made of the reasons of exits: the trade stays the same one."""
_SAME_AMOUNT: Final = 1e-6  # share by which entered and exited amounts may differ
Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FreqtradeTerms:
    """What holds for every trade of a file; ``closed_by`` is the latest moment of a close."""

    mapping: ColumnMapping
    max_stop_distance: float
    answers: ImportAnswers = dataclass_field(default_factory=ImportAnswers)
    origin: str | None = None
    closed_by: datetime | None = None

    @property
    def said_origin(self) -> str | None:
        """Return the origin that a person named."""
        return self.origin or self.mapping.origin

    def family(self, strategy: str) -> str:
        """Return the family of a strategy's patterns."""
        return key_part(strategy or self.answers.strategy or "", fallback="unnamed")


@dataclass(frozen=True, slots=True)
class _Risk:
    """One R in percent of the first entry, by the stop or by the user; or why there is none."""

    pct: float | None
    is_by_stop: bool = False
    why_none: str | None = None

    @classmethod
    def of(cls, by_stop: float | NoRisk, by_user: float | None) -> _Risk:
        if not isinstance(by_stop, NoRisk):
            return cls(by_stop, is_by_stop=True)
        return cls(by_user, why_none=by_stop.reason if by_user is None else None)


@dataclass(frozen=True, slots=True)
class Fill:
    """A filled order: price, amount in base currency, and whether it opens or closes."""

    is_entry: bool
    price: float
    amount: float
    filled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Position:
    """The numbers of a position, checked; ``leverage`` at least above 0."""

    side: str
    leverage: float
    opened_at: datetime
    closed_at: datetime
    open_rate: float
    close_rate: float | None
    fills: tuple[Fill, ...]

    @property
    def first_entry(self) -> float:
        """Return the price of the first entry: the open rate unless there were adds."""
        entries = [fill for fill in self.fills if fill.is_entry]
        return entries[0].price if len(entries) > 1 else self.open_rate

    @property
    def entry_value(self) -> float | None:
        """Return the value of all entries, in stake currency; None without fills."""
        value = sum(fill.price * fill.amount for fill in self.fills if fill.is_entry)
        return value if value > 0 else None

    def gross_return_pct(self) -> float | None:
        """Return the price return before costs, in percent; None where it cannot be told."""
        entries = [fill for fill in self.fills if fill.is_entry]
        exits = [fill for fill in self.fills if not fill.is_entry]
        entered = sum(fill.amount for fill in entries)
        exited = sum(fill.amount for fill in exits)
        if entries and exits and abs(entered - exited) <= _SAME_AMOUNT * entered:
            paid = sum(fill.price * fill.amount for fill in entries)
            got = sum(fill.price * fill.amount for fill in exits)
            return price_return_pct(self.side, paid, got)
        if self.close_rate is None or len(exits) > 1:
            return None
        return price_return_pct(self.side, self.open_rate, self.close_rate)


def field(raw: Raw, name: str) -> Any:
    """Return a field under any of the names it had.

    Examples:
        >>> field({"buy_tag": "dip"}, "enter_tag"), field({}, "exit_reason")
        ('dip', None)
    """
    for key in _NAMES.get(name, (name,)):
        value = raw.get(key)
        if value is not None:
            return value
    return None


def number(raw: Raw, name: str, *, needed: bool = False) -> float | None:
    """Return a field as a number; raise RowRejected where it is none."""
    value = field(raw, name)
    try:
        found = as_number(value)
    except ValueError as error:
        raise RowRejected(name, str(error), value) from None
    if needed and found is None:
        raise RowRejected(name, "must be given", None)
    return found


def text(raw: Raw, name: str, *, needed: bool = False) -> str | None:
    """Return a field as text; raise RowRejected where it is none."""
    value = field(raw, name)
    try:
        found = as_name(value)
    except ValueError as error:
        raise RowRejected(name, str(error), value) from None
    if needed and found is None:
        raise RowRejected(name, "must be given", None)
    return found


def free_text(raw: Raw, name: str) -> str | None:
    """Return a text that the strategy wrote, shortened and printable: it never costs a trade."""
    value = field(raw, name)
    if value is None:
        return None
    printable = "".join(sign if sign.isprintable() else " " for sign in str(value))
    return printable[:MAX_TEXT_LENGTH].strip() or None


def exit_reason_of(raw: Raw) -> str | None:
    """Return why a position was left, in the words of today's freqtrade.

    Examples:
        >>> exit_reason_of({"sell_reason": "sell_signal"}), exit_reason_of({"exit_reason": "roi"})
        ('exit_signal', 'roi')
    """
    told = free_text(raw, "exit_reason")
    return None if told is None else _RENAMED.get(told, told)


def pair_of(raw: Raw) -> str:
    """Return what was traded; databases of 2017 began a pair with what was paid.

    Examples:
        >>> pair_of({"pair": "BTC_ETC"}), pair_of({"pair": "ETH/USDT"})
        ('ETC/BTC', 'ETH/USDT')
    """
    told = text(raw, "pair", needed=True) or ""
    paid, turned, traded = told.partition("_")
    return f"{traded}/{paid}" if turned and "/" not in told else told


def instant(raw: Raw, name: str) -> datetime | None:
    """Return a field as an instant; text without an offset is UTC, as freqtrade writes it."""
    value = field(raw, name)
    try:
        return as_instant(value)
    except ValueError as error:
        raise RowRejected(name, str(error), value) from None


def is_true(raw: Raw, name: str) -> bool:
    """Return a flag, stored as 0/1, true/false or absent (0)."""
    value = raw.get(name)
    if value is None or value in (0, 1):
        return bool(value)
    raise RowRejected(name, "must be 0 or 1", value)


def is_still_open(raw: Raw) -> bool:
    """Say whether a position was open when the file was written, or at the end of its backtest."""
    return is_true(raw, "is_open") or is_true(raw, "open_at_end")


def position_of(raw: Raw, fills: Sequence[Fill]) -> Position:
    """Check the numbers of a position.

    Raises:
        RowRejected: Naming the field, the rule and the value.
    """
    leverage = number(raw, "leverage")
    opened_at, closed_at = instant(raw, "opened"), instant(raw, "closed")
    open_rate = number(raw, "open_rate", needed=True)
    close_rate = number(raw, "close_rate")
    for name, rate in (("open_rate", open_rate), ("close_rate", close_rate)):
        if rate is not None and rate <= 0:
            raise RowRejected(name, "must be above 0", rate)
    if leverage is not None and leverage <= 0:
        raise RowRejected("leverage", "must be above 0", leverage)
    if opened_at is None or closed_at is None:
        raise RowRejected("open_date" if opened_at is None else "close_date", "must be given", None)
    if closed_at < opened_at:
        raise RowRejected("close_date", "must not be before open_date", closed_at.isoformat())
    assert open_rate is not None
    return Position(
        side="short" if is_true(raw, "is_short") else "long",
        leverage=leverage or 1.0,
        opened_at=opened_at,
        closed_at=closed_at,
        open_rate=open_rate,
        close_rate=close_rate,
        fills=tuple(fills),
    )


def imported_trade(
    raw: Raw,
    *,
    trade_id: str,
    strategy: str,
    timeframe: str | None,
    origin: str,
    fills: Sequence[Fill],
    custom: Mapping[str, Any],
    terms: FreqtradeTerms,
) -> ImportedTrade:
    """Return a closed position as a trade.

    Raises:
        RowRejected: Where a value breaks a rule or there is no return.
    """
    position, mapping = position_of(raw, fills), terms.mapping
    check_closed("close_date", position.closed_at, terms.closed_by)
    if position.first_entry < LEAST_PRICE:
        raise RowRejected("open_rate", "must be above 0", position.first_entry)
    tag = (mapping.tags or TagRules()).read(free_text(raw, "enter_tag"))
    stopped = initial_risk_pct(
        side=position.side,
        entry=position.first_entry,
        stop=number(raw, "initial_stop"),
        max_distance=terms.max_stop_distance,
    )
    risk = _Risk.of(stopped, _fixed_risk_pct(raw, position, terms.answers))
    return ImportedTrade(
        trade_id=trade_id,
        pattern_key=f"pm.{terms.family(strategy)}.{position.side}.{tag.motif}",
        origin=origin,
        opened_at=position.opened_at,
        closed_at=position.closed_at,
        scope=_scope(raw, position, timeframe or terms.answers.timeframe, custom, mapping)
        | dict(tag.scope),
        signals=dict(tag.signals) | _numbers(custom, mapping.signals),
        applied_knobs={"leverage": position.leverage} | _numbers(custom, mapping.knobs),
        summary=_summary(raw, position, risk),
        actions=actions_of(position, exit_reason_of(raw)),
        no_risk=risk.why_none,
        is_untagged=tag.motif == "untagged",
    )


def actions_of(position: Position, exit_reason: str | None) -> tuple[TradeAction, ...]:
    """Return the actions: first entry fill, adds, trims, and the last exit fill.

    What a file does not hold as a fill, the trade itself tells: it was opened and it was closed.
    """
    entries = sorted(_times(position, is_entry=True)) or [position.opened_at]
    exits = sorted(_times(position, is_entry=False)) or [position.closed_at]
    forced = "emergency_exit" if exit_reason in _FORCED else None
    actions = [TradeAction("entry", entries[0])]
    actions += [TradeAction("add", moment) for moment in entries[1:]]
    actions += [TradeAction("trim", moment) for moment in exits[:-1]]
    actions.sort(key=lambda action: action.acted_at)  # stable: an entry stays before its trim
    return (*actions, TradeAction("exit", exits[-1], forced))


def _times(position: Position, *, is_entry: bool) -> list[datetime]:
    fallback = position.opened_at if is_entry else position.closed_at
    return [fill.filled_at or fallback for fill in position.fills if fill.is_entry is is_entry]


def timeframe_name(value: object) -> str | None:
    """Return a timeframe as freqtrade's users write it; the database holds minutes.

    Examples:
        >>> timeframe_name(5), timeframe_name(240), timeframe_name(1440), timeframe_name("15m")
        ('5m', '4h', '1d', '15m')
    """
    if isinstance(value, str) and not value.strip().isdecimal():
        return value.strip() or None
    minutes = as_number(value)
    if minutes is None or minutes <= 0 or minutes != int(minutes):
        return None
    for unit, size in (("w", 10080), ("d", 1440), ("h", 60)):
        if minutes % size == 0:
            return f"{int(minutes) // size}{unit}"
    return f"{int(minutes)}m"


def timeframe_of(raw: Raw) -> str | None:
    """Return the timeframe that a position or a strategy's block names."""
    value = field(raw, "timeframe")
    try:
        return timeframe_name(value if isinstance(value, str | int | float) else None)
    except ValueError as error:
        raise RowRejected("timeframe", str(error), value) from None


def _scope(
    raw: Raw,
    position: Position,
    timeframe: str | None,
    custom: Mapping[str, Any],
    mapping: ColumnMapping,
) -> dict[str, ScopeValue]:
    mode, exchange = text(raw, "trading_mode"), text(raw, "exchange")
    given: dict[str, Any] = {
        "timeframe": timeframe,
        "side": position.side,
        "exchange": exchange.lower() if exchange else None,
        "trading_mode": mode.lower() if mode else None,
        **mapping.constants,
        **{name: mapping.binned(name, custom.get(key)) for name, key in mapping.dimensions.items()},
    }
    scope: dict[str, ScopeValue] = {}
    for name, value in given.items():
        try:
            present = scope_value(name, value)
        except ValueError as error:
            raise RowRejected(name, str(error), value) from None
        if present is not None:
            scope[name] = present
    return scope


def _numbers(custom: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, float]:
    """The custom data that the mapping names, as numbers; what is none is left out."""
    found: dict[str, float] = {}
    for ours, key in names.items():
        value = custom.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and value == value:
            found[ours] = float(value)
    return found


def _summary(raw: Raw, position: Position, risk: _Risk) -> dict[str, Any]:
    ratio = number(raw, "profit_ratio")
    drawdown = _drawdown_pct(raw, position)
    gross = position.gross_return_pct()
    numbers: dict[str, float | None] = {
        "entry_price": position.open_rate,
        "exit_price": position.close_rate,
        "return_pct": gross,
        "return_net_pct": None if ratio is None else ratio / position.leverage * 100.0,
        "max_drawdown_pct": drawdown,
        "pnl_amount": number(raw, "profit_abs"),
    }
    if gross is not None and drawdown is not None:
        numbers["rr_path"] = path_rr(gross, drawdown)
    if gross is None and ratio is None:
        raise RowRejected("close_rate", "or the profit must be given", None)
    if risk.pct is not None:
        numbers |= _in_r(raw, position, risk.pct, numbers)
    if risk.is_by_stop:
        numbers["initial_stop"] = number(raw, "initial_stop")
    kinds, pair = _kinds(numbers, risk), pair_of(raw)
    named = {
        "symbol": pair,
        "side": position.side,
        "opened_at": position.opened_at.isoformat(),
        "closed_at": position.closed_at.isoformat(),
        "exit_reason": exit_reason_of(raw),
        "currency": text(raw, "stake_currency") or stake_currency(pair),
        "rr_kind": "+".join(kinds) or None,
    }
    summary = {name: value for name, value in {**named, **numbers}.items() if value is not None}
    return summary | ({} if risk.pct is None else _better_prices(raw, position, risk.pct))


def _kinds(numbers: Mapping[str, float | None], risk: _Risk) -> list[str]:
    by_risk = numbers.get("r_multiple") is not None or numbers.get("r_multiple_net") is not None
    by_path = numbers.get("rr_path") is not None
    kind = "r_initial_stop" if risk.is_by_stop else "r_fixed_risk"
    return [kind] * by_risk + ["rr_path"] * by_path


def _in_r(
    raw: Raw, position: Position, risk_pct: float, numbers: Mapping[str, float | None]
) -> dict[str, float | None]:
    gross, net = numbers["return_pct"], numbers["return_net_pct"]
    value = position.entry_value or _value_of_stake(raw, position)
    favourable, adverse = _excursions(raw, position)
    distance = position.first_entry * risk_pct / 100.0
    return {
        "r_multiple": None if gross is None else gross / risk_pct,
        "r_multiple_net": None if net is None else net / risk_pct,
        "mfe_r": None if favourable is None else favourable / distance,
        "mae_r": None if adverse is None else 0.0 - adverse / distance,
        "risk_amount": None if value is None else value * risk_pct / 100.0,
    }


def _fixed_risk_pct(raw: Raw, position: Position, answers: ImportAnswers) -> float | None:
    """The risk that the user says every trade has, in percent of the entry."""
    if answers.risk_amount is None:
        return answers.risk_pct
    value = position.entry_value or _value_of_stake(raw, position)
    return None if not value else answers.risk_amount / value * 100.0


def _value_of_stake(raw: Raw, position: Position) -> float | None:
    stake = number(raw, "max_stake_amount") or number(raw, "stake_amount")
    return stake * position.leverage if stake and stake > 0 else None


def _extremes(raw: Raw, position: Position) -> tuple[float | None, float | None]:
    """Lowest and highest price while open: sampled ones and the exit."""
    found: list[float | None] = []
    for name, pick in (("min_rate", min), ("max_rate", max)):
        rate = number(raw, name)
        known: Iterable[float | None] = (rate, position.close_rate)
        found.append(pick(r for r in known if r is not None) if rate and rate > 0 else None)
    return found[0], found[1]


def _excursions(raw: Raw, position: Position) -> tuple[float | None, float | None]:
    """Best and worst excursion from the first entry, both ≥ 0, in price."""
    low, high = _extremes(raw, position)
    entry = position.first_entry
    up = None if high is None else max(high - entry, 0.0)
    down = None if low is None else max(entry - low, 0.0)
    return (up, down) if position.side == "long" else (down, up)


def _drawdown_pct(raw: Raw, position: Position) -> float | None:
    """Worst excursion below the average entry (above it for shorts), in percent, ≥ 0."""
    low, high = _extremes(raw, position)
    worst = low if position.side == "long" else high
    if worst is None:
        return None
    return max(-price_return_pct(position.side, position.open_rate, worst), 0.0) + 0.0  # no -0.0


def _better_prices(raw: Raw, position: Position, risk_pct: float) -> dict[str, Any]:
    """The best prices while open; when they stood is not in the file."""
    low, high = _extremes(raw, position)
    cheapest, dearest = (low, high) if position.side == "long" else (high, low)
    sign = 1.0 if position.side == "long" else -1.0
    distance = position.first_entry * risk_pct / 100.0
    found: dict[str, Any] = {}
    if cheapest is not None:
        missed = max(sign * (position.first_entry - cheapest) / distance, 0.0)
        found["could_enter_better"] = {"best_price": cheapest, "missed_rr": missed}
    if dearest is not None and position.close_rate is not None:
        missed = max(sign * (dearest - position.close_rate) / distance, 0.0)
        found["could_exit_better"] = {"best_price": dearest, "missed_rr": missed}
    return found


def stake_currency(pair: str) -> str | None:
    """Return the stake currency of a pair.

    Examples:
        >>> stake_currency("REEF/USDT:USDT"), stake_currency("TRX/BTC"), stake_currency("odd")
        ('USDT', 'BTC', None)
    """
    return pair.partition("/")[2].partition(":")[0] or None
