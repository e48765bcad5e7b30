"""The one outcome that all evidence rests on: chosen by a person or by the first mining run."""

from __future__ import annotations

from sqlalchemy import Connection

from learning.errors import ConfigError
from learning.evidence.outcome_choice import chosen_outcome
from learning.settings import Settings
from learning.store import outcome_rows, state_rows


def provisional_outcome(connection: Connection, settings: Settings) -> str | None:
    """Return the analysed outcome, else what today's trades would choose; None without trades.

    Nothing is stored: the first few trades to arrive must not settle for good what only the
    first mining run decides.

    Raises:
        ConfigError: If the setting asks for another outcome than the one chosen before, or
            none can be chosen.
    """
    stored = state_rows.read_state(connection).outcome
    if stored is not None:
        if settings.outcome not in (None, stored):
            raise ConfigError(
                f"EDGEKEEPER_OUTCOME asks for {settings.outcome}, but this database analyses "
                f"{stored}; ./run outcome {settings.outcome} --reason … changes it and sends "
                "every lesson back to proposed"
            )
        return stored
    trades_with, n_trades = outcome_rows.count_outcomes(connection, settings.origins)
    if n_trades == 0:
        return None
    try:
        return chosen_outcome(trades_with, n_trades=n_trades, asked=settings.outcome)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def analysed_outcome(connection: Connection, settings: Settings) -> str | None:
    """Return the analysed outcome; choose and store it where none is; None without trades.

    For mining alone: every other job reads the ``provisional_outcome``.

    Raises:
        ConfigError: As for ``provisional_outcome``.
    """
    outcome = provisional_outcome(connection, settings)
    if outcome is not None and state_rows.read_state(connection).outcome is None:
        chosen_by = "rule" if settings.outcome is None else "EDGEKEEPER_OUTCOME"
        state_rows.choose_outcome(connection, outcome, chosen_by=chosen_by)
        return state_rows.read_state(connection).outcome  # the other module may have been first
    return outcome
