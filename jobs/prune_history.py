"""Throws away old records of running; events, decisions and applications are never touched."""

from __future__ import annotations

from jobs.job import JobContext, JobReport
from learning.store.retention_rows import POLICY, prune


def prune_history(context: JobContext) -> JobReport:
    """Thin out by the policy, in one transaction."""
    with context.transaction() as connection:
        pruned = prune(connection, POLICY, now=context.now)
    return JobReport(rows_out=sum(pruned.values()), changed=pruned)
