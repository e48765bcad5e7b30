from __future__ import annotations

import math
from datetime import timedelta
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learning.runtime.override_index import combined_levers
from learning.runtime.override_table import ConfigUnreadable, OverrideTable, read_table
from tests.learning.runtime.configs import KEY, NOW, config, entry, table

AT = NOW.timestamp()


def found(known: OverrideTable, scope: dict, **changes) -> list[int]:
    match = known.find("strength", KEY, changes.get("category", "entry"), scope, AT)
    return [override.override_id for override in match.chosen]


def test_more_dimensions_go_before_a_stronger_lesson():
    known = table(
        entry(1, scope={"bucket": "micro"}, strength=0.9),
        entry(2, scope={"bucket": "micro", "macro_phase": "Dip"}, strength=0.1),
        entry(3, scope={}, strength=1.0),
    )
    assert found(known, {"bucket": "micro", "macro_phase": "Dip", "A_mode": "normal"}) == [2]
    assert found(known, {"bucket": "micro"}) == [1]
    assert found(known, {"bucket": "xl"}) == [3]
    assert found(known, {}) == [3]


def test_between_equally_many_dimensions_the_stronger_lesson_wins():
    known = table(
        entry(1, scope={"bucket": "micro"}, strength=0.3),
        entry(2, scope={"A_mode": "normal"}, strength=0.4),
    )
    assert found(known, {"bucket": "micro", "A_mode": "normal"}) == [2]


def test_a_level_override_and_the_scope_override_both_apply():
    known = table(
        entry(1, {"size_mult": 0.8}, type="level"),
        entry(2, {"size_mult": 1.2}, scope={"bucket": "micro"}),
    )
    match = known.find("strength", KEY, "entry", {"bucket": "micro"}, AT)
    assert [o.override_id for o in match.chosen] == [2, 1]
    assert match.levers == {"size_mult": pytest.approx(0.96)}


def test_the_level_of_a_timeframe_goes_before_the_level_of_the_pattern():
    known = table(
        entry(1, {"size_mult": 0.8}, type="level"),
        entry(2, {"size_mult": 0.9}, type="level", scope={"timeframe": "1h"}),
    )
    assert found(known, {"timeframe": "1h"}) == [2]
    assert found(known, {"timeframe": "4h"}) == [1]


def test_one_override_per_latent_factor_applies_where_so_set():
    entries = (
        entry(1, {"size_mult": 1.2}, scope={"bucket": "micro"}, factor="lf_a"),
        entry(2, {"size_mult": 1.1}, scope={"A_mode": "normal", "timeframe": "1h"}, factor="lf_a"),
        entry(3, {"size_mult": 1.2}, scope={"macro_phase": "Dip"}, factor="lf_b"),
    )
    scope = {"bucket": "micro", "A_mode": "normal", "timeframe": "1h", "macro_phase": "Dip"}
    together = table(*entries, combine="per_factor")
    assert found(together, scope) == [2, 3]
    match = together.find("strength", KEY, "entry", scope, AT)
    assert match.levers == {"size_mult": 1.3}  # 1.1 x 1.2 = 1.32, clamped
    assert found(table(*entries), scope) == [2]


def test_without_meta_learning_no_latent_factor_is_combined():
    entries = (
        entry(1, scope={"bucket": "micro"}, factor="lf_a", strength=0.6),
        entry(2, scope={"A_mode": "normal"}, factor="lf_b"),
    )
    off = table(*entries, combine="per_factor", flags={"v5_meta_learning_enabled": False})
    assert found(off, {"bucket": "micro", "A_mode": "normal"}) == [1]


def test_an_expired_override_gives_way_to_the_next_one():
    late = (NOW + timedelta(hours=2)).isoformat()
    soon = (NOW + timedelta(hours=1)).isoformat()
    known = table(entry(1, scope={"bucket": "micro"}, expires_at=soon), entry(2, expires_at=late))
    scope = {"bucket": "micro"}

    def at(hours: float) -> list[int]:
        match = known.find("strength", KEY, "entry", scope, AT + 3600 * hours)
        return [o.override_id for o in match.chosen]

    assert [at(0), at(0.999), at(1), at(1.5), at(2)] == [[1], [1], [2], [2], []]
    assert known.find("strength", KEY, "entry", scope, AT + 7200).reason == "expired"


@pytest.mark.parametrize(
    ("flag", "scope"),
    [
        ("learning_overrides_enabled", {"A_mode": "normal"}),
        ("learning_overrides_enabled_regimes", {"meso_phase": "Dip"}),
        ("learning_overrides_enabled_regimes", {"bucket_leader": "micro"}),
        ("learning_overrides_enabled_regimes", {"bucket_rank_position": 1}),
        ("learning_overrides_enabled_buckets", {"bucket": "micro"}),
    ],
)
def test_a_flag_turns_off_exactly_what_it_names(flag, scope):
    known = table(entry(1, scope=scope), flags={flag: False})
    assert found(known, scope) == []
    assert known.find("strength", KEY, "entry", scope, AT).reason == "disabled by flag"
    assert found(table(entry(1, scope=scope), flags={flag: True}), scope) == [1]


def test_a_flag_for_regimes_leaves_overrides_without_them():
    flags = {"learning_overrides_enabled_regimes": False}
    known = table(entry(1, scope={"A_mode": "normal"}), flags=flags)
    assert found(known, {"A_mode": "normal", "macro_phase": "Dip"}) == [1]


def test_a_flag_that_is_neither_true_nor_false_is_off():
    assert found(table(entry(1), feature_flags={"learning_overrides_enabled": "yes"}), {}) == []


def test_both_spellings_of_a_key_and_decision_types_are_understood():
    known = table(entry(1))
    old = "module=pm|pattern_key=uptrend.S1.buy_flag"
    assert known.find("strength", old, "E1", {}, AT).chosen[0].override_id == 1


def test_scope_values_match_after_stripping_and_integers_match_whole_floats():
    known = table(entry(1, scope={"bucket": "micro", "bucket_rank_position": 2}))
    assert found(known, {"bucket": " micro ", "bucket_rank_position": 2.0}) == [1]
    assert found(known, {"bucket": "micro", "bucket_rank_position": "2"}) == []


def test_a_config_of_another_generation_has_no_overrides():
    known = read_table({"pm": config(entry(1), generation=1)}, generation=2, revision=20)
    assert found(known, {}) == []


BROKEN = {
    "no object": "text",
    "no id": entry() | {"override_id": None},
    "id is a bool": entry() | {"override_id": True},
    "unknown module": entry(pattern_key="xx.a.b.c"),
    "unknown category": entry(action_category="hold"),
    "scope is a list": entry(scope=["bucket"]),
    "scope value is null": entry(scope={"bucket": None}),
    "scope value is Unknown": entry(scope={"bucket": "Unknown"}),
    "scope value is a bool": entry(scope={"bucket_rank_position": True}),
    "lever is NaN": entry(levers={"size_mult": math.nan}),
    "lever is infinite": entry(levers={"size_mult": math.inf}),
    "lever is huge": entry(levers={"size_mult": 10**400}),
    "lever is a bool": entry(levers={"size_mult": True}),
    "lever is text": entry(levers={"size_mult": "0.8"}),
    "lever is null": entry(levers={"size_mult": None}),
    "lever is a list": entry(levers={"size_mult": []}),
    "lever is unknown": entry(levers={"risk_mult": 1.1}),
    "lever of another list": entry(levers={"trail_mult": 1.1}),
    "levers are missing": {k: v for k, v in entry().items() if k != "levers"},
    "expiry is missing": entry(expires_at=None),
    "expiry is empty": entry(expires_at=""),
    "expiry has no zone": entry(expires_at="2026-04-01T00:00:00"),
    "share is out of bounds": entry(share=0.9),
    "strength is NaN": entry(strength=math.nan),
    "lesson is disabled": entry(enabled=False),
    "lesson has an unknown type": entry(type="hunch"),
    "size of an exit": entry(action_category="exit", levers={"size_mult": 0.9}),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_malformed_entry_is_dropped_with_a_reason_and_the_others_stay(broken):
    known = table(broken, entry(2, scope={"bucket": "micro"}))
    assert found(known, {"bucket": "micro"}) == [2]
    assert [o.override_id for o in known.overrides] == [2]
    assert known.n_refused == 1
    assert known.refusals[0].reason
    assert known.refusals[0].position == 0


def test_of_two_entries_with_one_id_the_first_stays():
    known = table(entry(1, {"size_mult": 0.9}), entry(1, {"size_mult": 1.2}))
    assert [o.levers for o in known.overrides] == [{"size_mult": 0.9}]
    assert "stands twice" in known.refusals[0].reason


def test_a_broken_entry_keeps_the_protective_part_of_its_predecessor():
    levers = {"size_mult": 0.8, "entry_aggression_mult": 1.2}
    before = table(entry(1, levers), entry(2, {"size_mult": 0.9}, scope={"bucket": "xl"}))
    after = table(entry(1, {"size_mult": "0.8"}), previous=before)
    assert [dict(o.levers) for o in after.overrides] == [
        {"size_mult": 0.8, "entry_aggression_mult": 1.0}
    ]
    assert after.refusals[0].is_replaced


def test_of_a_disabled_lesson_nothing_is_kept():
    before = table(entry(1, {"size_mult": 0.8}))
    assert table(entry(1, {"size_mult": 0.8}, enabled=False), previous=before).overrides == ()


@pytest.mark.parametrize(
    "broken",
    [
        None, [], "text", 3, {}, config(generation="1"), config(generation=True),
        config(revision=None), config(pattern_overrides={}), config(alloc_overrides=None),
        config(feature_flags=[]), config(pattern_strength_overrides="[]"),
    ],
)  # fmt: skip
def test_a_config_broken_as_a_whole_is_refused(broken):
    with pytest.raises(ConfigUnreadable, match="must be"):
        read_table({"pm": broken}, generation=1, revision=1)


def test_a_lever_out_of_bounds_is_clamped_and_said_to_be():
    known = table(entry(1, {"size_mult": 9, "entry_aggression_mult": -3.0}))
    (override,) = known.overrides
    assert override.levers == {"size_mult": 1.3, "entry_aggression_mult": 0.8}
    assert override.clamped == ("size_mult", "entry_aggression_mult")


def test_of_two_delays_the_better_ranked_one_holds():
    assert combined_levers([{"entry_delay_bars": 2.0}, {"entry_delay_bars": 5.0}]) == {
        "entry_delay_bars": 2.0
    }


# --- against a naive linear scan -------------------------------------------------------------

DIMS = ("bucket", "A_mode", "timeframe", "bucket_rank_position")
VALUES = st.sampled_from(["a", "b", "c", 1, 2])
SCOPES = st.dictionaries(st.sampled_from(DIMS), VALUES, max_size=4)
ENTRIES = st.lists(
    st.tuples(
        SCOPES,
        st.sampled_from([0.1, 0.5, 0.9]),
        st.booleans(),
        st.sampled_from([-1, 1, 2]),
        st.sampled_from([None, "lf_a", "lf_b"]),
        st.floats(0.7, 1.3),
    ),
    max_size=25,
)


def scanned(entries: list, scope: dict, *, now_hours: float, per_factor: bool) -> dict:
    """Scan, sort, pick, multiply, clamp: written without looking at the table."""
    rows = [
        (len(s), strength, -i, i, level, factor or f"own {i}", mult)
        for i, (s, strength, level, expiry_hours, factor, mult) in enumerate(entries)
        if expiry_hours > now_hours and all(k in scope and scope[k] == v for k, v in s.items())
    ]
    rows.sort(reverse=True)
    levels = [row for row in rows if row[4]][:1]
    scoped, factors = [], set()
    for row in rows:
        if not row[4] and row[5] not in factors and (per_factor or not scoped):
            factors.add(row[5])
            scoped.append(row)
    chosen = scoped + levels
    if not chosen:
        return {"ids": [], "size": None}
    product = math.prod(row[6] for row in chosen)
    return {"ids": [row[3] for row in chosen], "size": min(max(product, 0.7), 1.3)}


@settings(max_examples=200, deadline=None)
@given(
    ENTRIES,
    st.lists(SCOPES, min_size=1, max_size=5),
    st.booleans(),
    st.sampled_from([2, 5, 16384]),
    st.sampled_from([1, 3, 256]),
)
def test_lookup_equals_a_naive_linear_scan(entries, scopes, per_factor, block, kept_pairs):
    with mock.patch("learning.runtime.override_index._BLOCK", block):
        known = oracle_table(entries, per_factor=per_factor)
    with mock.patch("learning.runtime.override_index._KEPT_PAIRS", kept_pairs):
        compare_with_a_scan(known, entries, scopes, per_factor=per_factor)


def compare_with_a_scan(known: OverrideTable, entries, scopes, *, per_factor: bool) -> None:
    for now_hours in (0.0, 1.5, 3.0):
        for scope in scopes * 2:  # the second time from memory
            wanted = scanned(entries, scope, now_hours=now_hours, per_factor=per_factor)
            match = known.find("strength", KEY, "entry", scope, AT + 3600 * now_hours)
            assert [o.override_id for o in match.chosen] == wanted["ids"]
            assert match.levers.get("size_mult") == pytest.approx(wanted["size"])


def oracle_table(entries: list, *, per_factor: bool) -> OverrideTable:
    return table(
        *(
            entry(
                i,
                {"size_mult": mult},
                scope=scope,
                strength=strength,
                type="level" if level else "pm_strength",
                expires_at=(NOW + timedelta(hours=hours)).isoformat(),
                factor=factor,
            )
            for i, (scope, strength, level, hours, factor, mult) in enumerate(entries)
        ),
        combine="per_factor" if per_factor else "most_specific",
    )
