"""What a run logged, for the page of its run: the last lines of it."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import deque

from learning.store.database import masked

_LINES, _CHARACTERS = 200, 8000
_FORMAT = "%(asctime)sZ %(levelname)s %(name)s: %(message)s"


class RunLog(logging.Handler):
    """Keeps the last lines that the thread of a run logs, and its progress.

    Passwords in database URLs are masked.
    """

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()
        self._lines: deque[str] = deque(maxlen=_LINES)
        formatter = logging.Formatter(_FORMAT, datefmt="%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        self.setFormatter(formatter)

    def __enter__(self) -> RunLog:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record, where it is of the run's thread."""
        if record.thread == self._thread:
            self._lines.extend(map(without_passwords, self.format(record).splitlines()))

    def note(self, said: str) -> None:
        """Keep a sentence of the run's own; the same one again is kept once."""
        line = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {said}"
        if not self._lines or not self._lines[-1].endswith(f"Z {said}"):
            self._lines.append(without_passwords(line))

    def tail(self) -> str | None:
        """Return the last lines, None where there are none."""
        # NUL is the one sign that text in PostgreSQL cannot hold
        text = "\n".join(self._lines).replace("\x00", "").encode("utf-8", "replace").decode()
        return text[-_CHARACTERS:] or None


def without_passwords(text: str) -> str:
    """Return text with the password of every database URL in it masked.

    Examples:
        >>> without_passwords("cannot reach postgresql://ann:secret@db/x: refused")
        'cannot reach postgresql://ann:***@db/x: refused'
    """
    told = re.sub(r"\S*://\S*", lambda found: masked(found[0]), text)
    return re.sub(r"(?i)(password=)\S+", r"\1***", told)
