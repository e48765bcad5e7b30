"""Edgekeeper's learning package; the names a bot needs, loaded only when they are used."""

from __future__ import annotations

import importlib

_HOME_OF_NAME = {
    "apply_pattern_strength_overrides": "learning.runtime.apply",
    "apply_pattern_execution_overrides": "learning.runtime.apply",
    "apply_allocation_overrides": "learning.runtime.apply",
    "explain": "learning.runtime.explaining",
    "install": "learning.runtime.in_force",
    "read_table": "learning.runtime.override_table",
    "load_overrides": "learning.bot.config_feed",
    "start_config_feed": "learning.bot.config_feed",
    "start_recorder": "learning.bot.recorder",
    "regime_context": "learning.store.regime_rows",
    "build_scope": "learning.domain.regime",
    "RegimeContext": "learning.domain.regime",
    "LearningError": "learning.errors",
}

__all__ = sorted(_HOME_OF_NAME)


def __getattr__(name: str) -> object:
    home = _HOME_OF_NAME.get(name)
    if home is None:
        raise AttributeError(f"module 'learning' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)
