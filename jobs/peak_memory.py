"""The most memory that a run held at any moment."""

from __future__ import annotations

import resource
import threading
from pathlib import Path

_SELF = Path("/proc/self")
_lock = threading.Lock()
_under_way = 0


class PeakMemory:
    """Measures the peak of the process from its start on.

    Linux keeps that peak and lets it be set back to what is held now. It is set back only where
    no other run of this process is under way, which would lose its own: then, and on other
    systems, it is the peak since an earlier moment, so at least that of the run.
    """

    def __enter__(self) -> PeakMemory:
        global _under_way
        with _lock:
            if _under_way == 0:
                _set_back()
            _under_way += 1
        return self

    def __exit__(self, *_: object) -> None:
        global _under_way
        with _lock:
            _under_way -= 1

    def megabytes(self) -> float:
        """Return the peak so far, in MiB."""
        try:
            status = (_SELF / "status").read_text()
        except OSError:
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024


def _set_back() -> None:
    try:
        (_SELF / "clear_refs").write_text("5")
    except OSError:
        return  # not Linux, or not allowed: the peak of the process then
