"""Writes a backup of the whole database each week, and keeps the newest ones."""

from __future__ import annotations

from pathlib import Path

from jobs.job import JobContext, JobReport
from learning.errors import LearningError
from learning.store import backup

_NAMES = "weekly-*.backup"  # what people put beside them stays


def back_up(context: JobContext) -> JobReport:
    """Write this week's backup under the home folder, unless the setting keeps none.

    What was kept before goes only when the new one is complete and was read to its end.

    Raises:
        LearningError: If PostgreSQL's programs are missing or refuse.
    """
    keep = context.settings.backup_keep
    if not keep:
        context.progress(0, None, "EDGEKEEPER_BACKUP_KEEP is 0: no backup is kept")
        return JobReport()
    folder = context.settings.home / "backups"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"weekly-{context.now:%Y%m%dT%H%M%SZ}.backup"
    context.progress(0, None, f"writing {path}")
    size = backup.back_up(context.engine, path)
    try:
        backup.verify(path)
    except LearningError:
        path.unlink()  # it must not count as one that is kept
        raise
    removed = _remove_all_but(keep, folder)
    changed = {"written": 1, "removed": removed, "megabytes": round(size / 1e6, 1)}
    return JobReport(rows_out=1, changed=changed)


def _remove_all_but(keep: int, folder: Path) -> int:
    """Remove the oldest backups; their names sort by time."""
    old = sorted(folder.glob(_NAMES))[:-keep]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)
