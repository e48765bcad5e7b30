import numpy as np
import pytest

from learning.evidence.aggregation import (
    FrozenReference,
    aggregated_scopes,
    frozen_reference,
    regime_weights_for,
    scope_scores,
)
from learning.evidence.trade_events import TradeEvents

N_MIN = (10, 10, 20, 20, 30, 30, 50)


def events(n: int = 400, seed: int = 1, shift: float = 0.0) -> TradeEvents:
    rng = np.random.default_rng(seed)
    pattern = np.where(rng.random(n) < 0.6, "pm.a.b.c", "pm.a.b.d")
    mode = rng.choice(["patient", "normal"], n)
    return TradeEvents.from_columns(
        pattern_key=pattern.tolist(),
        action_category=["entry"] * n,
        scope={
            "macro_phase": rng.choice(["Dip", "Good"], n).tolist(),
            "bucket": rng.choice(["micro", "mid", "Unknown"], n).tolist(),
            "timeframe": rng.choice(["1h", "4h"], n).tolist(),
            "A_mode": mode.tolist(),
        },
        closed_at_days=19_000 + np.sort(rng.random(n)) * 200,
        rr=rng.normal(0, 1, n) + shift * (mode == "patient"),
        trade=np.arange(n),
        time_efficiency=rng.random(n),
    ).canonical()


def test_one_scope_scored_alone_equals_its_cell_in_the_cube() -> None:
    trades = events()
    reference = frozen_reference(trades, clip=(-3.0, 3.0))
    cube, statistics = aggregated_scopes(trades, reference, n_min=N_MIN, weights={})
    dims = trades.dims
    for row in range(0, len(cube), 7):
        key = trades.groups[cube.group[row]]
        scope = {
            dims[d]: trades.levels[d][code]
            for d, code in enumerate(cube.scope_codes[row])
            if code >= 0
        }
        alone = scope_scores(trades, key, scope, reference, weights={})
        assert alone is not None
        assert alone.n == statistics.n[row]
        assert alone.avg_rr == pytest.approx(statistics.avg_rr[row], abs=1e-12)
        assert alone.edge_raw == pytest.approx(statistics.edge_raw[row], abs=1e-12)
        assert alone.time_efficiency == pytest.approx(statistics.time_efficiency[row], abs=1e-12)
        assert alone.segments_positive == statistics.segments_positive[row]


def test_a_scope_without_trades_has_no_scores() -> None:
    trades = events()
    reference = frozen_reference(trades, clip=(-3.0, 3.0))
    key = trades.groups[0]
    assert scope_scores(trades, key, {"A_mode": "aggressive"}, reference, weights={}) is None
    assert scope_scores(trades, ("pm.x.y.z", "entry"), {}, reference, weights={}) is None


def test_the_reference_survives_storing() -> None:
    trades = events()
    reference = frozen_reference(trades, clip=(-3.0, 3.0))
    read = FrozenReference.from_json(reference.to_json())
    assert np.array_equal(read.of(trades), reference.of(trades))
    assert read.clip == reference.clip


def test_a_bucket_never_seen_before_falls_back_to_its_timeframe() -> None:
    trades = events()
    reference = frozen_reference(trades, clip=(-3.0, 3.0))
    unseen = TradeEvents.from_columns(
        pattern_key=["pm.a.b.c"], action_category=["entry"],
        scope={"macro_phase": ["Dip"], "bucket": ["xl"], "timeframe": ["1h"], "A_mode": [None]},
        closed_at_days=[19_000.0], rr=[0.0], trade=[1],
    )  # fmt: skip
    hourly = trades.scope_matches({"timeframe": "1h"})
    assert reference.of(unseen)[0] == pytest.approx(trades.rr[hourly].mean())


def test_regime_weights_change_the_ranking_score_of_their_regime_only() -> None:
    trades = events(shift=0.8)
    reference = frozen_reference(trades, clip=(-3.0, 3.0))
    learned = {("", "", "macro=Dip"): {"time_efficiency": 1.5, "recurrence": 0.5}}
    cube, neutral = aggregated_scopes(trades, reference, n_min=N_MIN, weights={})
    _, weighted = aggregated_scopes(trades, reference, n_min=N_MIN, weights=learned)
    in_dip = cube.scope_codes[:, 0] == trades.levels[0].index("Dip")
    assert np.array_equal(neutral.edge_raw[~in_dip], weighted.edge_raw[~in_dip])
    assert not np.allclose(neutral.edge_raw[in_dip], weighted.edge_raw[in_dip])
    assert np.array_equal(neutral.variance, weighted.variance)


def test_a_patterns_own_weights_go_before_those_of_all_at_the_same_signature() -> None:
    learned = {
        ("", "", "macro=Dip"): {"recurrence": 1.2},
        ("pm.a.b.c", "entry", "macro=Dip"): {"recurrence": 0.8},
        ("pm.a.b.c", "entry", ""): {"recurrence": 1.1},
    }
    scope = {"macro_phase": "Dip", "micro_phase": "Good"}
    assert regime_weights_for(learned, "pm.a.b.c", "entry", scope) == {"recurrence": 0.8}
    assert regime_weights_for(learned, "pm.a.b.d", "entry", scope) == {"recurrence": 1.2}
    assert regime_weights_for(learned, "pm.a.b.c", "entry", {}) == {"recurrence": 1.1}
