"""How old the last good run of each job may be before screens call its numbers stale.

The timetable itself loads every statistic library, and no page should wait for those; a test
compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

MAX_AGE: Final[Mapping[str, timedelta]] = {
    "ingest_strands": timedelta(hours=5),
    "aggregate_scopes": timedelta(hours=5),
    "mine_lessons": timedelta(hours=13),
    "estimate_half_lives": timedelta(days=8),
    "cluster_factors": timedelta(days=8),
    "learn_regime_weights": timedelta(days=2),
    "materialise_overrides": timedelta(hours=5),
    "measure_effects": timedelta(days=2),
    "validate_learning": timedelta(hours=3),
    "prune_history": timedelta(days=15),
}
EVERY: Final[Mapping[str, timedelta]] = {
    "ingest_strands": timedelta(hours=2),
    "aggregate_scopes": timedelta(hours=2),
    "mine_lessons": timedelta(hours=6),
    "estimate_half_lives": timedelta(days=7),
    "cluster_factors": timedelta(days=7),
    "learn_regime_weights": timedelta(days=1),
    "materialise_overrides": timedelta(hours=2),
    "measure_effects": timedelta(days=1),
    "validate_learning": timedelta(hours=1),
    "prune_history": timedelta(days=7),
}
