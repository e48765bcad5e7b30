"""Who changes the list of people, and that it never loses its last admin."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import Connection

from learning.errors import DecisionRefused
from learning.store import people_rows, state_rows
from learning.store.database import create_engine, transaction
from learning.store.people_rows import Role, remove_person, set_person


def roles(connection: Connection) -> dict[str, Role]:
    return {one.name: one.role for one in people_rows.read_people(connection)}


def test_anyone_lists_the_first_admin_and_only_an_admin_the_next(connection: Connection) -> None:
    set_person(connection, "ada", "admin", actor="whoever")
    set_person(connection, "abe", "approver", actor="ada")
    for actor in ("whoever", "abe", "ADA"):
        with pytest.raises(DecisionRefused, match="may not change who is listed"):
            set_person(connection, "mallory", "admin", actor=actor)
        with pytest.raises(DecisionRefused, match="may not change who is listed"):
            remove_person(connection, "ada", actor=actor)
    assert roles(connection) == {"abe": "approver", "ada": "admin"}


@pytest.mark.parametrize("role", ["viewer", "approver"])
def test_the_first_one_listed_is_an_admin(connection: Connection, role: Role) -> None:
    with pytest.raises(DecisionRefused, match="one has to be admin"):
        set_person(connection, "ann", role, actor="ann")
    assert roles(connection) == {}


def test_who_is_listed_for_a_moment_leaves_a_trace(connection: Connection) -> None:
    set_person(connection, "ada", "admin", actor="ada")
    set_person(connection, "eve", "viewer", actor="ada")
    set_person(connection, "eve", "approver", actor="ada")
    set_person(connection, "eve", "approver", actor="ada")  # it is so already
    remove_person(connection, "eve", actor="ada")
    told = [
        (one.rule, one.value_before, one.value_after, one.changed_by, one.reason)
        for one in state_rows.read_rule_changes(connection)
    ]
    assert told == [
        ("role of eve", "approver", "nobody", "ada", "taken off the list"),
        ("role of eve", "viewer", "approver", "ada", "another role"),
        ("role of eve", "nobody", "viewer", "ada", "listed"),
        ("role of ada", "nobody", "admin", "ada", "listed"),
    ]


def test_the_last_admin_goes_last(connection: Connection) -> None:
    set_person(connection, "ada", "admin", actor="ada")
    set_person(connection, "vic", "viewer", actor="ada")
    with pytest.raises(DecisionRefused, match="one has to be admin"):
        remove_person(connection, "ada", actor="ada")
    with pytest.raises(DecisionRefused, match="one has to be admin"):
        set_person(connection, "ada", "approver", actor="ada")
    assert roles(connection) == {"ada": "admin", "vic": "viewer"}
    remove_person(connection, "vic", actor="ada")
    remove_person(connection, "ada", actor="ada")
    assert roles(connection) == {}


def test_two_admins_do_not_remove_each_other(fresh_database: str) -> None:
    engine = create_engine(fresh_database)
    with transaction(engine) as connection:
        for name in ("ada", "eve"):
            set_person(connection, name, "admin", actor="ada")
        set_person(connection, "vic", "viewer", actor="ada")
    said: list[str] = []

    def remove_ada() -> None:
        try:
            with transaction(engine) as connection:
                remove_person(connection, "ada", actor="eve")
        except DecisionRefused as error:
            said.append(str(error))

    with transaction(engine) as connection:
        remove_person(connection, "eve", actor="ada")
        other = threading.Thread(target=remove_ada)
        other.start()
        other.join(timeout=0.3)
        assert other.is_alive()  # it waits for the first
    other.join(timeout=10)
    assert said == ["'eve' may not change who is listed: this takes the role admin"]
    with transaction(engine) as connection:
        assert roles(connection) == {"ada": "admin", "vic": "viewer"}
    engine.dispose()


def test_a_wrong_name_or_role_is_told(connection: Connection) -> None:
    with pytest.raises(DecisionRefused, match="a person needs a name"):
        set_person(connection, " ", "admin", actor="ada")
    with pytest.raises(DecisionRefused, match="role must be viewer, approver or admin, got 'god'"):
        set_person(connection, "ada", "god", actor="ada")  # type: ignore[arg-type]
    with pytest.raises(DecisionRefused, match="the name of who changes them"):
        set_person(connection, "ada", "admin", actor="")
    with pytest.raises(DecisionRefused, match="nobody is listed as 'bob'"):
        remove_person(connection, "bob", actor="ada")
