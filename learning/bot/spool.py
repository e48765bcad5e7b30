"""The spool: strands that the database cannot take now, one JSON line each, in a local file."""

from __future__ import annotations

import base64
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO
from uuid import UUID

from learning.store.delivery_rows import Delivery


class Spool:
    """An append-only file of strands; several processes of one bot may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unreadable = path.with_suffix(".unreadable.jsonl")

    def append(self, deliveries: Sequence[Delivery]) -> None:
        """Add strands and wait until they are on disk.

        Raises:
            OSError: If the disk does not take them; then none counts as added.
        """
        if not deliveries:
            return
        lines = "".join(_line(delivery) for delivery in deliveries)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked("ab") as file:
            end = file.seek(0, os.SEEK_END)
            try:
                # a line that a crash cut off must not swallow the next one
                file.write(("\n" if self._is_cut_off(end) else "").encode() + lines.encode())
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise

    def drain(self, deliver: Callable[[Sequence[Delivery]], None], *, batch: int = 500) -> int:
        """Hand all strands to ``deliver``, then take them out; return how many there were.

        If ``deliver`` raises, the file stays whole: what was delivered already is recognised by
        its strand_key when it comes again. What is added meanwhile stays, and nobody who adds
        waits for ``deliver``. A line that cannot be read is set aside in a file of its own.
        """
        if not self.path.exists() or self.path.stat().st_size == 0:
            return 0
        with self._locked("rb") as file:
            lines = file.read()
        found, unreadable = _read(lines)
        for start in range(0, len(found), batch):
            deliver(found[start : start + batch])
        self._take_out(lines, unreadable)
        return len(found)

    def _take_out(self, lines: bytes, unreadable: Sequence[bytes]) -> None:
        with self._locked("r+b") as file:
            now = file.read()
            if not now.startswith(lines):  # another process of the bot was quicker
                return
            if unreadable:
                with self._unreadable.open("ab") as aside:
                    aside.writelines(unreadable)
            rest = now[len(lines) :]
            if rest:  # whole or not at all: a crash between must not lose it
                beside = self.path.with_suffix(".rest")
                beside.write_bytes(rest)
                beside.replace(self.path)
            else:
                file.truncate(0)

    @contextmanager
    def _locked(self, mode: str) -> Iterator[IO[bytes]]:
        while True:
            with self.path.open(mode) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if not self._is_replaced(file):
                    yield file
                    return

    def _is_replaced(self, file: IO[bytes]) -> bool:
        """Whether the file was replaced by another while this waited for its lock."""
        try:
            return self.path.stat().st_ino != os.fstat(file.fileno()).st_ino
        except FileNotFoundError:
            return True

    def _is_cut_off(self, end: int) -> bool:
        if end == 0:
            return False
        with self.path.open("rb") as file:
            file.seek(end - 1)
            return file.read(1) != b"\n"


def _read(lines: bytes) -> tuple[list[Delivery], list[bytes]]:
    found: list[Delivery] = []
    unreadable: list[bytes] = []
    for line in lines.splitlines(keepends=True):
        try:
            found.append(_delivery(line))
        except (ValueError, TypeError, KeyError, RecursionError):
            if line.strip():
                unreadable.append(line if line.endswith(b"\n") else line + b"\n")
    return found, unreadable


def _line(delivery: Delivery) -> str:
    fields = asdict(delivery)
    fields["strand_key"] = str(delivery.strand_key)
    if delivery.raw is not None:
        fields["raw"] = base64.b64encode(delivery.raw).decode()
    return json.dumps(fields) + "\n"


def _delivery(line: bytes) -> Delivery:
    fields = json.loads(line)
    fields["strand_key"] = UUID(fields["strand_key"])
    if fields["raw"] is not None:
        fields["raw"] = base64.b64decode(fields["raw"])
    return Delivery(**fields)
