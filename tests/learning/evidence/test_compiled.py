"""Kernels compile wherever they are installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from learning.evidence import compiled as module


def test_a_package_that_no_cache_can_be_written_for_still_imports(monkeypatch: pytest.MonkeyPatch):
    options_seen: list[dict[str, Any]] = []

    def njit(kernel: Callable, **options: Any) -> Callable:
        options_seen.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return kernel

    monkeypatch.setattr(module.numba, "njit", njit)
    assert module.compiled(abs)(-2) == 2
    assert [options.get("cache", False) for options in options_seen] == [True, False]
    assert all(options["nogil"] for options in options_seen)
