from __future__ import annotations

import math

import pytest

from learning.bot.telemetry import Telemetry
from learning.runtime.apply import (
    apply_pattern_execution_overrides,
    apply_pattern_strength_overrides,
)
from learning.runtime.in_force import distrust, uninstall
from learning.runtime.outcome import Outcome
from tests.learning.runtime.configs import KEY, NOW, entry, put_in_force, table


def noted(telemetry: Telemetry, *, trade_id: str | None = "T-1", share: float = 0.0) -> None:
    uninstall()
    levers = {"trail_mult": 1.2, "signal_thresholds": {"min_ts_for_add": 0.6}}
    known = table(execution=[entry(1, levers, share=share, factor="lf_a")])
    put_in_force(known, record=telemetry.record)
    scope = {"bucket": "xl", "odd": object(), "nul": "a\x00b"}
    apply_pattern_execution_overrides(KEY, "entry", scope, {}, trade_id=trade_id)


def test_a_row_says_what_was_in_force_and_what_would_have_been():
    telemetry = Telemetry(bot="bot-a", origin="live")
    noted(telemetry)
    (row,) = telemetry.waiting(10)
    assert row["levers_before"] == {"trail_mult": 1.0}
    assert row["levers_after"] == {"trail_mult": 1.2, "signal_thresholds.min_ts_for_add": 0.6}
    assert row["levers_would_be"] == row["levers_after"]
    assert row["scope"] == {"bucket": "xl", "nul": "a�b"}
    assert (row["bot"], row["module"], row["latent_factor_id"]) == ("bot-a", "pm", "lf_a")
    assert (row["arm"], row["p"], row["reason"]) == ("treated", 1.0, "applied")
    assert row["decided_at"].replace(microsecond=0) == NOW
    uninstall()


def test_a_held_out_decision_names_only_what_it_would_have_been():
    telemetry = Telemetry(bot="bot-a", origin="live")
    for i in range(40):
        noted(telemetry, trade_id=f"T-{i}", share=0.5)
    held = [row for row in telemetry.waiting(100) if row["arm"] == "held_out"]
    assert held
    assert all(row["levers_after"] == {} and row["u"] < 0.5 for row in held)
    assert all("trail_mult" in row["levers_would_be"] for row in held)
    uninstall()


def test_an_outage_is_written_as_what_was_in_force_then():
    telemetry = Telemetry(bot="bot-a", origin="live")
    noted(telemetry)
    distrust("cut off")
    apply_pattern_execution_overrides(KEY, "entry", {}, {}, trade_id="T-2")
    _, row = telemetry.waiting(10)
    assert (row["reason"], row["levers_after"]) == ("corrupt config", {"trail_mult": 1.0})
    uninstall()


@pytest.mark.parametrize(
    ("levers", "in_force"), [((1.2, 0.8), 0.96), ((1.2, 0.9), 1.0), ((1.2, 1.1), 1.0)]
)
def test_what_is_written_of_an_outage_makes_up_what_sized_the_order(
    levers: tuple[float, float], in_force: float
):
    telemetry = Telemetry(bot="bot-a", origin="live")
    scoped = entry(1, {"size_mult": levers[0]}, scope={"bucket": "xl"})
    put_in_force(
        table(scoped, entry(2, {"size_mult": levers[1]}, type="level")), record=telemetry.record
    )
    distrust("cut off")
    base = {"position_size_frac": 0.5}
    sized = apply_pattern_strength_overrides(KEY, "entry", {"bucket": "xl"}, base, trade_id="T-1")
    rows = telemetry.waiting(10)
    uninstall()
    assert sized["position_size_frac"] == pytest.approx(0.5 * in_force)
    assert math.prod(row["levers_after"]["size_mult"] for row in rows) == pytest.approx(in_force)
    assert {row["levers_would_be"]["size_mult"] for row in rows} == set(levers)


def test_rows_keep_their_keys_until_they_are_written():
    telemetry = Telemetry(bot="bot-a", origin=None)
    for i in range(3):
        noted(telemetry, trade_id=f"T-{i}")
    first = telemetry.waiting(2)
    assert telemetry.waiting(2) == first
    telemetry.written(2)
    (last,) = telemetry.waiting(2)
    assert last["trade_id"] == "T-2"
    telemetry.refuse(1)
    assert (telemetry.waiting(2), telemetry.dropped) == ([], 1)
    uninstall()


def test_what_does_not_fit_is_counted():
    telemetry = Telemetry(bot="bot-a", origin=None, capacity=2)
    for _ in range(5):
        telemetry.record(Outcome("applied"))
    assert telemetry.dropped == 3
