"""The records of a JSON file, a few at a time: a list, JSON lines, or lists by name.

Only whole records are in memory, so a file may be larger than it. What is no record is handed
out as it is; the reader of the format rejects it.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from learning.errors import ImportRefused

_CHUNK: Final = 2**18
MAX_RECORD: Final = 2**24  # characters of one record
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_DECODER: Final = json.JSONDecoder(parse_constant=lambda _: None)
_INCOMPLETE: Final = object()


@dataclass(slots=True)
class _Text:
    """A window over the text of a file."""

    stream: IO[bytes]
    name: str
    decoder: Any = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8-sig")("replace")
    )
    buffer: str = ""
    at: int = 0
    is_all: bool = False

    def more(self) -> bool:
        """Read on; False at the end of the file."""
        if self.is_all:
            return False
        raw = self.stream.read(_CHUNK)
        self.is_all = not raw
        self.buffer = self.buffer[self.at :] + self.decoder.decode(raw, final=self.is_all)
        self.at = 0
        return not self.is_all

    def peek(self) -> str:
        """Return the next sign that is no blank; "" at the end."""
        while True:
            found = _SPACE.match(self.buffer, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.buffer):
                return self.buffer[self.at]
            if not self.more():
                return ""

    def value(self) -> Any:
        """Return the next JSON value.

        Raises:
            ImportRefused: If it is none, too deep, or too long.
        """
        self.peek()
        while True:
            found = self._try()
            if found is not _INCOMPLETE:
                return found
            if len(self.buffer) - self.at > MAX_RECORD:
                raise ImportRefused(f"{self.name} has a record of more than 16 MB")
            if not self.more():
                return self._try(is_last=True)

    def _try(self, *, is_last: bool = False) -> Any:
        try:
            value, end = _DECODER.raw_decode(self.buffer, self.at)
        except RecursionError:
            raise ImportRefused(f"{self.name} is nested too deeply") from None
        except ValueError as error:
            if is_last or self.is_all:
                reason = str(error).partition(":")[0]
                raise ImportRefused(f"{self.name} is no valid JSON: {reason}") from None
            return _INCOMPLETE
        if end == len(self.buffer) and not self.is_all and not isinstance(value, dict | list | str):
            return _INCOMPLETE  # a number may go on
        self.at = end
        return value


@dataclass(frozen=True, slots=True)
class JsonRecord:
    """One record: its place, from 1, and the name of its list where the file has several."""

    place: int
    group: str
    value: Any


def json_records(path: Path) -> Iterator[JsonRecord]:
    """Yield the records of a file.

    Raises:
        ImportRefused: If it is no JSON.
    """
    try:
        with path.open("rb") as stream:
            text = _Text(stream, path.name)
            for place, (group, value) in enumerate(_records(text), start=1):
                yield JsonRecord(place, group, value)
    except OSError as error:
        raise ImportRefused(f"{path} cannot be read: {error}") from None


def _records(text: _Text) -> Iterator[tuple[str, Any]]:
    start = text.peek()
    if start == "[":
        for value in _elements(text):
            yield "", value
    elif start == "{" and _starts_lists(text):
        yield from _named_lists(text)
    else:
        while text.peek():
            yield "", text.value()


def _starts_lists(text: _Text) -> bool:
    """Whether an object holds lists by name; one record a line does not."""
    while len(text.buffer) - text.at < 4096 and text.more():
        pass
    head = text.buffer[text.at : text.at + 4096]
    return re.match(r'\{\s*"(?:[^"\\]|\\.)*"\s*:\s*\[', head) is not None


def _elements(text: _Text) -> Iterator[Any]:
    """The elements of a list whose bracket comes next."""
    text.at += 1
    if text.peek() == "]":
        text.at += 1
        return
    while True:
        yield text.value()
        sign = text.peek()
        text.at += 1
        if sign == "]":
            return
        if sign != ",":
            raise ImportRefused(f"{text.name} is no valid JSON: a list ends too early")


def _named_lists(text: _Text) -> Iterator[tuple[str, Any]]:
    for name in _members(text):
        if text.peek() == "[":
            for value in _elements(text):
                yield name, value
        else:
            text.value()  # a count beside the lists


def _members(text: _Text) -> Iterator[str]:
    """The names of an object whose brace comes next; whoever takes one, takes its value too."""
    text.at += 1
    if text.peek() == "}":
        text.at += 1
        return
    while True:
        name = text.value()
        if text.peek() != ":":
            raise ImportRefused(f"{text.name} is no valid JSON: a name without a value")
        text.at += 1
        yield str(name)
        sign = text.peek()
        text.at += 1
        if sign == "}":
            return
        if sign != ",":
            raise ImportRefused(f"{text.name} is no valid JSON: an object ends too early")


@dataclass(frozen=True, slots=True)
class BacktestPart:
    """A part of a strategy's block: one trade, or another value of the block.

    ``key`` is ``trades`` where the list begins, ``trade`` for each of it, else the value's name.
    """

    strategy: str
    key: str
    value: Any


def backtest_parts(stream: IO[bytes], name: str) -> Iterator[BacktestPart]:
    """Yield the parts of freqtrade's backtest results, as the file has them.

    Raises:
        ImportRefused: If it is no JSON.
    """
    text = _Text(stream, name)
    if text.peek() != "{":
        text.value()
        return
    for key in _members(text):
        if key == "strategy" and text.peek() == "{":
            for strategy in _members(text):
                yield from _block_parts(text, strategy)
        else:
            _skip(text)


def _block_parts(text: _Text, strategy: str) -> Iterator[BacktestPart]:
    if text.peek() != "{":
        _skip(text)
        return
    for key in _members(text):
        if key == "trades" and text.peek() == "[":
            yield BacktestPart(strategy, "trades", None)
            for trade in _elements(text):
                yield BacktestPart(strategy, "trade", trade)
        elif text.peek() in ("[", "{"):
            _skip(text)
        else:
            yield BacktestPart(strategy, key, text.value())


def _skip(text: _Text) -> None:
    """Read over a value; a list element by element."""
    if text.peek() == "[":
        for _ in _elements(text):
            pass
    else:
        text.value()


def first_records(path: Path, n: int) -> list[JsonRecord]:
    """Return the first ``n`` records of a file; fewer where it holds fewer."""
    found = []
    for record in json_records(path):
        found.append(record)
        if len(found) == n:
            break
    return found
