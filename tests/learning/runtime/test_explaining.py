from __future__ import annotations

import math
from datetime import timedelta

import pytest

from learning.runtime.explaining import explain
from learning.runtime.in_force import distrust
from tests.learning.runtime.configs import KEY, NOW, entry, put_in_force, table


def verdicts(**kw) -> dict[int, str]:
    explained = explain(KEY, "entry", {"bucket": "xl", "A_mode": "normal"}, **kw)
    return {row.override_id: row.verdict for row in explained.overrides}


def test_every_override_of_the_pattern_has_its_verdict():
    past = (NOW - timedelta(hours=3)).isoformat()
    put_in_force(
        table(
            entry(1, scope={"bucket": "xl"}),
            entry(2, scope={"bucket": "xl", "A_mode": "normal"}),
            entry(3, scope={"bucket": "nano"}),
            entry(4, expires_at=past),
            entry(5, scope={"macro_phase": "Dip"}),
            entry(6, type="level"),
            entry(7, action_category="exit", levers={"exit_aggression_mult": 1.1}),
            flags={"learning_overrides_enabled_regimes": False},
        )
    )
    assert verdicts() == {
        1: "beaten",
        2: "wins",
        3: "no match",
        4: "expired",
        5: "no match",
        6: "wins",
    }
    rows = {row.override_id: row.reason for row in explain(KEY, "E1", {"bucket": "xl"}).overrides}
    assert rows[3] == "asks for bucket = nano"
    assert rows[4] == "expired 3.0 hours ago"


def test_a_flag_a_clamp_and_a_hold_out_are_named():
    put_in_force(
        table(
            entry(1, {"entry_aggression_mult": 9.0}, share=0.5),
            entry(2, scope={"bucket": "xl", "macro_phase": "Dip"}),
            flags={"learning_overrides_enabled_regimes": False},
        )
    )
    scope = {"bucket": "xl", "macro_phase": "Dip"}
    arms = set()
    for i in range(30):
        first, second = explain(KEY, "entry", scope, trade_id=f"T-{i}").overrides
        arms.add(first.verdict)
        assert first.reason.endswith("clamped to its bounds: entry_aggression_mult")
        assert (second.verdict, second.reason) == (
            "disabled by flag",
            "learning_overrides_enabled_regimes is off",
        )
    assert arms == {"wins", "held out"}


def test_the_state_as_a_whole_is_said_first():
    built = table(entry(1), entry(2, {"size_mult": math.nan}))
    put_in_force(built)
    assert explain(KEY, "entry", {}).state == "in force"
    assert len(explain(KEY, "entry", {}).refusals) == 1
    distrust("cut off")
    assert explain(KEY, "entry", {}).state.startswith("corrupt config")
    put_in_force(built, overrides_on=False)
    assert "kill switch" in explain(KEY, "entry", {}).state


def test_a_key_that_is_none_is_refused():
    with pytest.raises(ValueError, match="pattern_key must be"):
        explain("nonsense", "entry", {})
