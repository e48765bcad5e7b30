"""A worker as a process of its own, forked: many of them fit into a second."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable


def in_a_process(work: Callable[[str], None], url: str) -> int:
    """Fork a worker; its database connection is its own. Return its process id."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(120)  # whatever goes wrong, it does not stay
        try:
            work(url)
        except BaseException:
            os._exit(1)
        os._exit(0)
    return pid
