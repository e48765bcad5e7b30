"""What the comparisons found, below the result of the run."""

from __future__ import annotations

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    found = [
        value
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == "found"
    ]
    if found:
        terminalreporter.section("backtests in freqtrade, with the mixin and without")
        for line in found:
            terminalreporter.write_line(line)
