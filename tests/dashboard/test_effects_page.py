"""Effects over time, arm against arm; what overrides speak about, and which need a look."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine
from streamlit.testing.v1 import AppTest

from dashboard.effect_card import told
from dashboard.figures.arm_spread import arm_spread, draw_arm_spread
from dashboard.figures.exposure import draw_exposure, exposure
from dashboard.screens.inspect_overrides import clear_effects, flags
from dashboard.theme import DARK, LIGHT
from jobs.measure_effects import measure_module
from learning.store import effect_rows, job_rows
from tests.dashboard.conftest import words_of
from tests.jobs.test_measure_effects import SETTINGS, randomised
from tests.learning.store.stored_lessons import store_override

Open = Callable[..., AppTest]
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def measured(connection: Connection) -> int:
    lesson_id = randomised(connection, effect_rr=0.6, seed=3, n=300)
    effects, _ = measure_module(connection, "pm", SETTINGS, job_rows.database_now(connection))
    effect_rows.write(connection, effects)
    connection.execute(
        sa.text("UPDATE edgekeeper_state SET outcome = 'r_multiple', data_version = 5")
    )
    return lesson_id


def test_a_chosen_effect_shows_its_arms_balance_and_ratio(
    open_page: Open, engine_of_page: Engine
) -> None:
    with engine_of_page.begin() as connection:
        lesson_id = measured(connection)
    page = open_page("judge_effects.py", measure="treated against held out",
                     id=f"L-{lesson_id:04d}")  # fmt: skip
    assert not page.exception
    said = words_of(page).replace("\\", "")
    assert "R per trade, 95 %" in said
    assert "of 300 treated where 240 were to be expected" in said
    balance = next(one.value for one in page.dataframe if "condition" in one.value)
    assert balance.empty  # these decisions carry no scope


def test_an_effect_says_how_many_trades_are_missing(
    open_page: Open, engine_of_page: Engine
) -> None:
    with engine_of_page.begin() as connection:
        measured(connection)
    page = open_page("judge_effects.py", measure="treated against held out")
    table = next(one.value for one in page.dataframe if "missing" in one.value)
    [missing] = table["missing"]
    assert missing == "clear" or missing.startswith(("about ", "more than "))
    assert "Select one to see it over time" in words_of(page)


def test_arms_are_cut_alike_and_named_with_their_trades() -> None:
    rr = np.concatenate([np.full(80, 1.0), np.full(20, -1.0), [500.0]])
    trades = pd.DataFrame({"rr": rr, "treated": [True] * 80 + [False] * 20 + [True]})
    shown = arm_spread(trades)
    assert shown.cut_rr == pytest.approx(1.0)
    assert shown.mean_rr == {"treated": 1.0, "held out": -1.0}
    assert shown.alt.startswith("Outcomes by arm: treated 81 trades, mean +1.00 R")
    for palette in (DARK, LIGHT):
        figure = draw_arm_spread(shown, palette)
        assert [one.name for one in figure.data] == ["treated, n 81", "held out, n 20"]
        assert figure.layout.xaxis.title.text == "outcome (R)"


def test_exposure_is_a_share_of_all_trades() -> None:
    rows = pd.DataFrame({"lesson_id": [7, 8], "setup": ["a.b", "<b>c"], "n": [30, 0]})
    shown = exposure(rows, n_trades=120, days=30)
    assert shown.share == (0.25, 0.0)
    assert "30 trades of 120 in 30 d, 25.0 %" in shown.hover[0]
    assert "&lt;b&gt;c" in shown.hover[1]
    bar = draw_exposure(shown, DARK).data[0]
    assert list(bar.x) == [25.0, 0.0]
    assert exposure(rows, n_trades=0, days=30).share == (0.0, 0.0)


@pytest.mark.parametrize(
    ("age", "left", "half_life_h", "touched", "expected"),
    [
        (timedelta(days=1), timedelta(days=20), None, 0, []),
        (timedelta(days=10), timedelta(days=20), None, 5, []),
        (timedelta(days=10), timedelta(days=20), None, 0, ["never matched in 10 d"]),
        (timedelta(days=10), timedelta(days=2), 24.0 * 9, 5, ["ends in 2 d", "past its half-life"]),
        (timedelta(days=30), timedelta(0), None, 5, ["expired"]),
    ],
)
def test_an_override_is_flagged_for_its_end_its_age_and_what_it_never_met(
    age: timedelta, left: timedelta, half_life_h: float | None, touched: int, expected: list[str]
) -> None:
    override = {
        "activated_at": NOW - age, "expires_at": NOW + left, "decay_halflife_hours": half_life_h,
    }  # fmt: skip
    assert flags(override, touched=touched, now=NOW) == expected


def test_only_what_is_clear_of_zero_is_told_of_an_override() -> None:
    rows = [(1, "uplift", "helps", 0.03, 0.15), (1, "delta_rr", "not clear yet", None, None),
            (2, "edge_since_activation", "hurts", -0.9, -0.1)]  # fmt: skip
    columns = ["lesson_id", "measure", "verdict", "ci_low_rr", "ci_high_rr"]
    assert clear_effects(pd.DataFrame(rows, columns=columns)) == {
        1: "size helps [+0.03, +0.15] R",
        2: "edge since hurts [-0.90, -0.10] R",
    }


def test_overrides_tell_what_they_speak_about(open_page: Open, engine_of_page: Engine) -> None:
    with engine_of_page.begin() as connection:
        lesson_id = measured(connection)
        store_override(connection, lesson_id, size_mult=1.02)
    page = open_page("inspect_overrides.py")
    assert not page.exception
    table = next(one.value for one in page.dataframe if "exposure" in one.value)
    assert len(table) == 1
    assert table["touched"].tolist() == [300]


def test_an_effect_of_few_trades_prints_no_number() -> None:
    effect = {
        "effect_rr": 0.1234, "ci_low_rr": 0.05, "ci_high_rr": 0.15, "n_treated": 20,
        "n_held_out": 9, "sentence": "helps", "absent_reason": None,
    }  # fmt: skip
    assert told(effect) == "n<30: no number is printed of so few trades."
    assert "+0.123 R" in told({**effect, "n_held_out": 10})
