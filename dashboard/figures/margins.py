"""Room beside a chart for what stands there, so that a browser draws it once.

Plotly finds out how much room labels take by drawing them, and where that is more than it had left
draws all of it again: half of the time that a page of charts takes. What is left here is about what
it would find. Where that is too little, as for labels that a narrow screen turns, Plotly still
makes more.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

_EM_OF: Final = (
    (" ',.:;|ij", 0.23), ("Il!f()[]{}", 0.27), ("-tr", 0.32), ('"/\\*?xsz', 0.41),
    ("vyckYJL", 0.46), ("+<=>^~#$0123456789FX\u2212", 0.5), ("&CBDGHNUPZbdpqRSTuhnoAEK`", 0.57),
    ("OQwM", 0.68), ("W%@m\u2014\u2026", 0.86),
)  # fmt: skip
"""Widths of letters of Source Sans at the weight of labels, in em, rounded up by a little."""
_EM: Final = {letter: em for letters, em in _EM_OF for letter in letters}
_OF_OTHERS: Final = 0.6
_FONT_PX: Final = 12.0
_LINE: Final = 1.3  # of the size of the font
_GAP_PX: Final = 4.0
_TITLE_PX: Final = 17.0
_BREAK: Final = re.compile(r"<br\s*/?>|\n")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_TAG: Final = re.compile(r"<[^>]*>")
_LONG_SPAN_DAYS: Final = 200.0  # months stand in one line, days with their year in two

Sides = dict[str, float]


def text_width(text: str, font_px: float = _FONT_PX) -> float:
    """Return about how wide the longest line of a label is, px.

    Examples:
        >>> round(text_width("bench.S1.p07")), round(text_width("<b>L-0001</b><br>n"))
        (70, 33)
    """
    lines = [html.unescape(_TAG.sub("", line)) for line in _BREAK.split(text)]
    return font_px * max(sum(_EM.get(letter, _OF_OTHERS) for letter in line) for line in lines)


def make_room(figure: Mapping[str, Any]) -> Sides:
    """Return the margins that a figure needs, px: never less than it has.

    Args:
        figure: As it is sent: ``data`` and ``layout``.
    """
    layout, traces = figure["layout"], figure["data"]
    margin = layout.get("margin") or {}
    sides = {side: float(margin.get(side, 0)) for side in "lrtb"}
    for name, axis in layout.items():
        if re.fullmatch(r"[xy]axis\d*", name) and axis.get("visible", True):
            side, px = _beside(name[0], axis, list(_values(traces, name)))
            sides[side] = max(sides[side], px)
    for trace in traces:
        if trace.get("colorbar") and trace.get("showscale", True):
            sides["r"] = max(sides["r"], _right_of(trace["colorbar"]))
    return {side: float(math.ceil(px)) for side, px in sides.items()}


def _values(traces: Sequence[Mapping[str, Any]], axis: str) -> Iterator[Any]:
    """What traces have along an axis; numbers that travel packed are no labels."""
    letter, number = axis[0], axis.removeprefix(f"{axis[0]}axis")
    for trace in traces:
        if trace.get(f"{letter}axis", letter) == f"{letter}{number}":
            measured = "x" if trace.get("orientation") == "h" else "y"
            bases = trace.get("base") if letter == measured else None
            for found in (trace.get(letter), bases):
                yield from found if isinstance(found, list) else []


def _beside(letter: str, axis: Mapping[str, Any], values: list[Any]) -> tuple[str, float]:
    """Return the side that an axis stands on, and the room it takes there."""
    side = axis.get("side", "left" if letter == "y" else "bottom")[0]
    font_px = float((axis.get("tickfont") or {}).get("size", _FONT_PX))
    px = 0.0
    if axis.get("showticklabels", True):
        labels = _labels(axis, values)
        if letter == "y":
            px = max((text_width(label, font_px) for label in labels), default=0.0)
        else:
            px = _LINE * font_px * _lines(axis, labels, values)
        px += _GAP_PX + float(axis.get("ticklabelstandoff", 0))
        px += float(axis.get("ticklen", 5)) + 1 if axis.get("ticks") == "outside" else 0
    title = axis.get("title") or {}
    if title.get("text"):
        px += _TITLE_PX + float(title.get("standoff", 0))
    return side, px


def _labels(axis: Mapping[str, Any], values: list[Any]) -> list[str]:
    if axis.get("ticktext"):
        return [str(one) for one in axis["ticktext"]]
    words = [one for one in values if isinstance(one, str)]
    return words if words else _numbers(axis, values)


def _numbers(axis: Mapping[str, Any], values: list[Any]) -> list[str]:
    """The ends of an axis of numbers, about as its ticks are written."""
    known = [float(one) for one in [*values, *(axis.get("range") or ())]
             if isinstance(one, int | float) and math.isfinite(one)]  # fmt: skip
    if not known:
        return ["0000"]
    low, high = min(known), max(known)
    if "%" in str(axis.get("tickformat", "")):
        return [f"{100 * high:.0f}%", f"{100 * low:.0f}%"]
    digits = 0 if high - low > 8 else 1 if high - low > 0.8 else 2
    ends = [f"{one:.{digits}f}" for one in (low, high)]
    return [f"{axis.get('tickprefix', '')}{one}{axis.get('ticksuffix', '')}" for one in ends]


def _lines(axis: Mapping[str, Any], labels: list[str], values: list[Any]) -> int:
    """Return how many lines the labels below or above a chart take."""
    if axis.get("ticktext") is None and axis.get("tickformatstops"):
        return 1 if _days(values) > _LONG_SPAN_DAYS else 2
    return max((len(_BREAK.split(label)) for label in labels), default=1)


def _days(moments: list[Any]) -> int:
    """Return the days between the first and the last of moments as they are sent; 0 without."""
    found = [date.fromisoformat(one[:10]) for one in moments if _DATE.match(str(one))]
    return (max(found) - min(found)).days if found else 0


def _right_of(colorbar: Mapping[str, Any]) -> float:
    """Return the room that the scale of the colours takes, px: what Plotly leaves beside it too."""
    font_px = float((colorbar.get("tickfont") or {}).get("size", _FONT_PX))
    title = colorbar.get("title") or {}
    beside = 1.5 * font_px if title.get("side") == "right" else 0.0
    return (
        2 * float(colorbar.get("xpad", 10))
        + float(colorbar.get("thickness", 30))
        + (text_width("\u22120.00", font_px) + beside + 16)
    )
