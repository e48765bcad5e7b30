"""Does an edge fade? One lesson's windows, curve and doubt, and what follows for its override."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import controls, decay_queries, formats, queries
from dashboard.controls import Page
from dashboard.figures.decay_weights import decay_weights, draw_decay_weights
from dashboard.figures.edge_decay import draw_edge_decay, edge_decay
from jobs.timetable import next_slot, timetable
from learning.overrides.materialising import share_left

Lesson = Mapping[Any, Any]
JOB = "estimate_half_lives"


def show_decay(page: Page, lesson: Lesson, *, height: int = 300) -> None:
    """Show windows with curve and band, the three explanations, and what follows in words."""
    windows = queries.read_history(page.source, int(lesson["id"]))
    fit = decay_queries.read_fit(page.source, int(lesson["id"]))
    if windows.empty:
        controls.nothing(_why_empty(page, lesson))
    else:
        _show_chart(page, lesson, windows, fit, height)
    left, right = st.columns([1, 1.6], gap="medium", vertical_alignment="center")
    with left:
        shares = decay_weights(fit)
        if shares is not None:
            st.caption("Posterior probability that the edge is")
            drawn = draw_decay_weights(shares, page.palette)
            controls.chart(drawn, key=f"weights-{lesson['id']}", alt=shares.alt)
    with left if shares is None else right:
        for said in decay_told(
            lesson, fit, now=page.health.now, ends_if_approved=_ends(page, lesson)
        ):
            st.text(said)
        st.caption(f"Next refit {formats.utc(next_refit(page))}.")


def next_refit(page: Page) -> datetime:
    """Return when half-lives are fitted next, by the timetable."""
    jobs = {job.name: job for job in timetable(page.health.profile)}
    return next_slot(jobs[JOB], page.health.now)


def _why_empty(page: Page, lesson: Lesson) -> str:
    if lesson["lesson_type"] == "pm_tuning":
        return "It is about how trades are carried out: it claims no edge that could fade."
    return (
        "Its edge has not been followed over time yet: that comes with the next fit, "
        f"{formats.utc(next_refit(page))}."
    )


def _show_chart(
    page: Page, lesson: Lesson, windows: pd.DataFrame, fit: Mapping[str, Any], height: int
) -> None:
    marks = [(lesson[key], name) for key, name in _MARKS.items() if key in lesson]
    shown = edge_decay(
        windows,
        segments=fit.get("segments") or (),
        half_life_days=_known(lesson["half_life_days"]),
        marks=_apart([(at, name) for at, name in marks if not pd.isna(at)]),
    )
    against = "after costs, against 0" if lesson["lesson_type"] == "level" else "against its setup"
    st.caption(
        f"Edge of each week {against} (R, 95 % from the scatter within weeks), and its trades. "
        + ("Blue: the fitted edge with its 95 % band." if shown.curve_at else "")
    )
    drawn = draw_edge_decay(shown, page.palette, height=height)
    controls.chart(drawn, key=f"decay-{lesson['id']}", alt=shown.alt)


_MARKS = {"discovered_at": "found", "activated_at": "approved"}
_CLOSE = timedelta(days=21)


def _apart(marks: list[tuple[datetime, str]]) -> tuple[tuple[datetime, str], ...]:
    """Leave out a mark whose name would be written over by the one after it."""
    later = [at for at, _ in marks[1:]] + [None]
    return tuple(
        mark for mark, at in zip(marks, later, strict=True) if at is None or at - mark[0] > _CLOSE
    )


def _known(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


def _ends(page: Page, lesson: Lesson) -> datetime | None:
    if lesson["status"] not in ("proposed", "disabled"):
        return None
    return queries.read_expiry(page.source, _known(lesson["decay_halflife_hours"]))


def decay_told(
    lesson: Lesson, fit: Mapping[str, Any], *, now: datetime, ends_if_approved: datetime | None
) -> list[str]:
    """Return what is known of the decay, and what it means for the override, in sentences.

    Examples:
        >>> from datetime import UTC
        >>> t = datetime(2026, 1, 1, tzinfo=UTC)
        >>> lesson = {"status": "active", "half_life_state": "undetermined",
        ...           "half_life_reason": "not identified: 4 windows with trades, 8 needed",
        ...           "half_life_days": None, "decay_halflife_hours": None,
        ...           "mean_closed_at": t, "expires_at": datetime(2026, 1, 31, tzinfo=UTC)}
        >>> for said in decay_told(lesson, {}, now=t, ends_if_approved=None): print(said)
        Not identified: 4 windows with trades, 8 needed.
        So its override does not fade; it ends 31 Jan 2026 unless somebody renews it.
    """
    return [
        _known_told(lesson, fit),
        *_parts_told(fit),
        _override_told(lesson, now, ends_if_approved),
    ]


def _known_told(lesson: Lesson, fit: Mapping[str, Any]) -> str:
    days = _known(lesson["half_life_days"])
    if days is None:
        said = str(lesson["half_life_reason"] or fit.get("reason") or "not estimated yet")
        return f"{said[0].upper()}{said[1:]}."
    low, high = _known(fit.get("ci_low_days")), _known(fit.get("ci_high_days"))
    ends = (
        ""
        if low is None
        else f" (95 %: {low:.0f} d to {'no end' if high is None else f'{high:.0f} d'})"
    )
    n, windows = fit.get("n"), fit.get("windows")
    behind = "" if n is None else f", from {formats.plural(n, 'trade')} in {windows} windows"
    return f"It halves every {days:.0f} d{ends}{behind}."


def _parts_told(fit: Mapping[str, Any]) -> list[str]:
    parts = fit.get("segments") or ()
    if len(parts) < 2:
        return []
    told = ", then ".join(
        f"{formats.signed(one['edge_rr'])} (n {formats.count(one['n'])})" for one in parts
    )
    return [
        f"No trade for more than 180 days splits its history: {told}. Only the last part is fitted."
    ]


def _override_told(lesson: Lesson, now: datetime, ends_if_approved: datetime | None) -> str:
    status, hours = lesson["status"], _known(lesson["decay_halflife_hours"])
    if lesson["half_life_state"] == "sign_flip":
        return "An edge that turns round in the windows since it was found retires its lesson."
    if status == "active":
        return _fading(lesson, now, hours)
    if ends_if_approved is not None:
        return _if_approved(lesson, now, hours, ends_if_approved)
    return f"It is {status}: no override fades with it."


def _if_approved(lesson: Lesson, now: datetime, hours: float | None, ends: datetime) -> str:
    until = f"it would end {formats.utc(ends, with_year=True)}."
    if hours is None:
        return f"Approved now, its override would not fade; {until}"
    left = formats.share(share_left(_age_hours(lesson, now), hours))
    return f"Approved now, its half-life would leave {left} of its override to begin with; {until}"


def _fading(lesson: Lesson, now: datetime, hours: float | None) -> str:
    ends = lesson["expires_at"]
    until = f"it ends {formats.utc(ends, with_year=True)} unless somebody renews it."
    if hours is None:
        return f"So its override does not fade; {until}"
    left = formats.share(share_left(_age_hours(lesson, now), hours))
    then = formats.share(share_left(_age_hours(lesson, ends), hours))
    return f"So its half-life leaves {left} of its override today, {then} at its end; {until}"


def _age_hours(lesson: Lesson, at: datetime) -> float:
    return float((at - lesson["mean_closed_at"]).total_seconds()) / 3600
