from __future__ import annotations

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, make_url

from learning.errors import DecisionRefused
from learning.store import switch_rows
from learning.store.database import create_engine, transaction
from learning.store.schema import people


def test_overrides_are_on_at_first(connection: Connection) -> None:
    switch = switch_rows.read_switch(connection)
    assert (switch.overrides_on, switch.switch_revision) == (True, 0)


@pytest.mark.parametrize("reason", ["", "bug", "a longer reason"])
def test_switching_off_is_one_step(connection: Connection, reason: str) -> None:
    switch = switch_rows.set_switch(connection, on=False, actor="ann", reason=reason)
    assert switch == switch_rows.read_switch(connection)
    assert (switch.overrides_on, switch.changed_by, switch.switch_revision) == (False, "ann", 1)
    assert switch.reason


@pytest.mark.parametrize("confirmation", ["", "enable", "ENABLE ", "yes"])
def test_switching_on_needs_the_typed_word(connection: Connection, confirmation: str) -> None:
    switch_rows.set_switch(connection, on=False, actor="ann", reason="")
    with pytest.raises(DecisionRefused, match="typed word ENABLE"):
        switch_rows.set_switch(
            connection, on=True, actor="ann", reason="all is well again", confirmation=confirmation
        )
    assert not switch_rows.read_switch(connection).overrides_on


def test_switching_on_needs_a_reason(connection: Connection) -> None:
    with pytest.raises(DecisionRefused, match="reason of at least 10"):
        switch_rows.set_switch(
            connection, on=True, actor="ann", reason="well", confirmation="ENABLE"
        )


def test_every_turn_is_kept(connection: Connection) -> None:
    off = switch_rows.set_switch(connection, on=False, actor="ann", reason="odd fills")
    on = switch_rows.set_switch(
        connection, on=True, actor="bob", reason="fills were fine", confirmation="ENABLE"
    )
    assert on.overrides_on
    assert switch_rows.read_switch_history(connection) == [on, off]


def test_with_people_listed_a_viewer_turns_nothing(connection: Connection) -> None:
    listed = [{"name": "vic", "role": "viewer"}, {"name": "abe", "role": "approver"}]
    connection.execute(sa.insert(people), listed)
    for actor in ("vic", "mallory"):
        with pytest.raises(DecisionRefused, match="may not decide"):
            switch_rows.set_switch(connection, on=False, actor=actor, reason="")
    assert not switch_rows.set_switch(connection, on=False, actor="abe", reason="").overrides_on


def test_bots_are_told(fresh_database: str) -> None:
    engine = create_engine(fresh_database)
    plain = make_url(fresh_database).set(drivername="postgresql").render_as_string(False)
    with psycopg.connect(plain, autocommit=True) as listener:
        listener.execute("LISTEN edgekeeper_overrides")
        with transaction(engine) as connection:
            switch_rows.set_switch(connection, on=False, actor="ann", reason="")
        assert len(list(listener.notifies(timeout=10, stop_after=1))) == 1
    engine.dispose()
