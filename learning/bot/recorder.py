"""What a bot reports: its actions as it takes them, its positions as they close.

Recording only takes a note; a thread delivers. It never waits for the database and never raises
into the bot. What the database cannot take now waits in a local file and is delivered later, once:
each strand carries a key of its own. Between a note and its delivery, mostly a fraction of a
second, a crash of the bot's process loses it; ``stop`` loses nothing.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal
from uuid import UUID

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from learning.bot.bot_settings import bot_settings, existing_database
from learning.bot.own_actions import OwnActions, completed, missing_fields_filled
from learning.bot.spool import Spool
from learning.bot.strand_text import delivery, header, instant, json_text, signals
from learning.domain.pattern_key import Module
from learning.errors import LearningError
from learning.store.copying import REFUSED
from learning.store.database import create_engine, transaction
from learning.store.delivery_rows import Delivery, actions_of_trade, deliver

Origin = Literal["live", "dry_run", "backtest", "simulated"]
_CAPACITY: Final = 100_000
_BATCH: Final = 500
_RETRY_S: Final = (0.5, 1.0, 2.0, 5.0)
_STATEMENT_TIMEOUT_MS: Final = 10_000
_AWAY: Final = (SQLAlchemyError, psycopg.Error, LearningError)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Note:
    """A strand to deliver; a close may wait for the actions of an earlier run of the bot."""

    delivery: Delivery
    content: Mapping[str, Any] | None = None  # of a close whose actions are not known here


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
        self._url = url
        self._bot = str(header(bot))
        self._origin = origin
        self._spool = spool
        self._notes: deque[_Note] = deque()
        self._own_actions = OwnActions()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edgekeeper recorder", daemon=True)
        self._engine: Engine | None = None
        self._n_delivered = self._n_spooled = self._n_dropped = 0
        self._problem: str | None = None

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
        regime_context: object = None,
    ) -> UUID | None:
        """Note an action of the bot.

        Args:
            trade_id: Names the trade until its close, with ``position_id`` where it has several.
            pattern_key: Such as ``pm.uptrend.S1.buy_flag``; or instead its parts ``family``,
                ``state`` and ``motif``: ``uptrend``, ``S1``, ``buy_flag``.
            action_category: entry, add, trim or exit; or instead a ``decision_type``, the bot's
                own word such as ``emergency_exit``.
            scope: As from ``build_scope``; what is unknown is left out.
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
                "scope": dict(scope or {}),
                "controls": _controls(signals_seen, applied_knobs),
                "ts": instant(ts),
            }
            ids = (trade_id, position_id)
            made = self._written(f"{module}_action", module, content, ids, regime_context)
            self._own_actions.add(made)
            return self._take(_Note(made))
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
        regime_context: object = None,
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

        Returns:
            The key of the strand; None where not even a note could be taken.
        """
        try:
            own = self._own_actions.take(str(header(trade_id)))
            content = {
                "trade_id": header(trade_id),
                "entry_context": dict(entry_context or {}),
                "trade_summary": _times_as_text(trade_summary),
                "completed_trades": completed(completed_trades, own),
            }
            ids = (trade_id, position_id)
            made = self._written("position_closed", module, content, ids, regime_context)
            return self._take(_Note(made, None if own or made.content is None else content))
        except Exception as error:  # as above
            return self._lost(error)

    def status(self) -> RecorderStatus:
        """Say how delivery is doing."""
        return RecorderStatus(
            is_running=self._thread.is_alive(),
            n_waiting=len(self._notes),
            n_delivered=self._n_delivered,
            n_spooled=self._n_spooled,
            n_dropped=self._n_dropped,
            problem=self._problem,
        )

    def start(self) -> None:
        """Start the thread; what ``start_recorder`` does last."""
        self._thread.start()

    def stop(self, *, timeout_s: float = 10.0) -> None:
        """Deliver or spool what was noted, and end the thread."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(timeout_s)

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

    def _take(self, note: _Note) -> UUID | None:
        if len(self._notes) >= _CAPACITY:
            return self._lost(MemoryError(f"{_CAPACITY} strands wait to be delivered"))
        self._notes.append(note)
        self._wake.set()
        return note.delivery.strand_key

    def _lost(self, error: Exception) -> UUID | None:
        self._n_dropped += 1
        self._note_problem(error)
        return None

    # --- the thread ---

    def _run(self) -> None:
        n_failures = 0
        while True:
            self._wake.clear()  # before looking: what comes from here on wakes it again
            is_last = self._stopping.is_set()
            try:
                self._deliver_all()
                n_failures = 0
            except Exception as error:  # the thread must outlive whatever happens to it
                self._note_problem(error)
                self._forget_engine()
                self._save_all()
                n_failures += 1
            if is_last:
                self._forget_engine()
                return
            if n_failures:
                self._stopping.wait(_RETRY_S[min(n_failures, len(_RETRY_S)) - 1])
            else:
                self._wake.wait()

    def _deliver_all(self) -> None:
        """Deliver the spool, then the notes; on a failure every one of them is still there."""
        self._n_delivered += self._spool.drain(self._deliver)
        while self._notes:
            n = min(len(self._notes), _BATCH)
            for i in range(n):
                self._notes[i] = self._with_actions(self._notes[i])
            self._deliver([self._notes[i].delivery for i in range(n)])
            for _ in range(n):
                self._notes.popleft()
            self._n_delivered += n
        self._problem = None

    def _deliver(self, deliveries: Sequence[Delivery]) -> None:
        try:
            self._insert(deliveries)
        except REFUSED:
            for one in deliveries:
                self._insert_or_refuse(one)

    def _insert(self, deliveries: Sequence[Delivery]) -> None:
        with transaction(
            self._connected(), statement_timeout_ms=_STATEMENT_TIMEOUT_MS
        ) as connection:
            deliver(connection, deliveries)

    def _insert_or_refuse(self, one: Delivery) -> None:
        """Insert one strand; where its content is refused, as the bytes it was."""
        try:
            self._insert([one])
        except REFUSED as error:
            self._note_problem(error)
            raw = one.raw if one.raw is not None else (one.content or "").encode()
            try:
                self._insert([replace(one, content=None, regime_context=None, raw=raw)])
            except REFUSED as again:
                self._lost(again)
                self._n_delivered -= 1  # the caller counts it as delivered

    def _with_actions(self, note: _Note) -> _Note:
        """Complete a close by the actions that an earlier run of this bot delivered."""
        if note.content is None:
            return note
        with transaction(
            self._connected(), statement_timeout_ms=_STATEMENT_TIMEOUT_MS
        ) as connection:
            known = actions_of_trade(connection, self._bot, str(note.delivery.trade_id))
        listed = missing_fields_filled(note.content["completed_trades"], known)
        text = json_text({**note.content, "completed_trades": listed})
        return _Note(note.delivery if text is None else replace(note.delivery, content=text))

    def _save_all(self) -> None:
        """Move the notes to the spool: a file outlives this process."""
        n = len(self._notes)
        try:
            self._spool.append([self._notes[i].delivery for i in range(n)])
        except OSError as error:
            self._note_problem(error)  # they stay in memory
            return
        for _ in range(n):
            self._notes.popleft()
        self._n_spooled += n

    def _connected(self) -> Engine:
        if self._engine is None:
            self._engine = create_engine(
                self._url, application_name="edgekeeper recorder", pool_size=1
            )
        return self._engine

    def _forget_engine(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            with suppress(*_AWAY):
                engine.dispose()

    def _note_problem(self, error: Exception) -> None:
        origin = error.orig if isinstance(error, DBAPIError) else error
        with suppress(Exception):
            said = f"{type(origin).__name__}: {origin}".splitlines()[0][:300]
            if said != self._problem:
                _log.warning("recorder: %s", said)
            self._problem = said


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


def _times_as_text(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: instant(value) if isinstance(value, datetime) else value
        for name, value in summary.items()
    }
