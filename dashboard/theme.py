"""Colours and the house rules of every chart. Teal is gain, vermilion loss, grey says nothing."""

from __future__ import annotations

import functools
import hashlib
import html
import json
import pickle
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal, ParamSpec

import plotly.graph_objects as go
import plotly.io

from dashboard import formats
from dashboard.figures.margins import make_room

# the house rules say all there is to say: no figure carries seven kilobytes of another's
plotly.io.templates.default = None

Mode = Literal["dark", "light"]
Scale = list[tuple[float, str]]  # places from 0 to 1 with their colours
P = ParamSpec("P")
_FIGURES_KEPT = 32  # of each kind


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one mode; every one of them reads at 4.5 : 1 on its background."""

    mode: Mode
    background: str
    surface: str
    border: str
    text: str
    muted: str
    accent: str
    positive: str
    negative: str
    warning: str
    violet: str
    pink: str
    neutral: str  # the middle of a diverging scale


DARK: Final = Palette(
    "dark", "#0E1116", "#161B22", "#2A313C", "#D7DEE7", "#8A97A8", "#4C9BE8", "#2FBF9B",
    "#E5634D", "#E0A030", "#9A7BE0", "#D86CA6", "#1B222C",
)  # fmt: skip
LIGHT: Final = Palette(
    "light", "#FBFCFD", "#F1F4F7", "#D5DCE4", "#111822", "#5A6675", "#1F6FC0", "#0B7F66",
    "#B5402C", "#8F5F00", "#6A4BC0", "#A83A78", "#EEF2F5",
)  # fmt: skip
PLOT_CONFIG: Final[dict[str, Any]] = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"],
    "toImageButtonOptions": {"format": "png", "scale": 2},
}


# room between the names of rows and the bars beside them: ticks that nobody sees
LABEL_GAP: Final[dict[str, Any]] = {
    "ticks": "outside", "ticklen": 6, "tickcolor": "rgba(0,0,0,0)",
}  # fmt: skip


def palette_of(mode: str | None) -> Palette:
    """Return the colours of a mode; dark where the browser has not said."""
    return LIGHT if mode == "light" else DARK


def alpha(colour: str, share: float) -> str:
    """Return a ``#RRGGBB`` colour with an opacity.

    Examples:
        >>> alpha("#4C9BE8", 0.15)
        'rgba(76,155,232,0.15)'
    """
    red, green, blue = _channels(colour)
    return f"rgba({red},{green},{blue},{share:g})"


def diverging(palette: Palette) -> Scale:
    """Return the scale from loss over nothing to gain; its ends are bright in both modes."""
    return [(0.0, DARK.negative), (0.5, palette.neutral), (1.0, DARK.positive)]


def between(scale: Scale, place: float) -> str:
    """Return the colour at a place of a scale, as a browser mixes it.

    Examples:
        >>> between([(0.0, "#000000"), (1.0, "#FF8000")], 0.5)
        '#804000'
    """
    held = min(max(place, scale[0][0]), scale[-1][0])
    (low, start), (high, end) = next(pair for pair in pairwise(scale) if held <= pair[1][0])
    share = (held - low) / (high - low)
    mixed = (a + share * (b - a) for a, b in zip(_channels(start), _channels(end), strict=True))
    return "#" + "".join(f"{round(one):02X}" for one in mixed)


def text_on(colour: str) -> str:
    """Return black or white, whichever reads better on a colour: at 4.5 : 1 at least.

    Examples:
        >>> text_on("#2FBF9B"), text_on("#1B222C")
        ('#000000', '#FFFFFF')
    """
    return "#000000" if contrast(colour, "#000000") > contrast(colour, "#FFFFFF") else "#FFFFFF"


def contrast(one: str, other: str) -> float:
    """Return how well one colour reads on the other, 1 to 21.

    References:
        WCAG 2.2, definitions of contrast ratio and relative luminance.

    Examples:
        >>> round(contrast("#000000", "#FFFFFF"), 2), round(contrast("#767676", "#FFFFFF"), 2)
        (21.0, 4.54)
    """
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    shares = (one / 255 for one in _channels(colour))
    red, green, blue = (
        one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in shares
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _channels(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue


def safe_label(text: object, *, longest: int = 40) -> str:
    """Return text for a chart: plotly reads tags in labels, so none may come from data.

    Examples:
        >>> safe_label("<a href='x'>pump</a>")
        '&lt;a href=&#x27;x&#x27;&gt;pump&lt;/a&gt;'
    """
    flat = " ".join(str(text).split())
    short = flat if len(flat) <= longest else flat[: longest - 1] + "…"
    return html.escape(short)


def safe_labels(texts: Iterable[object], *, longest: int = 40) -> list[str]:
    """Return the labels of rows or columns, no two alike: those would be drawn as one.

    What is too long loses its middle.

    Examples:
        >>> safe_labels(["breakout.S1.squeeze · entry", "breakout.S1.squeeze · exit"], longest=20)
        ['breakout.S…e · entry', 'breakout.S…ze · exit']
        >>> safe_labels(["a" * 9, "aaaabaaaa"], longest=6)
        ['aaa…aa', 'aaa…aa (2)']
    """
    seen: Counter[str] = Counter()
    labels = []
    for text in texts:
        short = formats.shortened(text, longest)
        seen[short] += 1
        labels.append(short if seen[short] == 1 else f"{short} ({seen[short]})")
    return [html.escape(one) for one in labels]


def style(figure: go.Figure, palette: Palette, *, height: int, hover: str = "closest") -> go.Figure:
    """Give a figure the look of the house, in place; return it."""
    figure.update_layout(
        height=height,
        margin={"l": 0, "r": 0, "t": 8, "b": 0},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "Source Sans, sans-serif", "size": 12, "color": palette.text},
        hovermode=hover,
        hoverlabel={
            "bgcolor": palette.surface,
            "bordercolor": palette.border,
            "font": {"color": palette.text, "family": "Source Sans, sans-serif"},
            "align": "left",
        },
        showlegend=False,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        dragmode=False,
        autotypenumbers="strict",  # a level that is called "2" stands among levels, not at 2
    )
    axis = {
        "color": palette.muted,
        "gridcolor": palette.border,
        "zeroline": False,
        "ticks": "",
        "automargin": True,
        "fixedrange": True,
    }
    figure.update_xaxes(showgrid=False, **axis)
    figure.update_yaxes(showgrid=True, **axis)
    return figure


def kept_figure(draw: Callable[P, go.Figure]) -> Callable[P, go.Figure]:
    """Keep what was drawn of the same values: most looks at a page show what the last one did.

    Nobody may change what is handed out.
    """
    kept: OrderedDict[bytes, go.Figure] = OrderedDict()
    lock = threading.Lock()

    @functools.wraps(draw)
    def drawn(*args: P.args, **look: P.kwargs) -> go.Figure:
        key = hashlib.blake2b(pickle.dumps((args, look)), digest_size=20).digest()
        with lock:
            found = kept.pop(key, None)
        if found is None:
            found = _as_sent(draw(*args, **look))
        with lock:
            kept[key] = found
            while len(kept) > _FIGURES_KEPT:
                kept.popitem(last=False)
        return found

    return drawn


def _as_sent(figure: go.Figure) -> go.Figure:
    """Let a figure keep what is sent of it, with room for its labels.

    To take it apart costs more than to send it: every run of a page takes each of its figures
    apart, copies all of it, and spells it out.
    """
    sent = json.loads(figure.to_json(validate=False))
    room = make_room(sent)
    sent["layout"]["margin"] = room
    figure.update_layout(margin=room)
    figure.to_dict = lambda: sent
    return figure


def add_zero_line(figure: go.Figure, palette: Palette, *, vertical: bool) -> None:
    """Draw where nothing is gained or lost."""
    line = {"color": palette.muted, "width": 1, "dash": "dot"}
    if vertical:
        figure.add_vline(x=0, line=line)
    else:
        figure.add_hline(y=0, line=line)
