"""Edgekeeper in a freqtrade strategy: records, scales entries and adds, brings stops nearer.

    class MyStrategy(EdgekeeperMixin, IStrategy): ...
    class MyStrategy(EdgekeeperMixin, AnExistingStrategy): ...

A strategy's own hooks go on working, with or without ``super()``: whatever they return is what is
scaled, once. Nothing here raises into freqtrade. Without a database, without overrides, and while
the overrides are off, every hook returns what the strategy alone would have returned.

In live and dry-run mode the mixin starts a recorder and the feed of overrides. In a backtest it
records only with ``edgekeeper_records_backtests``, and obeys only overrides that the process
itself installed; in hyperopt it never records. The configuration may have a section
``"edgekeeper": {"database_url": "postgresql://…", "bot": "…", "home": "…"}``, all of it optional:
the bot's name is freqtrade's ``bot_name``, the database that of DATABASE_URL or EDGEKEEPER_HOME.

Each recorded run of a backtest is a run of its own: its actions are credited with its own outcomes
only. A trade that an earlier run of the same bot took (strategy, exchange, pair, side and candle
are the same) is quarantined, since a re-run is not more evidence, however its tags are called by
now; what the earlier run did not trade is taken. A variant on purpose gets a ``bot`` of its own.

Which lever goes through which hook:

- ``size_mult`` of entries: ``custom_stake_amount``; of adds: ``adjust_trade_position`` where it
  asks for more. Where it asks for less the amount stays: the size of an exit is never scaled.
- ``exit_aggression_mult``: ``custom_stoploss``, whose distance is divided by it. Above 1 the stop
  comes nearer, and freqtrade never moves a stop away again. A value below 1, which would let a
  loss run further than the strategy says, is left out and not reported as applied, unless the
  strategy says ``edgekeeper_scales_stoploss = True``. With that, a strategy that has only the
  fixed ``stoploss`` gets a nearer one too: at ``stoploss / exit_aggression_mult`` from the entry.

``custom_exit`` and ``confirm_trade_exit`` are not used: the one could only invent an exit and the
other only withhold one. Freqtrade has no hook that means the other levers; a strategy may apply
them itself.
"""

from __future__ import annotations

import atexit
import functools
import inspect
import logging
import math
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from learning.bot.freqtrade_position import (
    Side,
    as_closed,
    category_of,
    decision_of,
    filled_amount,
    side_of,
    summary_of,
)
from learning.domain.pattern_key import ActionCategory, key_part
from learning.events.strands import BACKTEST_RUN
from learning.runtime.apply import apply_pattern_strength_overrides
from learning.runtime.in_force import in_force

if TYPE_CHECKING:
    from learning.bot.config_feed import ConfigFeed
    from learning.bot.recorder import Origin, Recorder

_TRADING: Final[Mapping[str, Origin]] = {"live": "live", "dry_run": "dry_run"}
_STORED_AS: Final = "edgekeeper"  # key of freqtrade's custom data of a trade
_KEPT: Final = 20_000
# A stake is money, not a share: the multiplier is read off a half, which no bound touches and
# by which division is exact.
_HALF: Final = 0.5
_log = logging.getLogger(__name__)

Hook = Callable[..., Any]


@dataclass(slots=True)
class _Entry:
    """What was decided at an entry, until its order fills."""

    trade_id: str
    pattern_key: str
    scope: Mapping[str, Any]
    signals: Mapping[str, Any]
    knobs: Mapping[str, Any]


@dataclass(slots=True)
class _Held:
    """What the mixin keeps beside a strategy."""

    recorder: Recorder | None = None
    run: str | None = None  # of a backtest
    inside: set[tuple[str, int]] = field(default_factory=set)  # hook and thread
    decided: dict[str, _Entry] = field(default_factory=dict)  # by pair: one trade a pair
    of_trade: dict[Hashable, _Entry] = field(default_factory=dict)
    adds: dict[Hashable, Mapping[str, Any]] = field(default_factory=dict)  # until they fill
    filled: dict[Hashable, None] = field(default_factory=dict)  # by trade and order
    said: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Running:
    feed: ConfigFeed | None
    recorder: Recorder | None


# By database and bot: a strategy that freqtrade reloads goes on with the threads that run.
_running: dict[tuple[str | None, str, str], _Running] = {}


def _followed_by(
    adjust: Callable[..., Any], *, even_failed: bool = False
) -> Callable[[Hook], Hook]:
    """Let ``adjust`` see what a hook returned, once: a hook that calls ``super()`` passes through
    this several times, and only the outermost counts."""

    def decorate(own: Hook) -> Hook:
        name = own.__name__

        @functools.wraps(own)
        def hook(self: EdgekeeperMixin, *args: Any, **kwargs: Any) -> Any:
            inside, here = _held(self).inside, (name, threading.get_ident())
            if here in inside:
                return own(self, *args, **kwargs)
            inside.add(here)
            try:
                result = own(self, *args, **kwargs)
            except Exception:
                if even_failed:
                    _safely(self, name, adjust, None, kwargs)
                raise
            finally:
                inside.discard(here)
            return _safely(self, name, adjust, result, kwargs)

        # freqtrade reads the arguments without following the wrapper
        hook.__signature__ = inspect.signature(own)  # type: ignore[attr-defined]
        hook.__edgekeeper__ = True  # type: ignore[attr-defined]
        return hook

    return decorate


def _safely(
    strategy: EdgekeeperMixin,
    name: str,
    adjust: Callable[..., Any],
    result: Any,
    asked: Mapping[str, Any],
) -> Any:
    """Return what ``adjust`` makes of a hook's result; the result as it is where that fails."""
    try:
        return adjust(strategy, result, **asked)
    except Exception as error:  # freqtrade must not fall over its advice; the log tells
        _say(strategy, f"{name}: {type(error).__name__}: {error}")
        return result


def _held(strategy: EdgekeeperMixin) -> _Held:
    found: _Held = strategy.__dict__.setdefault("_edgekeeper_held", _Held())
    return found


def _say(strategy: EdgekeeperMixin, problem: str) -> None:
    """Log a problem, once: a hook is called at every candle."""
    said = _held(strategy).said
    if problem not in said and len(said) < 100:
        said.add(problem)
        _log.warning("edgekeeper stays neutral: %s", problem)


# --- What follows a hook ---------------------------------------------------------------------


def _start(strategy: EdgekeeperMixin, result: Any, **_: Any) -> Any:
    """Start what this mode of freqtrade needs."""
    mode = strategy.edgekeeper_mode()
    if mode in _TRADING:
        _held(strategy).recorder = _threads(strategy, _TRADING[mode], with_feed=True).recorder
    elif mode == "backtest" and strategy.edgekeeper_records_backtests:
        _held(strategy).recorder = _threads(strategy, "backtest", with_feed=False).recorder
        _held(strategy).run = f"{BACKTEST_RUN}{datetime.now(UTC):%Y-%m-%d %H:%M} {uuid4().hex[:8]}"
    return result


def _scale_stake(strategy: EdgekeeperMixin, stake: Any, **asked: Any) -> Any:
    """Scale the stake of an entry, and keep what was decided until its order fills."""
    pair, at, side, tag = (asked[name] for name in ("pair", "current_time", "side", "entry_tag"))
    entry = _Entry(
        trade_id=_trade_id(strategy, pair, side, at),
        pattern_key=_pattern_key(strategy, side, tag),
        scope=_scope(strategy, pair, at, side, tag),
        signals=_signals(strategy, pair, at, side, tag),
        knobs={"leverage": asked.get("leverage")},
    )
    adjusted = apply_pattern_strength_overrides(
        entry.pattern_key,
        "entry",
        entry.scope,
        {"position_size_frac": _HALF},
        trade_id=entry.trade_id,
    )
    mult = adjusted["position_size_frac"] / _HALF
    scaled = _scaled(stake, mult, asked.get("min_stake"), asked.get("max_stake"))
    entry.knobs = {**entry.knobs, "size_mult": mult, "stake": scaled, "stake_unscaled": stake}
    _held(strategy).decided[pair] = entry
    return scaled


def _scaled(stake: Any, mult: float, least: float | None, most: float | None) -> Any:
    """Return a stake times a multiplier.

    A cut goes no lower than the exchange's least stake, below which freqtrade would drop the
    entry, and a raise no higher than what is available; a stake that was outside of these before
    is left to freqtrade.
    """
    if mult == 1.0 or isinstance(stake, bool) or not isinstance(stake, int | float):
        return stake
    if not (math.isfinite(stake) and stake > 0):
        return stake
    scaled = stake * mult
    if mult < 1 and least is not None and scaled < least:
        return min(stake, least)
    if mult > 1 and most is not None and scaled > most:
        return max(stake, most)
    return scaled


def _scale_add(strategy: EdgekeeperMixin, result: Any, **asked: Any) -> Any:
    """Scale what a strategy adds to a trade; what it takes out stays as it is."""
    stake, *tag = result if isinstance(result, tuple) and result else (result,)
    if isinstance(stake, bool) or not isinstance(stake, int | float) or not stake > 0:
        return result
    trade, at = asked["trade"], asked["current_time"]
    entry = _entry_of(strategy, trade)
    adjusted = apply_pattern_strength_overrides(
        entry.pattern_key,
        "add",
        _scope(strategy, trade.pair, at, side_of(trade), trade.enter_tag),
        {"position_size_frac": _HALF},
        trade_id=entry.trade_id,
    )
    mult = adjusted["position_size_frac"] / _HALF
    scaled = _scaled(stake, mult, asked.get("min_stake"), asked.get("max_stake"))
    adds = _held(strategy).adds
    adds[_known_as(trade)] = {"size_mult": mult, "stake": scaled, "stake_unscaled": stake}
    _forget_oldest(adds)
    return (scaled, *tag) if isinstance(result, tuple) else scaled


def _scale_stop(strategy: EdgekeeperMixin, distance: Any, **asked: Any) -> Any:
    """Divide the distance of the strategy's own stop by the exit aggression."""
    if in_force().table is None:
        return distance
    if strategy._edgekeeper_has_fixed_stop:
        return _nearer_fixed_stop(strategy, **asked)
    if isinstance(distance, bool) or not isinstance(distance, int | float):
        return distance
    mult = _stop_mult(strategy, asked["trade"], asked["current_time"])
    return distance if mult == 1.0 else distance / mult


def _stop_mult(strategy: EdgekeeperMixin, trade: Any, at: datetime) -> float:
    """The exit aggression of a trade; 1 where it would only let the stop come later."""
    if not strategy.edgekeeper_scales_stoploss:
        state, entry = in_force(), _entry_of(strategy, trade)
        scope = _scope(strategy, trade.pair, at, side_of(trade), trade.enter_tag)
        # a look that reports nothing: what is not applied must not be told as applied
        match = state.table and state.table.find(
            "strength", entry.pattern_key, "exit", scope, state.now(time.monotonic())
        )
        if not match or match.levers.get("exit_aggression_mult", 1.0) <= 1.0:
            return 1.0
    return strategy.edgekeeper_exit_aggression(trade, at)


def _nearer_fixed_stop(strategy: EdgekeeperMixin, **asked: Any) -> float | None:
    """The distance from the current rate at which the strategy's fixed stop is nearer.

    None leaves the stop where it is: nothing shall be nearer, or the price is past it already.
    """
    trade, rate = asked["trade"], float(asked["current_rate"])
    mult = strategy.edgekeeper_exit_aggression(trade, asked["current_time"])
    stoploss = abs(float(strategy.stoploss))  # type: ignore[attr-defined]  # of IStrategy
    if mult <= 1.0:
        return None
    leverage, sign = float(trade.leverage or 1.0), -1.0 if trade.is_short else 1.0
    stop = float(trade.open_rate) * (1.0 - sign * stoploss / mult / leverage)
    distance = sign * (1.0 - stop / rate) * leverage
    return distance if distance > 0 else None


def _note_fill(strategy: EdgekeeperMixin, result: Any, **asked: Any) -> Any:
    """Record what an order that filled did to its trade."""
    held = _held(strategy)
    if held.recorder is None:
        return result
    trade, order, at = asked["trade"], asked["order"], asked["current_time"]
    seen = (_known_as(trade), order.order_id)
    if filled_amount(order) <= 0 or seen in held.filled:
        return result
    held.filled[seen] = None
    entry = _entry_of(strategy, trade)
    closed = as_closed(trade, order, at, is_simulated=strategy.edgekeeper_mode() not in _TRADING)
    category = category_of(trade, order, closes=closed is not None)
    _record_action(strategy, held.recorder, entry, category, trade, order.order_filled_utc or at)
    if closed is not None:
        held.recorder.record_position_closed(
            trade_id=entry.trade_id,
            trade_summary=summary_of(closed),
            entry_context={"scope": dict(entry.scope), "pattern_key": entry.pattern_key},
            position_id=held.run,
        )
        held.of_trade.pop(_known_as(trade), None)
    _forget_oldest(held.filled)
    return result


def _record_action(
    strategy: EdgekeeperMixin,
    recorder: Recorder,
    entry: _Entry,
    category: ActionCategory,
    trade: Any,
    at: datetime,
) -> None:
    """Record an action: an entry with what was seen when it was decided, others with what is."""
    scope, signals, knobs = entry.scope, entry.signals, entry.knobs
    if category != "entry":
        known = (trade.pair, at, side_of(trade), trade.enter_tag)
        scope, signals = _scope(strategy, *known), _signals(strategy, *known)
        knobs = {"leverage": trade.leverage}
    if category == "add":
        knobs = {**knobs, **_held(strategy).adds.pop(_known_as(trade), {})}
    recorder.record_action(
        trade_id=entry.trade_id,
        pattern_key=entry.pattern_key,
        action_category=category,
        decision_type=decision_of(trade, category),
        scope=scope,
        signals_seen=signals,
        applied_knobs={name: value for name, value in knobs.items() if value is not None},
        ts=at,
        position_id=_held(strategy).run,
    )


def _forget_oldest(kept: dict[Any, Any]) -> None:
    while len(kept) > _KEPT:
        del kept[next(iter(kept))]


# --- What a trade is called, and in which context ---------------------------------------------


def _pattern_key(strategy: EdgekeeperMixin, side: str, tag: str | None) -> str:
    """The key that an import of freqtrade's own database gives the same trade."""
    family = key_part(type(strategy).__name__, fallback="unnamed")
    return f"pm.{family}.{side}.{key_part(tag or '', fallback='untagged')}"


def _trade_id(strategy: EdgekeeperMixin, pair: str, side: str, at: datetime) -> str:
    """One id for all attempts of one candle: freqtrade has no number for a trade before it fills,
    and an entry that is tried again must not be assigned to an arm again."""
    seconds = int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
    candle = seconds - seconds % _timeframe_seconds(getattr(strategy, "timeframe", None))
    opened = datetime.fromtimestamp(candle, UTC).isoformat(timespec="minutes")
    exchange = strategy._edgekeeper_known_scope(side)["exchange"]
    parts = (type(strategy).__name__, exchange, pair, side, opened.removesuffix("+00:00"))
    return ":".join(str(part) for part in parts if part)


def _timeframe_seconds(timeframe: object) -> int:
    """Seconds of a timeframe as freqtrade writes it, such as 5m; a minute where it is none."""
    units = {"m": 60, "h": 3600, "d": 86400, "w": 604800}
    text = str(timeframe or "")
    known = text[:-1].isdecimal() and int(text[:-1]) > 0 and text[-1:] in units
    return int(text[:-1]) * units[text[-1]] if known else 60


def _entry_of(strategy: EdgekeeperMixin, trade: Any) -> _Entry:
    """What was decided at the entry of a trade: known here, or told by freqtrade's database."""
    held = _held(strategy)
    known = held.of_trade.get(_known_as(trade))
    if known is None:
        known = _stored(strategy, trade) or held.decided.pop(trade.pair, None)
        known = known or _unknown_entry(strategy, trade)
        held.of_trade[_known_as(trade)] = known
        _forget_oldest(held.of_trade)
        _store(strategy, trade, known)
    return known


def _known_as(trade: Any) -> Hashable:
    """Freqtrade's number of a trade alone comes again in the next backtest."""
    return trade.id, trade.pair, trade.open_date


def _unknown_entry(strategy: EdgekeeperMixin, trade: Any) -> _Entry:
    """A trade that was opened before the mixin was there."""
    side, at = side_of(trade), trade.open_date.replace(tzinfo=UTC)
    return _Entry(
        trade_id=_trade_id(strategy, trade.pair, side, at),
        pattern_key=_pattern_key(strategy, side, trade.enter_tag),
        scope=_scope(strategy, trade.pair, at, side, trade.enter_tag),
        signals={},
        knobs={"leverage": trade.leverage},
    )


def _stored(strategy: EdgekeeperMixin, trade: Any) -> _Entry | None:
    if strategy.edgekeeper_mode() not in _TRADING:
        return None
    with suppress(Exception):  # a bot without it goes on with what it can tell
        kept = trade.get_custom_data(key=_STORED_AS)
        return _Entry(kept["trade_id"], kept["pattern_key"], kept["scope"], {}, {})
    return None


def _store(strategy: EdgekeeperMixin, trade: Any, entry: _Entry) -> None:
    """Keep in freqtrade's own database what a restart of the bot would forget."""
    if strategy.edgekeeper_mode() not in _TRADING:
        return
    with suppress(Exception):
        kept = {"trade_id": entry.trade_id, "pattern_key": entry.pattern_key}
        trade.set_custom_data(key=_STORED_AS, value={**kept, "scope": dict(entry.scope)})


def _scope(
    strategy: EdgekeeperMixin, pair: str, at: datetime, side: str, tag: str | None
) -> dict[str, Any]:
    scope = strategy._edgekeeper_known_scope(side)
    try:
        scope |= strategy.edgekeeper_scope(pair, at, side, tag)
    except Exception as error:  # the user's own code
        _say(strategy, f"edgekeeper_scope: {type(error).__name__}: {error}")
    return {name: value for name, value in scope.items() if value is not None}


def _signals(
    strategy: EdgekeeperMixin, pair: str, at: datetime, side: str, tag: str | None
) -> dict[str, Any]:
    try:
        return dict(strategy.edgekeeper_signals(pair, at, side, tag))
    except Exception as error:  # the user's own code
        _say(strategy, f"edgekeeper_signals: {type(error).__name__}: {error}")
        return {}


# --- The threads -----------------------------------------------------------------------------


def _threads(strategy: EdgekeeperMixin, origin: Origin, *, with_feed: bool) -> _Running:
    """Start recorder and feed, or return those that this process runs already."""
    config = getattr(strategy, "config", None) or {}
    section = config.get("edgekeeper") or {}
    url = section.get("database_url")
    bot = str(section.get("bot") or config.get("bot_name") or type(strategy).__name__)
    home = Path(section["home"]) if section.get("home") else None
    known = (url, bot, origin)
    if known not in _running:
        feed = _started(strategy, _start_feed, url, bot, origin, home) if with_feed else None
        recorder = _started(strategy, _start_recorder, url, bot, origin, home)
        _running[known] = _Running(feed, recorder)
    return _running[known]


def _started(strategy: EdgekeeperMixin, start: Callable[..., Any], *args: Any) -> Any:
    try:
        started = start(*args)
        atexit.register(started.stop)
    except Exception as error:  # a library or the database is missing: the bot trades without
        _say(strategy, f"{type(error).__name__}: {error}")
        return None
    return started


def _start_feed(url: str | None, bot: str, origin: Origin, home: Path | None) -> ConfigFeed:
    # Not at the top: a backtest needs no library of the database.
    from learning.bot.config_feed import start_config_feed

    return start_config_feed(url, bot=bot, origin=origin, home=home)


def _start_recorder(url: str | None, bot: str, origin: Origin, home: Path | None) -> Recorder:
    from learning.bot.recorder import start_recorder

    return start_recorder(url, bot=bot, origin=origin, home=home)


# --- The mixin -------------------------------------------------------------------------------


class EdgekeeperMixin:
    """Put before ``IStrategy`` or before a strategy of one's own; see the module's text."""

    edgekeeper_records_backtests: bool = False
    edgekeeper_scales_stoploss: bool = False  # also away from the price, and a fixed stop nearer
    _edgekeeper_has_fixed_stop: bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Follow the hooks that a strategy defines itself, which would hide the mixin's."""
        super().__init_subclass__(**kwargs)
        if cls.edgekeeper_scales_stoploss and not _moves_its_stop(cls):
            cls._edgekeeper_has_fixed_stop = cls.use_custom_stoploss = True  # type: ignore[attr-defined]
            cls.custom_stoploss = _no_stop_of_its_own  # type: ignore[attr-defined]
        for name, adjust in _FOLLOWED.items():
            own = getattr(cls, name, None)
            if own is not None and not hasattr(own, "__edgekeeper__"):
                follow = _followed_by(adjust, even_failed=adjust is _note_fill)
                setattr(cls, name, follow(own))

    # --- what a strategy may override ---

    def edgekeeper_scope(
        self,
        pair: str,  # noqa: ARG002
        current_time: datetime,  # noqa: ARG002
        side: Side | str,  # noqa: ARG002
        enter_tag: str | None,  # noqa: ARG002
    ) -> Mapping[str, Any]:
        """Return what a strategy knows of the market context: ``{"bucket": "micro"}``.

        Timeframe, side, exchange and trading mode are known already; what is returned here goes
        before them, and None says that a dimension is not known. Called at every decision.
        """
        return {}

    def edgekeeper_signals(
        self,
        pair: str,  # noqa: ARG002
        current_time: datetime,  # noqa: ARG002
        side: Side | str,  # noqa: ARG002
        enter_tag: str | None,  # noqa: ARG002
    ) -> Mapping[str, float]:
        """Return the values of the signals that a decision saw, to be recorded with it."""
        return {}

    # --- what a strategy may ask ---

    def edgekeeper_exit_aggression(self, trade: Any, current_time: datetime) -> float:
        """Return the exit_aggression_mult of a trade, 0.8 to 1.2; 1 where there is none.

        Above 1 means to leave sooner. For a strategy's ``custom_exit``; the distance of its
        ``custom_stoploss`` is divided by it already.
        """
        try:
            entry = _entry_of(self, trade)
            scope = _scope(self, trade.pair, current_time, side_of(trade), trade.enter_tag)
            adjusted = apply_pattern_strength_overrides(
                entry.pattern_key, "exit", scope, {"E_value": _HALF}, trade_id=entry.trade_id
            )
            return float(adjusted["E_value"]) / _HALF
        except Exception as error:  # the caller is in the order path
            _say(self, f"exit aggression: {type(error).__name__}: {error}")
            return 1.0

    def edgekeeper_mode(self) -> str:
        """Return freqtrade's mode: live, dry_run, backtest, hyperopt, …; other where unknown."""
        config = getattr(self, "config", None) or {}
        mode = config.get("runmode", "other")
        return str(getattr(mode, "value", mode))

    def _edgekeeper_known_scope(self, side: str) -> dict[str, Any]:
        config = getattr(self, "config", None) or {}
        trading_mode = config.get("trading_mode") or "spot"
        return {
            "timeframe": getattr(self, "timeframe", None),
            "side": side,
            "exchange": (config.get("exchange") or {}).get("name"),
            "trading_mode": str(getattr(trading_mode, "value", trading_mode)),
        }

    # --- freqtrade's hooks ---

    @_followed_by(_start)
    def bot_start(self, **kwargs: Any) -> None:
        """Start recording and following the overrides, after the strategy's own start."""
        _next_hook(self, "bot_start", lambda **_: None)(**kwargs)

    @_followed_by(_scale_stake)
    def custom_stake_amount(self, *args: Any, **kwargs: Any) -> Any:
        """Scale the stake that the strategy, or else freqtrade, proposes for an entry."""
        proposed = _next_hook(self, "custom_stake_amount", lambda **asked: asked["proposed_stake"])
        return proposed(*args, **kwargs)

    @_followed_by(_note_fill, even_failed=True)
    def order_filled(self, *args: Any, **kwargs: Any) -> None:
        """Record what an order did."""
        _next_hook(self, "order_filled", lambda *_, **__: None)(*args, **kwargs)


def _moves_its_stop(strategy: type) -> bool:
    """Whether a strategy moves its stop while a trade is open, by a hook or as freqtrade trails."""
    if any(getattr(strategy, name, False) for name in ("use_custom_stoploss", "trailing_stop")):
        return True
    own = getattr(strategy, "custom_stoploss", None)
    return own is not None and not own.__module__.startswith("freqtrade.")


def _no_stop_of_its_own(
    self: EdgekeeperMixin,  # noqa: ARG001
    pair: str,  # noqa: ARG001
    trade: Any,  # noqa: ARG001
    current_time: datetime,  # noqa: ARG001
    current_rate: float,  # noqa: ARG001
    current_profit: float,  # noqa: ARG001
    **kwargs: Any,  # noqa: ARG001
) -> float | None:
    """The ``custom_stoploss`` of a strategy with a fixed stop: it stays where it is."""
    return None


def _next_hook(strategy: EdgekeeperMixin, name: str, otherwise: Hook) -> Hook:
    """The hook of the class after the mixin."""
    found: Hook = getattr(super(EdgekeeperMixin, strategy), name, otherwise)
    return found


_FOLLOWED: Final[Mapping[str, Callable[..., Any]]] = {
    "bot_start": _start,
    "custom_stake_amount": _scale_stake,
    "adjust_trade_position": _scale_add,
    "custom_stoploss": _scale_stop,
    "order_filled": _note_fill,
}
