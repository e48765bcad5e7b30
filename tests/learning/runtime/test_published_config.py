"""What materialising publishes is what the runtime reads."""

from __future__ import annotations

import json
from datetime import timedelta

from learning.domain.levers import CAPITAL_LEVERS, EXECUTION_LEVERS, LEVERS, levers_of
from learning.overrides.materialising import ActiveLesson, Override, config_data
from learning.runtime.override_table import read_table
from tests.learning.runtime.configs import NOW


def published(number: int, pattern_key: str, category: str, lesson_type: str) -> Override:
    module = pattern_key.partition(".")[0]
    names = [*levers_of(module, category), *EXECUTION_LEVERS]
    levers = {name: LEVERS[name].high for name in names}
    lesson = ActiveLesson(
        lesson_id=number,
        version=2,
        module=module,
        pattern_key=pattern_key,
        action_category=category,
        scope={} if lesson_type == "level" else {"bucket": "micro", "bucket_rank_position": 1},
        lesson_type=lesson_type,
        levers=levers,
        strength=0.4,
        decay_halflife_hours=None,
        latent_factor_id=None if lesson_type == "level" else "lf_a",
        mean_closed_at=NOW,
        activated_at=NOW,
        expires_at=NOW + timedelta(days=30),
    )
    return Override(lesson=lesson, levers=levers, target=levers, epoch=NOW.date())


def test_every_lever_that_is_published_is_read_and_none_is_refused():
    known = {
        "pm": [
            published(1, "pm.uptrend.S1.buy_flag", "entry", "pm_strength"),
            published(2, "pm.uptrend.S1.buy_flag", "exit", "level"),
        ],
        "dm": [published(3, "dm.social.S0.call", "entry", "dm_alloc")],
    }
    configs = {
        module: json.loads(
            json.dumps(
                config_data(
                    [(10 + o.lesson.lesson_id, o) for o in overrides],
                    module=module,
                    feature_flags={"learning_overrides_enabled": True},
                    holdout_share=0.2,
                    generation=3,
                    revision=8,
                )
            )
        )
        for module, overrides in known.items()
    }
    read = read_table(configs, generation=3, revision=8)
    assert read.refusals == ()
    found = {(o.kind, o.override_id): set(o.levers) for o in read.overrides}
    timing = set(EXECUTION_LEVERS)
    assert found == {
        ("strength", 11): set(CAPITAL_LEVERS) - {"alloc_mult"},
        ("execution", 11): timing,
        ("strength", 12): {"exit_aggression_mult"},
        ("execution", 12): timing,
        ("allocation", 13): {"alloc_mult"},
        ("execution", 13): timing,
    }
    assert all(o.expires_at == (NOW + timedelta(days=30)).timestamp() for o in read.overrides)
