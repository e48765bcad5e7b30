"""The setting that says which signal thresholds may be learned."""

from __future__ import annotations

import pytest

from learning.domain.levers import ThresholdRange
from learning.errors import ConfigError
from learning.settings import Settings

VARIABLE = "EDGEKEEPER_SIGNAL_THRESHOLDS"


def test_thresholds_are_read_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        VARIABLE,
        '{"max_edx_for_add": {"signal": "EDX", "kind": "max", "low": 0.2, "high": 1, "step": 0.2}}',
    )
    [(name, given)] = Settings.from_env().signal_thresholds.items()
    assert name == "max_edx_for_add"
    assert given == ThresholdRange("EDX", "max", low=0.2, high=1.0, step=0.2)
    assert given.values == (0.8, 0.6, 0.4, 0.2)
    assert given.lever(name).neutral == 1.0


def test_none_may_be_learned_by_default() -> None:
    assert Settings().signal_thresholds == {}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ('{"min_ts": {"signal": "TS", "kind": "min", "low": 0, "high": 1, "step": 0.1}}', "_for_"),
        ('{"min_ts_for_add": {"signal": "TS", "kind": "min", "low": 1, "high": 0, "step": 0.1}}',
         "low < high"),
        ('{"min_ts_for_add": {"signal": "TS", "kind": "at", "low": 0, "high": 1, "step": 0.1}}',
         "'min' or 'max'"),
        ('{"min_ts_for_add": {"signal": "TS", "kind": "min", "low": 0, "high": 1}}', "required"),
    ],
)  # fmt: skip
def test_a_threshold_that_breaks_its_rule_is_refused_in_words(
    monkeypatch: pytest.MonkeyPatch, given: str, told: str
) -> None:
    monkeypatch.setenv(VARIABLE, given)
    with pytest.raises(ConfigError, match=told):
        Settings.from_env()
