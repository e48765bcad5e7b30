"""What one module fails with waits for the other; what ends the run does not."""

from __future__ import annotations

import pytest

from jobs.both_modules import ModuleFailures
from jobs.job import RunLost
from learning.errors import ConfigError


def failed(pm: Exception, dm: Exception | None) -> ModuleFailures:
    failures = ModuleFailures()
    with failures.kept("pm"):
        raise pm
    with failures.kept("dm"):
        if dm is not None:
            raise dm
    return failures


def test_one_error_is_raised_as_it_is() -> None:
    error = ValueError("a scope of pm")
    with pytest.raises(ValueError, match="a scope of pm") as raised:
        failed(error, None).tell()
    assert raised.value is error


def test_two_errors_become_one_that_names_both() -> None:
    with pytest.raises(ConfigError, match=r"^pm: one list; dm: KeyError: 7$"):
        failed(ConfigError("one list"), KeyError(7)).tell()


def test_the_same_sentence_is_told_once() -> None:
    with pytest.raises(ConfigError, match=r"^another outcome$"):
        failed(ConfigError("another outcome"), ConfigError("another outcome")).tell()


def test_a_lost_run_ends_at_once() -> None:
    with pytest.raises(RunLost, match="taken over"):
        failed(RunLost("taken over"), None)
