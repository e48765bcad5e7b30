"""Names of workers: unique per start, and telling on the same machine whether one still lives."""

from __future__ import annotations

import os
import re
import socket
import uuid
from pathlib import Path

_PROC = Path("/proc")


def worker_name() -> str:
    """Return a name that no earlier or other worker has had: host/process/start-machine-unique."""
    process = os.getpid()
    unique = uuid.uuid4().hex[:8]
    return f"{socket.gethostname()}/{process}/{_start(process) or 0}-{_machine()}-{unique}"


def is_dead(name: str) -> bool:
    """Say whether the process of a worker is known to have ended.

    Known only of workers of this machine, boot and process namespace: two containers may share
    a host name and still not see each other's processes. Of others only silence tells.
    """
    known = _process(name)
    return known is not None and _start(known[0]) != known[1]


def is_stopped(name: str) -> bool:
    """Say whether the process of a worker is known to be frozen, by SIGSTOP or a debugger."""
    known = _process(name)
    if known is None or _start(known[0]) != known[1]:
        return False
    fields = _fields(known[0])
    return fields is not None and fields[0] in ("T", "t")


def _process(name: str) -> tuple[int, int] | None:
    """Process and start of a worker whose processes can be seen from here."""
    found = re.fullmatch(r"(.*)/(\d+)/(\d+)-(\w+)-\w+", name)
    if found is None:
        return None
    host, process, start, machine = found.groups()
    if not machine or host != socket.gethostname() or machine != _machine() or start == "0":
        return None
    return int(process), int(start)


def _machine() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        return "unknown" + uuid.uuid4().hex  # matches no other: silence decides
    return boot.strip().replace("-", "")[:8] + re.sub(r"\D", "", namespace)


def _start(process: int) -> int | None:
    """When a living process started, in ticks since boot; None where it lives no more."""
    fields = _fields(process)
    return None if fields is None or fields[0] in ("Z", "X") else int(fields[19])


def _fields(process: int) -> list[str] | None:
    try:
        stat = (_PROC / str(process) / "stat").read_text()
    except OSError:
        return None
    # the name in parentheses may hold anything; what follows it is plain
    return stat.rpartition(")")[2].split()
