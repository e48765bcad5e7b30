"""What lessons claimed when they were found against what they did since."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard import formats
from dashboard.theme import Palette, add_zero_line, kept_figure, safe_label, style

_Z95 = 1.96
MOST_SHOWN = 200


@dataclass(frozen=True)
class ClaimCheck:
    """One point a lesson with trades since its discovery.

    Attributes:
        claimed_rr: Shrunk edge when it was found, R.
        realised_rr: Edge of the weeks since, R.
        reach_rr: Half the 95 % interval of the latter; 0 where there is none.
        size: Diameter by the root of the trades since.
        hover: What is said of each point.
        n_left_out: Further lessons, with fewer trades since.
        n_kept: How many kept the sign of their claim.
        alt: The chart in words.
    """

    claimed_rr: tuple[float, ...]
    realised_rr: tuple[float, ...]
    reach_rr: tuple[float, ...]
    size: tuple[float, ...]
    hover: tuple[str, ...]
    n_left_out: int
    n_kept: int
    alt: str


def claim_check(lessons: pd.DataFrame) -> ClaimCheck:
    """Arrange lessons by claim and outcome, those with most trades since.

    Args:
        lessons: With label, setup, context, claimed_rr, realised_rr, realised_se_rr, n_since and
            windows_since.
    """
    known = lessons.dropna(subset=["claimed_rr", "realised_rr"])
    shown = known.sort_values("n_since", ascending=False).head(MOST_SHOWN)
    kept = int((np.sign(known["claimed_rr"]) == np.sign(known["realised_rr"])).sum())
    rows = shown.to_dict("records")
    return ClaimCheck(
        claimed_rr=tuple(float(row["claimed_rr"]) for row in rows),
        realised_rr=tuple(float(row["realised_rr"]) for row in rows),
        reach_rr=tuple(_reach(row) for row in rows),
        size=tuple(float(np.clip(np.sqrt(row["n_since"]), 6, 18)) for row in rows),
        hover=tuple(_told(row) for row in rows),
        n_left_out=len(lessons) - len(rows),
        n_kept=kept,
        alt=f"Claimed against realised edge of {formats.plural(len(known), 'lesson')}: {kept} kept "
        "their sign.",
    )


def _reach(row: dict[Any, Any]) -> float:
    se = row["realised_se_rr"]
    return 0.0 if pd.isna(se) else float(se) * _Z95


def _told(row: dict[Any, Any]) -> str:
    return "<br>".join(
        (
            f"<b>{row['label']}</b> {safe_label(row['setup'])}",
            safe_label(row["context"], longest=70),
            f"claimed {formats.signed(row['claimed_rr'])}, since "
            f"{formats.signed(row['realised_rr'])} ±{_reach(row):.2f} R",
            f"{formats.plural(int(row['n_since']), 'trade')} in {int(row['windows_since'])} weeks",
        )
    )


@kept_figure
def draw_claim_check(shown: ClaimCheck, palette: Palette, *, height: int = 320) -> go.Figure:
    """Draw the points with their intervals; on the diagonal a claim came true."""
    reach = max(map(abs, (*shown.claimed_rr, *shown.realised_rr, 0.1))) * 1.15
    figure = go.Figure(
        go.Scatter(
            x=shown.claimed_rr,
            y=shown.realised_rr,
            mode="markers",
            marker={"size": shown.size, "color": palette.accent, "opacity": 0.8},
            error_y={
                "type": "data", "array": shown.reach_rr, "color": palette.muted,
                "thickness": 1.2, "width": 0,
            },
            customdata=shown.hover,
            hovertemplate="%{customdata}<extra></extra>",
        )
    )  # fmt: skip
    style(figure, palette, height=height)
    line = {"color": palette.muted, "width": 1, "dash": "dash"}
    figure.add_shape(type="line", x0=-reach, y0=-reach, x1=reach, y1=reach, line=line)
    add_zero_line(figure, palette, vertical=False)
    figure.update_xaxes(range=[-reach, reach], title={"text": "claimed (R)", "standoff": 8})
    figure.update_yaxes(range=[-reach, reach], title={"text": "since (R)", "standoff": 4})
    return figure
