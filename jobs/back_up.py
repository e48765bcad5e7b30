"""Writes a backup of the whole database each week, tries it, and keeps the newest ones."""

from __future__ import annotations

from pathlib import Path

from jobs.job import JobContext, JobReport
from learning.store.restore_drill import proven_backup

_NAMES = "weekly-*.backup"  # what people put beside them stays


def back_up(context: JobContext) -> JobReport:
    """Write this week's backup under the home folder, unless the setting keeps none.

    What was kept before goes only when the new one is complete and was restored, for a moment, on
    a server of its own; where none can be started, when it was read to its end.

    Raises:
        LearningError: If it does not bring back what was written, or PostgreSQL's programs are
            missing or refuse.
    """
    keep = context.settings.backup_keep
    if not keep:
        context.progress(0, None, "EDGEKEEPER_BACKUP_KEEP is 0: no backup is kept")
        return JobReport()
    folder = context.settings.home / "backups"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"weekly-{context.now:%Y%m%dT%H%M%SZ}.backup"
    context.progress(0, None, f"writing {path}")
    drill = proven_backup(context.engine, path, home=context.settings.home)
    removed = _remove_all_but(keep, folder)
    megabytes = round(drill.size / 1e6, 1)
    changed: dict[str, object] = {"written": 1, "removed": removed, "megabytes": megabytes}
    if drill.why_not is None:
        changed |= {"tables_restored": len(drill.tables), "rows_restored": drill.n_rows}
    else:
        changed |= {"not_restored": drill.why_not}
    return JobReport(rows_out=1, changed=changed)


def _remove_all_but(keep: int, folder: Path) -> int:
    """Remove the oldest backups; their names sort by time."""
    old = sorted(folder.glob(_NAMES))[:-keep]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)
