"""What goes wrong with files between the tool that wrote them and the one that reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

HOSTILE = [
    "", " ", "nan", "NaN", "inf", "-inf", "-1", "0", "-0.0", "1e308", "1e-320", "9" * 400, "1,5",
    "1.234,5", "\u22123", "(3)", "a\x00b", "a\x1bb", "\u202e", "x" * 5000, "2024-13-45",
    "0001-01-01", "9999-12-31 23:59:59", "2024-03-01 10:00", "1709287200000", "9" * 20, "$1,234.50",
    "3/4/2024", "31/12/24 11:59 PM", "30.02.2024", "Feb 30, 2024", "0/0/0000", "12/31/9999",
    "long", "short", "BUY", "=cmd()", "<b>&amp;</b>", '"', "'", ";", "\t", "{", "[", "null", "É",
    "日", "True", "Open", "Entry long", "Exit short", "in/out", "balance", "C;O", "modify", "close",
    "canceled", "../../etc/passwd", "\ud800", "\ufeff", "{}", "[[[[", '{"a":', "<tr><td>", "</tr>",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2**62, -(2**62), 0.0, -0.0, 1e308, 5e-324, float("nan"),
    float("inf"), 1709287200, 1709287200000, [], {}, [None], {"a": 1}, b"\xff\xfe", *HOSTILE,
]  # fmt: skip

_COUNTS = (1, 1, 1, 2, 3, 6)  # a file with six things wrong is seldom read at all


def noise(rng: Random) -> bytes:
    """A few bytes of what should not be there."""
    kind = rng.randrange(4)
    if kind == 0:
        return rng.randbytes(rng.randrange(24))
    if kind == 1:
        return str(rng.randint(-(2**70), 2**70)).encode()
    if kind == 2:
        return repr(
            rng.choice([rng.gauss(0, 1e3), rng.random(), 10 ** rng.uniform(-9, 9)])
        ).encode()
    return rng.choice(HOSTILE).encode("utf-8", "surrogatepass")


def edited_text(raw: bytes, rng: Random, marks: bytes) -> bytes:
    """A text file with one to six things wrong: in bytes, cells, lines, columns, or as a whole."""
    for _ in range(rng.choice(_COUNTS)):
        edit = rng.choice(_FINE if rng.random() < 0.8 else _COARSE)
        raw = edit(raw, rng, marks)
    return raw


def edited_bytes(raw: bytes, rng: Random) -> bytes:
    """A file that is no text with bytes changed, cut off, or doubled."""
    for _ in range(rng.choice(_COUNTS)):
        raw = rng.choice([_bytes, _bytes, _bytes, _cut, _appended])(raw, rng, b"")
    return raw


def _bytes(raw: bytes, rng: Random, marks: bytes) -> bytes:
    at = rng.randint(0, len(raw))
    return raw[:at] + noise(rng) + raw[at + rng.randrange(30) :]


def _cell(raw: bytes, rng: Random, marks: bytes) -> bytes:
    starts = [place for place, byte in enumerate(raw) if byte in marks]
    if not starts:
        return raw
    at = rng.choice(starts) + 1
    end = next((place for place in range(at, len(raw)) if raw[place] in marks), len(raw))
    return raw[:at] + noise(rng) + raw[end:]


def _line_out(raw: bytes, rng: Random, marks: bytes) -> bytes:
    lines = raw.split(b"\n")
    del lines[rng.randrange(len(lines))]
    return b"\n".join(lines)


def _line_twice(raw: bytes, rng: Random, marks: bytes) -> bytes:
    lines = raw.split(b"\n")
    lines.insert(rng.randint(0, len(lines)), rng.choice(lines))
    return b"\n".join(lines)


def _lines_swapped(raw: bytes, rng: Random, marks: bytes) -> bytes:
    lines = raw.split(b"\n")
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]
    return b"\n".join(lines)


def _column_changed(raw: bytes, rng: Random, marks: bytes) -> bytes:
    """A column out, twice, empty, or in another place, in every line."""
    mark = marks[:1]
    table = [line.split(mark) for line in raw.split(b"\n")]
    width = max(len(cells) for cells in table)
    at, to, kind = rng.randrange(width), rng.randrange(width), rng.randrange(4)
    for cells in table:
        if at >= len(cells):
            continue
        if kind == 0:
            del cells[at]
        elif kind == 1:
            cells.insert(min(to, len(cells)), cells[at])
        elif kind == 2:
            cells[at] = b""
        elif to < len(cells):
            cells[at], cells[to] = cells[to], cells[at]
    return b"\n".join(mark.join(cells) for cells in table)


def _cut(raw: bytes, rng: Random, marks: bytes) -> bytes:
    return raw[: rng.randint(0, len(raw))]


def _appended(raw: bytes, rng: Random, marks: bytes) -> bytes:
    return raw + rng.choice([b"", b"\n", b"\n\n"]) + raw


def _preceded(raw: bytes, rng: Random, marks: bytes) -> bytes:
    return (
        rng.choice([b"Report of 2024\n\n", b"\n\n\n", b"\xef\xbb\xbf", b"sep=;\n", b"a,b\n"]) + raw
    )


def _other_line_ends(raw: bytes, rng: Random, marks: bytes) -> bytes:
    return raw.replace(b"\n", rng.choice([b"\r\n", b"\r", b"\n\n", b"\n,,,,\n"]))


def _other_delimiter(raw: bytes, rng: Random, marks: bytes) -> bytes:
    return raw.replace(marks[:1], rng.choice([b",", b";", b"\t", b"|", b"  "]))


def _recoded(raw: bytes, rng: Random, marks: bytes) -> bytes:
    text = raw.decode("utf-8", "replace")
    return text.encode(
        rng.choice(["utf-16", "utf-16-le", "cp1251", "latin-1", "utf-8-sig"]), "replace"
    )


def _quoted(raw: bytes, rng: Random, marks: bytes) -> bytes:
    mark = marks[:1]
    lines = [
        mark.join(b'"' + cell + b'"' for cell in line.split(mark)) for line in raw.split(b"\n")
    ]
    return b"\n".join(lines)


_FINE: list[Callable[[bytes, Random, bytes], bytes]] = [
    _bytes, _cell, _cell, _cell, _line_out, _line_twice, _lines_swapped,
]  # fmt: skip
_COARSE: list[Callable[[bytes, Random, bytes], bytes]] = [
    _column_changed, _column_changed, _cut, _appended, _preceded, _other_line_ends,
    _other_delimiter, _recoded, _quoted,
]  # fmt: skip


def edited_json(raw: bytes, rng: Random) -> bytes:
    """A JSON file whose values, names and nesting were changed; now and then its text too."""
    try:
        content = [json.loads(line) for line in raw.splitlines() if line.strip()]
    except ValueError:
        content = [json.loads(raw)]
    for _ in range(rng.choice(_COUNTS)):
        content = _edited_value(content, rng)
    lines = content if isinstance(content, list) and content else [content]
    if len(lines) == 1 or rng.random() < 0.5:
        text = "\n".join(json.dumps(line) for line in lines).encode()
    else:
        text = json.dumps(lines, indent=rng.choice([None, 1])).encode()
    return _FINE[rng.randrange(2)](text, rng, b":,") if rng.random() < 0.2 else text


def _edited_value(value: Any, rng: Random) -> Any:
    """The value with one change somewhere within it."""
    if isinstance(value, dict) and value and rng.random() < 0.97:
        key = rng.choice(list(value))
        kind = rng.random()
        if kind < 0.15:
            return {name: one for name, one in value.items() if name != key}
        if kind < 0.2:
            return {(f"{name}_" if name == key else name): one for name, one in value.items()}
        return {**value, key: _edited_value(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.97:
        at, kind = rng.randrange(len(value)), rng.random()
        if kind < 0.1:
            return value[:at] + value[at + 1 :]
        if kind < 0.2:
            return [*value, value[at]]
        return [*value[:at], _edited_value(value[at], rng), *value[at + 1 :]]
    found = rng.choice(VALUES)
    return (
        None
        if isinstance(found, bytes) or (isinstance(found, str) and "\ud800" in found)
        else found
    )


def edited_rows(rows: list[dict[str, Any]], rng: Random) -> list[dict[str, Any]]:
    """Rows of a table with cells of other types, rows doubled, gone, or in another order."""
    found = [dict(row) for row in rows]
    for _ in range(rng.choice(_COUNTS)):
        kind = rng.random()
        if kind < 0.7:
            row = rng.choice(found)
            row[rng.choice(list(row))] = rng.choice(VALUES)
        elif kind < 0.8:
            found.append(dict(rng.choice(found)))
        elif kind < 0.9 and len(found) > 1:
            found.pop(rng.randrange(len(found)))
        else:
            rng.shuffle(found)
    return found
