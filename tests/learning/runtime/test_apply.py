from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learning.domain.levers import LEVERS
from learning.runtime import in_force as in_force_module
from learning.runtime.apply import (
    apply_allocation_overrides,
    apply_pattern_execution_overrides,
    apply_pattern_strength_overrides,
)
from learning.runtime.holdout import holdout_number
from learning.runtime.in_force import distrust, in_force, install, uninstall
from learning.runtime.override_table import ConfigUnreadable, OverrideTable, read_table
from tests.learning.runtime.configs import DM_KEY, KEY, NOW, config, entry, put_in_force, table

BASE = {"A_value": 0.5, "E_value": 0.5, "position_size_frac": 0.1}
PLAN = {
    "entry_delay_bars": 3,
    "wait_n_bars_after_trim": 1,
    "phase1_frac": 0.4,
    "trim_delay": 10,
    "trail_speed": 0.5,
    "panic_trigger_level": 2.0,
    "phase_scaling": {"S1": 1.0, "S2": 2.0},
    "min_ts_for_add": 0.4,
    "own": "kept",
}
CAPITAL = {"size_mult": 1.2, "entry_aggression_mult": 1.1, "exit_aggression_mult": 0.9}


def strength(base: Any = BASE, category: str = "entry", scope: Any = None, **kw: Any) -> Any:
    return apply_pattern_strength_overrides(KEY, category, scope or {}, base, **kw)


def execution(plan: Any = PLAN, scope: Any = None, **kw: Any) -> Any:
    return apply_pattern_execution_overrides(KEY, "entry", scope or {}, plan, **kw)


# --- What the levers do ----------------------------------------------------------------------


def test_capital_levers_multiply_their_values():
    put_in_force(table(entry(7, CAPITAL)))
    adjusted = strength()
    assert adjusted == {
        "A_value": pytest.approx(0.55),
        "E_value": pytest.approx(0.45),
        "position_size_frac": pytest.approx(0.12),
    }
    outcome = adjusted.outcome
    assert (outcome.reason, outcome.arm) == ("applied", "unassigned")
    assert (outcome.generation, outcome.revision) == (1, 17)
    assert (outcome.override_ids, outcome.lesson_ids) == ((7,), (107,))


def test_the_callers_dict_is_not_changed_and_unknown_keys_come_back():
    put_in_force(table(entry(1, CAPITAL), execution=[entry(2, {"phase_scaling": {"S1": 0.9}})]))
    base, plan = {**BASE, "mine": [1]}, copy.deepcopy(PLAN)
    assert strength(base)["mine"] is base["mine"]
    assert execution(plan)["own"] == "kept"
    assert base == {**BASE, "mine": [1]}
    assert plan == PLAN


def test_values_that_the_bot_does_not_have_are_not_invented():
    put_in_force(table(entry(1, CAPITAL), execution=[entry(2, {"trail_mult": 1.5})]))
    assert strength({"A_value": 0.5}) == {"A_value": pytest.approx(0.55)}
    assert execution({"own": 1}) == {"own": 1}


def test_shares_stay_within_nought_and_one_with_and_without_an_override():
    assert strength({"A_value": 1.5, "E_value": -1, "position_size_frac": 10**400}) == {
        "A_value": 1.0,
        "E_value": 0.0,
        "position_size_frac": 1.0,
    }
    put_in_force(table(entry(1, CAPITAL)))
    assert strength({"position_size_frac": 0.9}) == {"position_size_frac": 1.0}


def test_a_share_that_is_not_a_number_becomes_the_end_that_adds_no_risk():
    nan = dict.fromkeys(BASE, math.nan)
    assert strength(nan) == {"A_value": 0.0, "E_value": 1.0, "position_size_frac": 0.0}


def test_every_kind_of_number_is_multiplied():
    put_in_force(table(entry(1, {"size_mult": 1.2})))
    for number in (np.float64(0.5), np.float32(0.5), Decimal("0.5")):
        assert strength({"position_size_frac": number})["position_size_frac"] == 0.6


@pytest.mark.parametrize("category", ["trim", "exit", "panic_exit", "partial_exit"])
def test_the_size_of_a_trim_or_an_exit_is_never_scaled(category):
    known = {"trim": "trim", "partial_exit": "trim"}.get(category, "exit")
    sized = entry(1, {"size_mult": 0.8}, action_category=known)
    eager = entry(2, {"exit_aggression_mult": 1.2}, action_category=known)
    put_in_force(table(sized, eager))
    assert strength(category=category)["position_size_frac"] == 0.1
    assert strength(category=category)["E_value"] == pytest.approx(0.6)


def test_execution_levers_by_hand():
    levers = {
        "entry_delay_bars": 2.9,
        "wait_n_bars_after_trim": 4.0,
        "phase1_frac_mult": 0.5,
        "trim_delay_mult": 1.1,
        "trail_mult": 0.8,
        "panic_trigger_mult": 1.5,
        "phase_scaling": {"S1": 0.9, "S2": 1.1, "S3": 1.2},
        "signal_thresholds": {"min_ts_for_add": 0.55, "max_edx_for_add": 0.7},
    }
    put_in_force(table(execution=[entry(1, levers)]))
    assert execution() == {
        "entry_delay_bars": 2,
        "wait_n_bars_after_trim": 4,
        "phase1_frac": pytest.approx(0.2),
        "trim_delay": pytest.approx(11.0),
        "trail_speed": pytest.approx(0.4),
        "panic_trigger_level": pytest.approx(3.0),
        "phase_scaling": {
            "S1": pytest.approx(0.9),
            "S2": pytest.approx(2.2),
            "S3": pytest.approx(1.2),
        },
        "min_ts_for_add": 0.55,
        "max_edx_for_add": 0.7,
        "own": "kept",
    }


def test_a_delay_that_rounds_to_nought_leaves_the_bots_own():
    put_in_force(table(execution=[entry(1, {"entry_delay_bars": 0.9})]))
    assert execution()["entry_delay_bars"] == 3


def test_the_first_phase_never_grows_beyond_the_whole():
    put_in_force(table(execution=[entry(1, {"phase1_frac_mult": 1.5})]))
    assert execution({"phase1_frac": 0.8}) == {"phase1_frac": 1.0}


def test_thresholds_are_set_where_the_plan_keeps_them():
    put_in_force(table(execution=[entry(1, {"signal_thresholds": {"min_ts_for_add": 0.6}})]))
    plan = {"signal_thresholds": {"min_ts_for_add": 0.4, "other": 1}}
    assert execution(plan) == {"signal_thresholds": {"min_ts_for_add": 0.6, "other": 1}}


def test_an_allocation_is_multiplied():
    levers = {"alloc_mult": 0.75}
    put_in_force(table(allocation=[entry(1, levers, pattern_key=DM_KEY, type="dm_alloc")]))
    adjusted = apply_allocation_overrides(DM_KEY, "entry", {}, {"allocation": 400, "token": "X"})
    assert adjusted == {"allocation": 300.0, "token": "X"}


@pytest.mark.parametrize("category", ["trim", "exit"])
def test_the_allocation_of_an_exit_is_never_scaled(category: str):
    levers, names = {"alloc_mult": 0.75}, {"pattern_key": DM_KEY, "type": "dm_alloc"}
    put_in_force(table(allocation=[entry(1, levers, action_category=category, **names)]))
    assert apply_allocation_overrides(DM_KEY, category, {}, {"allocation": 400}) == {
        "allocation": 400
    }


def test_level_and_scope_together_are_clamped():
    put_in_force(
        table(
            entry(1, {"size_mult": 1.2}, type="level"),
            entry(2, {"size_mult": 1.2}, scope={"bucket": "xl"}),
        )
    )
    assert strength(scope={"bucket": "xl"})["position_size_frac"] == pytest.approx(0.13)
    assert strength()["position_size_frac"] == pytest.approx(0.12)


# --- Hold-out --------------------------------------------------------------------------------


def trade_in(arm: str, override_id: int = 1) -> str:
    for i in range(1000):
        u = holdout_number(f"T-{i}", f"lesson {100 + override_id}", f"L-{override_id}-v3")
        if (u < 0.2) == (arm == "held_out"):
            return f"T-{i}"
    raise AssertionError("no such trade among a thousand")


def test_a_held_out_trade_keeps_its_size_lever_and_loses_the_others():
    put_in_force(table(entry(1, CAPITAL, share=0.2)))
    held = strength(trade_id=trade_in("held_out"))
    assert held == {
        "A_value": 0.5,
        "E_value": 0.5,
        "position_size_frac": pytest.approx(0.12),
    }
    (part,) = held.outcome.applications
    assert (held.outcome.arm, part.arm, part.p) == ("held_out", "held_out", 0.8)
    assert part.levers == {"size_mult": 1.2}
    assert part.would_be == CAPITAL
    treated = strength(trade_id=trade_in("treated"))
    assert treated["A_value"] == pytest.approx(0.55)
    assert treated.outcome.arm == "treated"


def test_size_is_never_held_out():
    put_in_force(table(entry(1, {"size_mult": 0.8}, share=0.5)))
    for i in range(50):
        adjusted = strength(trade_id=f"T-{i}")
        assert adjusted["position_size_frac"] == pytest.approx(0.08)
        (part,) = adjusted.outcome.applications
        assert (part.arm, part.u, part.p) == ("treated", None, 1.0)


def test_a_trade_is_in_one_arm_for_both_lists_of_its_lesson():
    put_in_force(
        table(
            entry(1, {"entry_aggression_mult": 1.1}, share=0.2),
            execution=[entry(1, {"trail_mult": 1.2}, share=0.2)],
        )
    )
    for i in range(50):
        arms = {f(trade_id=f"T-{i}").outcome.arm for f in (strength, execution)}
        assert len(arms) == 1


def test_a_held_out_plan_is_the_bots_own():
    levers = {"trail_mult": 1.2, "signal_thresholds": {"min_ts_for_add": 0.9}}
    put_in_force(table(execution=[entry(1, levers, share=0.2)]))
    held = execution(trade_id=trade_in("held_out"))
    assert held == PLAN
    assert held.outcome.reason == "held out"


def test_without_a_trade_id_the_override_applies_unassigned():
    put_in_force(table(entry(1, {"entry_aggression_mult": 1.1}, share=0.5)))
    for trade_id in (None, "", 1.5, object()):
        adjusted = strength(trade_id=trade_id)
        assert adjusted["A_value"] == pytest.approx(0.55)
        assert adjusted.outcome.arm == "unassigned"


# --- What is in force ------------------------------------------------------------------------


def test_the_kill_switch_makes_every_lever_neutral_also_when_the_config_is_stale():
    built = table(entry(1, {"size_mult": 0.8}))
    put_in_force(built, overrides_on=False)
    assert strength() == BASE
    assert strength().outcome.reason == "kill switch"
    put_in_force(built, overrides_on=False, read_at=0.0, max_config_age_s=1)
    assert strength().outcome.reason == "kill switch"


def test_revisions_only_go_forward_within_a_generation():
    def revision(number: int, generation: int = 1) -> OverrideTable:
        return OverrideTable(generation=generation, revision=number)

    assert put_in_force(revision(5))
    assert not put_in_force(revision(4))
    assert put_in_force(revision(5))
    assert put_in_force(revision(1, generation=2))
    assert not put_in_force(revision(9, generation=1))
    assert strength().outcome.revision == 1


def test_a_replayed_older_switch_does_not_turn_overrides_on_again():
    built = table(entry(1, {"size_mult": 1.2}))
    put_in_force(built, overrides_on=False, switch_revision=3)
    assert not put_in_force(built, overrides_on=True, switch_revision=2)
    assert strength() == BASE


def test_an_older_table_that_says_off_is_obeyed_in_that():
    put_in_force(table(entry(1, {"size_mult": 1.2}), revision=18))
    assert not put_in_force(table(revision=17), overrides_on=False)
    assert strength().outcome.reason == "kill switch"


def test_an_expired_override_is_absent_in_an_outage_too():
    put_in_force(
        table(entry(1, {"size_mult": 0.8})),
        read_on=(NOW + timedelta(days=2)).timestamp(),
        max_config_age_s=-1,
    )
    assert strength() == BASE


def test_what_applied_is_handed_to_telemetry_and_its_failure_changes_nothing():
    noted: list[Any] = []
    put_in_force(table(entry(1, {"size_mult": 1.2})), record=noted.append)
    assert strength(trade_id="T-1").outcome is noted[0]

    def broken(outcome: object) -> None:
        raise RuntimeError("full")

    put_in_force(table(entry(1, {"size_mult": 1.2})), record=broken)
    assert strength()["position_size_frac"] == pytest.approx(0.12)


# --- Faults: every lever falls to its safe value, and nothing is raised ----------------------

# Each lever's configured value that adds risk, one that protects, and what remains of both.
RISKY = {"size_mult": 1.2, "entry_aggression_mult": 1.2, "exit_aggression_mult": 0.8}
PROTECTIVE = {"size_mult": 0.8, "entry_aggression_mult": 0.9, "exit_aggression_mult": 1.1}
TIMING = {
    "entry_delay_bars": 5,
    "phase1_frac_mult": 0.5,
    "trim_delay_mult": 2.0,
    "trail_mult": 2.0,
    "panic_trigger_mult": 2.0,
    "wait_n_bars_after_trim": 10,
    "phase_scaling": {"S1": 0.5, "S2": 1.5, "S3": 1.5},
    "signal_thresholds": {"min_ts_for_add": 0.9},
}
ALL_LEVERS = {**RISKY, **TIMING}


def good(capital: Mapping[str, float], alloc: float, revision: int = 17) -> OverrideTable:
    configs = {
        "pm": config(entry(1, dict(capital)), execution=[entry(2, dict(TIMING))]),
        "dm": config(
            allocation=[entry(3, {"alloc_mult": alloc}, pattern_key=DM_KEY, type="dm_alloc")]
        ),
    }
    return read_table(configs, generation=1, revision=revision)


def reread(change: Callable[[dict], object]) -> None:
    """Do what the feed does when it reads a config that ``change`` has damaged."""
    before = in_force().table
    capital = config(entry(1, dict(RISKY)), execution=[entry(2, dict(TIMING))])
    alloc = config(allocation=[entry(3, {"alloc_mult": 1.2}, pattern_key=DM_KEY, type="dm_alloc")])
    try:
        damaged: dict[str, object] = {}
        for module, given in (("pm", capital), ("dm", alloc)):
            result = change(given)
            damaged[module] = given if result is None else result
        built = read_table(damaged, generation=1, revision=18, previous=before)
    except ConfigUnreadable as error:
        distrust(str(error))
    else:
        put_in_force(built)


def each_entry(field: str, value: object) -> Callable[[], None]:
    def change(given: dict) -> None:
        for name in ("pattern_strength_overrides", "pattern_overrides", "alloc_overrides"):
            for row in given[name]:
                row[field] = value

    return lambda: reread(change)


def each_lever(value: object) -> Callable[[], None]:
    def change(given: dict) -> None:
        for name in ("pattern_strength_overrides", "pattern_overrides", "alloc_overrides"):
            for row in given[name]:
                row["levers"] = dict.fromkeys(row["levers"], value)

    return lambda: reread(change)


def whole(value: object) -> Callable[[], None]:
    return lambda: reread(lambda given: value)


def aged(seconds: float) -> None:
    import time

    state = in_force()
    install(
        state.table,
        read_at=time.monotonic() - seconds,
        read_on=NOW.timestamp() - seconds,
        max_config_age_s=4.0,
    )


FAULTS: dict[str, Callable[[], object]] = {
    "database down: no read for a minute": lambda: aged(60),
    "database slow: a read just too old": lambda: aged(4.1),
    "the clock runs backwards": lambda: aged(-1000),
    "config null": whole("null"),
    "config is a list": whole([]),
    "config is empty": whole({}),
    "config is cut off": whole({"generation": 1}),
    "newer schema: lists are objects": whole(config(pattern_overrides={"v": 9})),
    "generation is text": whole(config(generation="1")),
    "revision is missing": whole(config(revision=None)),
    "a table is missing": lambda: distrust("relation learning_configs does not exist"),
    "authentication failed": lambda: distrust("password authentication failed"),
    "oversized": whole(config(*([None] * 500_001))),
    "levers NaN": each_lever(math.nan),
    "levers +Inf": each_lever(math.inf),
    "levers -Inf": each_lever(-math.inf),
    "levers 1e400": each_lever(float("1e400")),
    "levers 10**400": each_lever(10**400),
    "levers bool": each_lever(True),
    "levers text": each_lever("1.2"),
    "levers null": each_lever(None),
    "levers empty text": each_lever(""),
    "levers list": each_lever([1.2]),
    "levers object": each_lever({"value": 1.2}),
    "entries without a scope": each_entry("scope", None),
    "entries without an expiry": each_entry("expires_at", None),
    "entries of a new kind": each_entry("action_category", "hedge"),
    "holdout out of bounds": each_entry("holdout", {"share": 3, "salt": "x"}),
    "lesson missing": each_entry("lesson", None),
    "levers of no kind": each_entry("levers", {"leverage": 1.2}),
    "levers are a list": each_entry("levers", [1, 2]),
}


def everything() -> tuple[dict, dict, dict]:
    return (
        dict(strength()),
        dict(execution()),
        dict(apply_allocation_overrides(DM_KEY, "entry", {}, {"allocation": 100.0})),
    )


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_after_a_fault_nothing_that_adds_risk_and_no_timing_remains(fault):
    put_in_force(good(RISKY, alloc=1.2))
    before = everything()
    fault()
    assert everything() == (BASE, PLAN, {"allocation": 100.0})
    assert before[0] != BASE
    assert before[1] != PLAN


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_after_a_fault_every_protective_lever_remains(fault):
    put_in_force(good(PROTECTIVE, alloc=0.8))
    fault()
    capital, plan, allocation = everything()
    assert capital == {
        "A_value": pytest.approx(0.45),
        "E_value": pytest.approx(0.55),
        "position_size_frac": pytest.approx(0.08),
    }
    assert plan == PLAN
    assert allocation == {"allocation": pytest.approx(80.0)}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_before_any_good_config_is_neutral(fault):
    put_in_force(OverrideTable(generation=1, revision=1))
    fault()
    assert everything() == (BASE, PLAN, {"allocation": 100.0})


def test_without_any_config_everything_is_neutral_and_says_so():
    distrust("cannot connect")
    assert everything() == (BASE, PLAN, {"allocation": 100.0})
    assert strength().outcome.reason == "no config"
    assert "cannot connect" in strength().outcome.detail


def test_a_good_config_after_a_fault_is_trusted_again():
    put_in_force(good(RISKY, alloc=1.2))
    distrust("corrupt")
    assert strength().outcome.reason == "corrupt config"
    put_in_force(good(RISKY, alloc=1.2))
    assert strength().outcome.reason == "applied"


def test_thresholds_and_held_out_levers_do_not_return_in_an_outage():
    put_in_force(table(entry(1, {"exit_aggression_mult": 1.2}, share=0.2)))
    distrust("corrupt")
    assert strength(trade_id=trade_in("held_out"))["E_value"] == 0.5
    assert strength(trade_id=trade_in("treated"))["E_value"] == pytest.approx(0.6)


def test_the_matrix_of_faults_names_every_lever():
    named = {f"phase_scaling.{p}" for p in ("S1", "S2", "S3")} | {"alloc_mult"} | set(ALL_LEVERS)
    assert set(LEVERS) <= named
    assert len(FAULTS) >= 24


# --- Whatever is passed ----------------------------------------------------------------------


class Hostile:
    def __hash__(self) -> int:
        raise RuntimeError("no hash")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    def __str__(self) -> str:
        raise RuntimeError("no text")


class HostileMapping(Mapping):
    def __getitem__(self, key: object) -> object:
        raise OSError("no items")

    def __iter__(self) -> Iterator[str]:
        raise OSError("no keys")

    def __len__(self) -> int:
        raise OSError("no length")


ODD = [
    None, [], (), "text", b"x", 0, -1, 10**400, math.nan, math.inf, True, object(), Hostile(),
    {}, {"bucket": []}, {"bucket": Hostile()}, {"bucket": math.nan}, {1: 2}, HostileMapping(),
]  # fmt: skip


@pytest.mark.parametrize("state", ["in force", "stale", "nothing installed"])
def test_nothing_is_ever_raised_whatever_is_passed(state):
    put_in_force(good(RISKY, alloc=1.2))
    if state == "stale":
        distrust("corrupt")
    elif state == "nothing installed":
        uninstall()
    functions = (
        apply_pattern_strength_overrides,
        apply_pattern_execution_overrides,
        apply_allocation_overrides,
    )
    for function in functions:
        for odd in ODD:
            for position in range(4):
                args: list[Any] = [KEY, "entry", {"bucket": "xl"}, dict(BASE)]
                args[position] = odd
                adjusted = function(*args, trade_id=odd)
                assert isinstance(adjusted, dict)
                assert adjusted.outcome.reason


def test_input_that_cannot_be_used_is_named():
    put_in_force(good(RISKY, alloc=1.2))
    assert strength([1]).outcome.reason == "unusable input"
    assert "dict" in strength([1]).outcome.detail
    odd = apply_pattern_strength_overrides("no key", "entry", {}, BASE)
    assert odd == BASE
    assert odd.outcome.reason == "unusable input"


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.just(10**400), st.floats(), st.text(max_size=3)
)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.sampled_from([*BASE, "own"]), VALUES),
    st.dictionaries(st.sampled_from(["bucket", "A_mode"]), VALUES),
    st.sampled_from([RISKY, PROTECTIVE]),
)
def test_shares_are_numbers_within_their_bounds_for_any_input(base, scope, capital):
    uninstall()
    put_in_force(good(capital, alloc=1.0))
    adjusted = apply_pattern_strength_overrides(KEY, "entry", scope, base)
    assert set(adjusted) == set(base)
    for name in BASE:
        value = adjusted.get(name, 0.0)
        if isinstance(value, int | float):
            assert 0 <= value <= 1
        else:
            assert value is base[name]


def test_the_module_holds_one_reference_that_is_replaced_as_a_whole():
    put_in_force(good(RISKY, alloc=1.2))
    before = in_force_module.in_force()
    put_in_force(good(PROTECTIVE, alloc=0.8))
    assert before.table is not None
    assert before.table.overrides[0].levers == RISKY
