"""Checks every promise, and keeps what it found for the screens and ``./run doctor``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from jobs.job import JobContext, JobReport
from learning.store import database, validation_rows
from learning.store.validation_rows import Check


def validate_learning(context: JobContext) -> JobReport:
    """Run every check; a failed check is a finding, not a failed job."""
    with database.transaction(context.engine, read_only=True) as connection:
        checks = validation_rows.run_checks(connection)
    return JobReport(len(checks), count(checks, "failed"), findings(checks))


def findings(checks: Sequence[Check]) -> dict[str, object]:
    """Return what is kept of a validation."""
    return {
        "failed": count(checks, "failed"),
        "warnings": count(checks, "warning"),
        "checks": [asdict(check) for check in checks],
    }


def count(checks: Sequence[Check], state: str) -> int:
    """Return how many checks ended in a state."""
    return sum(check.state == state for check in checks)
