"""Configs as a bot reads them, small enough to check by hand."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from learning.runtime.in_force import install
from learning.runtime.override_table import OverrideTable, read_table

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = "pm.uptrend.S1.buy_flag"
DM_KEY = "dm.social.S0.call"
LISTS = ("pattern_strength_overrides", "pattern_overrides", "alloc_overrides")


def entry(override_id: int = 1, levers: dict[str, Any] | None = None, **changes: Any) -> dict:
    """One entry; ``strength``, ``type`` and ``factor`` go to its lesson, ``share`` to holdout."""
    lesson = {
        "id": 100 + override_id,
        "version": 3,
        "type": changes.pop("type", "pm_strength"),
        "strength": changes.pop("strength", 0.5),
        "decay_halflife_hours": 720,
        "latent_factor_id": changes.pop("factor", None),
        "enabled": changes.pop("enabled", True),
    }
    return {
        "override_id": override_id,
        "pattern_key": KEY,
        "action_category": "entry",
        "scope": {},
        "levers": {"size_mult": 1.1} if levers is None else levers,
        "expires_at": (NOW + timedelta(days=1)).isoformat(),
        "holdout": {"share": changes.pop("share", 0.0), "salt": f"L-{override_id}-v3"},
        "lesson": lesson,
        **changes,
    }


def config(
    *strength: object, execution: Any = (), allocation: Any = (), **changes: Any
) -> dict[str, Any]:
    return {
        "generation": 1,
        "revision": 17,
        "feature_flags": {},
        "pattern_strength_overrides": list(strength),
        "pattern_overrides": list(execution),
        "alloc_overrides": list(allocation),
        **changes,
    }


def table(*strength: object, revision: int = 17, **changes: Any) -> OverrideTable:
    options = {k: changes.pop(k) for k in ("flags", "combine", "previous") if k in changes}
    configs: dict[str, object] = {"pm": config(*strength, **changes)}
    if "allocation" in changes:
        configs = {"dm": configs["pm"]}
    return read_table(configs, generation=1, revision=revision, **options)


def put_in_force(built: OverrideTable, **changes: Any) -> bool:
    """Install at the instant ``NOW``, never stale unless asked for."""
    options = {"max_config_age_s": math.inf, "read_on": NOW.timestamp(), **changes}
    return install(built, **options)
