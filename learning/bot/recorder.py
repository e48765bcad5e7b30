"""What a bot reports: its actions as it takes them, its positions as they close.

Recording only takes a note; a thread delivers. It never waits for the database and never raises
into the bot. What the database cannot take now waits in a local file and is delivered later, once:
each strand carries a key of its own. Between a note and its delivery, mostly a fraction of a
second, a crash of the bot's process loses it; ``stop`` loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from learning.bot.bot_settings import bot_settings, existing_database
from learning.bot.delivering import Deliverer, Note
from learning.bot.own_actions import OwnActions, completed
from learning.bot.price_path import OhlcvBar, with_path
from learning.bot.spool import Spool
from learning.bot.strand_text import as_instant, delivery, header, instant, signals, times_zoned
from learning.domain.pattern_key import Module
from learning.domain.regime import RegimeContext, build_scope, cap_bucket
from learning.store.delivery_rows import Delivery

Origin = Literal["live", "dry_run", "backtest", "simulated"]
Horizon = Literal["macro", "meso", "micro"]


@dataclass(frozen=True, slots=True)
class RecorderStatus:
    """How delivery is doing; ``problem`` is the last failure, None after a delivery."""

    is_running: bool
    n_waiting: int
    n_delivered: int
    n_spooled: int
    n_dropped: int
    problem: str | None


def start_recorder(
    database_url: str | None = None,
    *,
    bot: str,
    origin: Origin = "live",
    spool: Path | None = None,
    home: Path | None = None,
) -> Recorder:
    """Start delivering what a bot records, in a thread of its own, until ``stop``.

    Args:
        database_url: PostgreSQL URL; None: DATABASE_URL of the environment, else the embedded
            server in the home folder, which must have been made.
        bot: Name of the account or instance.
        origin: live, dry_run, backtest or simulated.
        spool: File for what the database cannot take; by default ``spool/<bot>.jsonl`` in the
            home folder. What an earlier run left there is delivered first.
        home: Home folder; None: EDGEKEEPER_HOME of the environment.

    Raises:
        ConfigError: If the URL is none of PostgreSQL, or another setting breaks its rule.
        DatabaseUnavailable: If no URL is named and the home folder holds no database, or its
            server does not come up.
    """
    settings = bot_settings(database_url=database_url, home=home)
    plain = "".join(sign if sign.isalnum() or sign in "-_" else "_" for sign in bot)
    recorder = Recorder(
        existing_database(settings),
        bot=bot,
        origin=origin,
        spool=Spool(spool or settings.home / "spool" / f"{plain}.jsonl"),
    )
    recorder.start()
    return recorder


class Recorder:
    """Takes notes from any thread of the bot; made by ``start_recorder``."""

    def __init__(self, url: str, *, bot: str, origin: Origin, spool: Spool) -> None:
        self._bot = str(header(bot))
        self._origin = origin
        self._own_actions = OwnActions()
        self._deliverer = Deliverer(url, bot=self._bot, spool=spool)

    # --- what the bot calls ---

    def record_action(
        self,
        *,
        trade_id: str,
        pattern_key: str | None = None,
        family: str | None = None,
        state: str | None = None,
        motif: str | None = None,
        action_category: str | None = None,
        decision_type: str | None = None,
        scope: Mapping[str, Any] | None = None,
        signals_seen: Mapping[str, float] | None = None,
        applied_knobs: Mapping[str, Any] | None = None,
        ts: datetime | str | None = None,
        position_id: str | None = None,
        module: Module = "pm",
        regime_context: RegimeContext | Mapping[str, Any] | None = None,
        bucket: str | None = None,
    ) -> UUID | None:
        """Note an action of the bot.

        Args:
            trade_id: Names the trade until its close, with ``position_id`` where it has several
                positions, each with a close and an outcome of its own; an action that names none
                then belongs to all of them. The same id of another bot or origin is another trade.
            pattern_key: Such as ``pm.uptrend.S1.buy_flag``; or instead its parts ``family``,
                ``state`` and ``motif``: ``uptrend``, ``S1``, ``buy_flag``.
            action_category: entry, add, trim or exit; or instead a ``decision_type``, the bot's
                own word such as ``emergency_exit``.
            scope: As from ``build_scope``; what is unknown is left out. Without one it is built
                from ``regime_context`` and ``bucket``, the cap bucket of the token.
            signals_seen: Signal values; one that is not finite is left out as absent.
            applied_knobs: The knobs as applied, after overrides.
            ts: When it was decided, by default now. A time without a zone is UTC.
            module: pm, or dm for an allocation; ``regime_context`` where it is known.

        Returns:
            The key of the strand, None where no note could be taken. What breaks a rule is not
            refused here but quarantined with its reason, where people see it.
        """
        try:
            content = {
                "pattern_key": _pattern_key(pattern_key, module, family, state, motif),
                **_decision(action_category, decision_type),
                "scope": _scope(scope, regime_context, bucket),
                "controls": _controls(signals_seen, applied_knobs),
                "ts": as_instant(datetime.now(UTC) if ts is None else ts),
            }
            ids = (trade_id, position_id)
            made = self._written(f"{module}_action", module, content, ids, regime_context)
            self._own_actions.add(made)
            return self._take(Note(made))
        except Exception as error:  # the bot must not fall over its diary; the status tells
            return self._lost(error)

    def record_position_closed(
        self,
        *,
        trade_id: str,
        trade_summary: Mapping[str, Any],
        completed_trades: Sequence[Mapping[str, Any]] | None = None,
        entry_context: Mapping[str, Any] | None = None,
        position_id: str | None = None,
        module: Module = "pm",
        regime_context: RegimeContext | Mapping[str, Any] | None = None,
        path: Sequence[OhlcvBar] | None = None,
    ) -> UUID | None:
        """Note that a position closed, with its outcome.

        Each completed trade gets the pattern, category, scope and controls of the trade's own
        actions: those recorded here, or by an earlier run of this bot.

        Args:
            trade_id: As given with its actions.
            trade_summary: ``opened_at`` and ``closed_at`` (times or ISO-8601 text), and one of
                ``r_multiple``, ``r_multiple_net``, ``rr_path``, ``return_pct`` (percent), the last
                with ``initial_stop`` and ``entry_price`` or ``max_drawdown_pct``; optional
                ``symbol``, ``side``, ``risk_amount``, ``pnl_amount``, ``currency``, and more.
            completed_trades: The bot's own list of what it did; by default its recorded actions.
            entry_context: Scope, controls and pattern of the entry, where no action was recorded.
            position_id: As given with its actions; so is ``module``.
            regime_context: The regime at the close, where known.
            path: The candles while it was open, as exchanges give them: open time (milliseconds
                since 1970 or a datetime), open, high, low, close, volume. From them come what the
                summary does not say: the return, the worst adverse excursion (and with both
                rr_path), and where ``initial_stop`` is known payback, mfe_r, mae_r,
                could_enter_better and could_exit_better. Where they cannot be used, the summary's
                ``path_reason`` says why, and all else is recorded.

        Returns:
            The key of the strand; None where not even a note could be taken.
        """
        try:
            closed = str(header(trade_id)), header(position_id)
            own = self._own_actions.of(*closed)
            content = {
                "trade_id": header(trade_id),
                "entry_context": dict(entry_context or {}),
                "trade_summary": times_zoned(
                    with_path(trade_summary, path), "opened_at", "closed_at"
                ),
                "completed_trades": completed([_listed(e) for e in completed_trades or ()], own),
            }
            ids = (trade_id, position_id)
            made = self._written("position_closed", module, content, ids, regime_context)
            taken = self._take(Note(made, None if own or made.content is None else content))
            if taken is not None:
                self._own_actions.forget(*closed)
            return taken
        except Exception as error:  # as above
            return self._lost(error)

    def record_phase(
        self,
        *,
        phase: str,
        horizon: Horizon,
        bucket: str = "market",
        score: float | None = None,
        observed_at: datetime | None = None,
    ) -> UUID | None:
        """Note the phase of a cap bucket, or of the whole market, as the bot's tracker sees it.

        Args:
            phase: Good, Recover, Dip, Double-Dip, Oh-Shit, Euphoria, Chop, or another.
            horizon: macro, meso or micro.
            bucket: A cap bucket; by default the whole market.
            score: Ranks the buckets against each other at the meso horizon, the highest leads.
            observed_at: By default now. Of the same bucket, horizon and moment the first stays.

        Returns:
            A key of the note, None where none could be taken.
        """
        columns = {"bucket": bucket, "horizon": horizon, "phase": phase, "score": score}
        return self._observed("phase_observed", columns, observed_at)

    def record_token_bucket(
        self,
        *,
        symbol: str,
        bucket: str | None = None,
        market_cap_usd: float | None = None,
        observed_at: datetime | None = None,
    ) -> UUID | None:
        """Note the cap bucket of a token, as the bot's tracker sees it.

        Args:
            symbol: As the bot names the token.
            bucket: Its cap bucket; by default that of its market cap.
            market_cap_usd: Dollars.
            observed_at: By default now. Of the same token and moment the first stays.

        Returns:
            A key of the note, None where none could be taken.
        """
        try:
            if bucket is None and market_cap_usd is not None:
                bucket = cap_bucket(market_cap_usd)
        except Exception as error:
            return self._lost(error)
        columns = {"symbol": symbol, "bucket": bucket, "market_cap_usd": market_cap_usd}
        return self._observed("token_bucket_observed", columns, observed_at)

    def status(self) -> RecorderStatus:
        """Say how delivery is doing."""
        made = self._deliverer
        return RecorderStatus(
            is_running=made.is_running,
            n_waiting=made.n_waiting,
            n_delivered=made.n_delivered,
            n_spooled=made.n_spooled,
            n_dropped=made.n_dropped,
            problem=made.problem,
        )

    def start(self) -> None:
        """Start delivering; what ``start_recorder`` does last."""
        self._deliverer.start()

    def stop(self, *, timeout_s: float = 10.0) -> None:
        """Deliver what was noted, and end; after ``timeout_s`` the spool keeps what is left."""
        self._deliverer.stop(timeout_s=timeout_s)

    def _observed(
        self, kind: str, columns: Mapping[str, Any], observed_at: datetime | None
    ) -> UUID | None:
        try:
            at = datetime.fromisoformat(instant(observed_at))  # PostgreSQL takes "yesterday" too
            content = {**columns, "observed_at": instant(at)}
            made = self._written(kind, "pm", content, (None, None), None)
            if made.content is None:
                raise ValueError(f"{kind} must be plain text and numbers, got {dict(columns)!r}")
            return self._take(Note(made))
        except Exception as error:  # as above
            return self._lost(error)

    def _written(
        self,
        kind: str,
        module: str,
        content: Mapping[str, Any],
        ids: tuple[object, object],
        regime_context: object,
    ) -> Delivery:
        """Write a strand down as it is now: the bot may go on changing what it passed."""
        trade_id, position_id = ids
        return delivery(
            kind=kind,
            module=module,
            bot=self._bot,
            origin=self._origin,
            content=content,
            position_id=position_id,
            trade_id=trade_id,
            regime_context=regime_context,
        )

    def _take(self, note: Note) -> UUID | None:
        return note.delivery.strand_key if self._deliverer.take(note) else None

    def _lost(self, error: Exception) -> UUID | None:
        self._deliverer.lose(error)
        return None


def _scope(
    given: Mapping[str, Any] | None,
    context: RegimeContext | Mapping[str, Any] | None,
    bucket: str | None,
) -> dict[str, Any]:
    """The scope of an action: the given one, else what the regime and the bucket say."""
    if given is not None or (context is None and bucket is None):
        return dict(given or {})
    if not isinstance(context, RegimeContext):
        known = {each.name for each in fields(RegimeContext)}
        said = dict(context or {})
        context = RegimeContext(**{name: said[name] for name in known & said.keys()})
    return dict(build_scope(context, bucket=bucket))


def _pattern_key(
    given: str | None, module: str, family: str | None, state: str | None, motif: str | None
) -> str | None:
    if given is not None or (family is None and state is None and motif is None):
        return given
    return f"{module}.{family}.{state}.{motif}"


def _decision(action_category: str | None, decision_type: str | None) -> dict[str, str]:
    named = {"action_category": action_category, "decision_type": decision_type}
    return {name: value for name, value in named.items() if value is not None}


def _controls(
    signals_seen: Mapping[str, float] | None, applied_knobs: Mapping[str, Any] | None
) -> dict[str, Any]:
    return {"signals": signals(signals_seen or {}), "applied_knobs": dict(applied_knobs or {})}


def _listed(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A completed trade, its times with their zone."""
    context = entry.get("action_context")
    if isinstance(context, Mapping):
        entry = {**entry, "action_context": times_zoned(context, "ts")}
    return times_zoned(entry, "ts")
