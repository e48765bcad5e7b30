"""The same past trades as they were, and as an override would have sized them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pandas as pd
import plotly.graph_objects as go

from dashboard import formats
from dashboard.figures.time_axis import date_axis
from dashboard.theme import Palette, add_zero_line, alpha, kept_figure, style
from learning.overrides.effects import Effect, NotMeasured
from learning.overrides.replay import LessonReplay, MultiplierReplay, SampleReplay

FloatArray = npt.NDArray[np.float64]
MOST_POINTS = 800


@dataclass(frozen=True)
class WhatIf:
    """Running sums of R over all trades, thinned to what a screen can show.

    Attributes:
        at: When each trade closed.
        traded: Shape (len(at),), at base size.
        adjusted: The same for each size that was replayed, by its name.
        split_at: Where the lesson made its claim; None where one sample has no trades.
        alt: The chart in words, each sample by itself.
    """

    at: tuple[datetime, ...]
    traded: FloatArray
    adjusted: Mapping[str, FloatArray]
    split_at: datetime | None
    alt: str


def what_if(replay: LessonReplay, *, claimed_at: datetime) -> WhatIf:
    """Return the curves of a replay of at least one trade.

    Args:
        claimed_at: When the lesson was found, last anew: what closed up to then is in sample.
    """
    trades = replay.trades
    n, n_in_sample = len(trades.rr), int(trades.is_in_sample.sum())
    keep = _thinned(n, n_in_sample)
    closed = pd.to_datetime(trades.closed_at_days[keep], unit="D", utc=True).floor("s")
    return WhatIf(
        at=tuple(closed.to_pydatetime()),
        traded=replay.traded_curve_rr[keep],
        adjusted={size_name(one): one.adjusted_curve_rr[keep] for one in replay.replays},
        split_at=claimed_at if 0 < n_in_sample < n else None,
        alt=" ".join(_told(replay.replays[0], part) for part in replay.replays[0].samples),
    )


def _thinned(n: int, n_in_sample: int) -> npt.NDArray[np.int64]:
    """Return at most as many trades as are drawn, with those on both sides of the discovery."""
    spread = np.linspace(0, n - 1, min(n, MOST_POINTS)).astype(np.int64)
    sides = np.clip([n_in_sample - 1, n_in_sample], 0, n - 1)
    return np.union1d(spread, sides)


def size_name(one: MultiplierReplay) -> str:
    """Return what a size is called, with its value."""
    return f"{one.kind} ×{one.multiplier:.3f}"


def _told(one: MultiplierReplay, part: SampleReplay) -> str:
    return (
        f"{part.sample.capitalize()}, {formats.plural(part.n, 'trade')}: "
        f"{formats.signed(part.traded_rr)} as traded, {formats.signed(part.adjusted_rr)} with "
        f"{size_name(one)}; largest drawdown {part.adjusted_drawdown_rr:.2f} R instead of "
        f"{part.traded_drawdown_rr:.2f} R."
    )


def sample_table(replay: LessonReplay) -> pd.DataFrame:
    """Return one row for each size and sample; a mean has its interval, and so none in sample."""
    rows = [
        {
            "size": size_name(one),
            "sample": part.sample,
            "n": part.n,
            "traded": part.traded_rr,
            "adjusted": part.adjusted_rr,
            "traded_drawdown": part.traded_drawdown_rr,
            "adjusted_drawdown": part.adjusted_drawdown_rr,
            "per_trade": _difference(part.difference),
        }
        for one in replay.replays
        for part in one.samples
    ]
    return pd.DataFrame(rows)


def _difference(found: Effect | NotMeasured) -> str:
    if isinstance(found, NotMeasured):
        return found.reason
    low, high = found.sequence_low_rr, found.sequence_high_rr
    if low is None or high is None:
        return found.sentence
    mean = formats.signed(found.estimate_rr, digits=3, unit="")
    ends = (formats.signed(end, digits=3, unit="") for end in (low, high))
    return f"{mean} [{', '.join(ends)}], {found.sentence}"


@kept_figure
def draw_what_if(shown: WhatIf, palette: Palette) -> go.Figure:
    """Draw the running sums, and where what the lesson was chosen on ends."""
    figure = go.Figure(_line("as traded", shown, shown.traded, palette.muted, "solid"))
    looks = ((palette.accent, "solid"), (palette.violet, "dash"))
    for (name, curve), (colour, dash) in zip(shown.adjusted.items(), looks, strict=False):
        figure.add_trace(_line(name, shown, curve, colour, dash))
    style(figure, palette, height=270, hover="x unified")
    add_zero_line(figure, palette, vertical=False)
    if shown.split_at is not None:
        _mark_samples(figure, shown.at[0], shown.split_at, palette)
    figure.update_layout(showlegend=True, legend={"y": 1.1}, margin={"t": 52})
    date_axis(figure)
    return figure


def _line(name: str, shown: WhatIf, curve: FloatArray, colour: str, dash: str) -> go.Scatter:
    return go.Scatter(
        x=shown.at,
        y=curve,
        mode="lines",
        name=name,
        line={"color": colour, "width": 1.6, "dash": dash},
        hovertemplate="%{y:+.1f} R",
    )


def _mark_samples(figure: go.Figure, start: datetime, split: datetime, palette: Palette) -> None:
    figure.add_vrect(x0=start, x1=split, fillcolor=alpha(palette.muted, 0.12), line_width=0)
    figure.add_vline(x=split, line={"color": palette.warning, "width": 1.5})
    for text, side in (("in sample ", "right"), (" out of sample", "left")):
        figure.add_annotation(
            x=split, y=1, yref="y domain", text=text, showarrow=False, xanchor=side,
            yanchor="bottom", font={"size": 12, "color": palette.warning},
        )  # fmt: skip
