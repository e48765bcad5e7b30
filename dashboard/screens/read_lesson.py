"""One lesson: why believe it, and what would it do?"""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import controls, formats, lesson_card, queries
from dashboard.controls import Page
from dashboard.decay_card import JOB, show_decay
from dashboard.figures.outcome_spread import draw_outcome_spread, outcome_spread
from dashboard.figures.what_if import draw_what_if, sample_table, what_if
from dashboard.replaying import read_replay
from learning.lessons.life_cycle import levers_of_effect
from learning.overrides.replay import IN_SAMPLE_NOTE, LessonReplay

_LISTED = 200


def moment(label: str) -> Any:
    """Return how a column of moments looks."""
    return st.column_config.DatetimeColumn(f"{label} (UTC)", format="D MMM YYYY HH:mm")


def show() -> None:
    """Draw the page."""
    page = controls.open_page("Lesson", jobs=("mine_pm_lessons", "mine_dm_lessons", JOB))
    lesson_card.show_open_dialog(page)
    asked = st.query_params.get("id", "")
    found = queries.read_lesson(page.source, _number(asked))
    if found.empty:
        _show_unknown(asked)
        return
    lesson: dict[Any, Any] = found.iloc[0].to_dict()
    _show_lesson(page, lesson, _number(st.query_params.get("v", "")))


def _number(text: str) -> int | None:
    match = re.fullmatch(r"(?:L-)?0*(\d{1,15})", text.strip(), flags=re.IGNORECASE)
    return int(match[1]) if match else None


def _show_unknown(asked: str) -> None:
    said = f"No lesson {asked}." if asked else "No lesson was named."
    with controls.nothing(f"{said} Open one from the queue, or from the page Audit."):
        st.page_link("screens/review_lessons.py", label="Decisions", icon=":material/rule:")


def _show_lesson(page: Page, lesson: dict[Any, Any], version: int | None) -> None:
    if version is not None and version != lesson["version"]:
        st.badge(
            f"You asked for v{version}; v{lesson['version']} is what stands.",
            color="orange",
            icon=":material/update:",
        )
    left, right = st.columns([1, 1.15], gap="medium")
    with left:
        lesson_card.show_head(page, lesson)
        lesson_card.show_numbers(lesson)
        lesson_card.show_actions(page, lesson)
        st.markdown("**What it would change**")
        lesson_card.show_change(page, lesson)
        st.markdown("**Why believe it**")
        lesson_card.show_evidence(page, lesson, with_windows=False)
    with right:
        _show_half_life(page, lesson)
        _show_spread(page, lesson)
    replayed = st.container()
    _show_trades(page, lesson)
    _show_past(page, lesson)
    with replayed:  # last: it is the slowest, and nothing else has to wait for it
        _show_replay(page, lesson)


# ------------------------------------------------------------------ charts
def _show_spread(page: Page, lesson: dict[Any, Any]) -> None:
    controls.section("Outcomes inside and outside")
    low, high = _ends(page, lesson)
    bins = queries.read_spread(
        page.source, controls.group_of(lesson), lesson["scope"], lesson["outcome"], low, high
    )
    if bins.empty:
        controls.nothing("None of its trades are stored any more.")
        return
    shown = outcome_spread(bins, low=low, high=high)
    controls.chart(draw_outcome_spread(shown, page.palette), key="spread", alt=shown.alt)
    inside = formats.signed(shown.mean_inside)
    means = f"mean {inside}"
    if shown.mean_outside is not None:
        means = f"means {inside} and {formats.signed(shown.mean_outside)}, both"
    st.caption(
        f"{formats.plain(lesson['outcome'])}; {means} clipped to {low:.1f} and {high:.1f} R."
    )


def _ends(page: Page, lesson: dict[Any, Any]) -> tuple[float, float]:
    looks = queries.read_looks(page.source)
    own = looks[(looks["module"] == lesson["module"]) & (looks["outcome"] == lesson["outcome"])]
    if own.empty:
        return -5.0, 10.0
    return float(own.iloc[0]["clip_low_rr"]), float(own.iloc[0]["clip_high_rr"])


def _show_replay(page: Page, lesson: dict[Any, Any]) -> None:
    controls.section("What if? Its past trades at its size (R, cumulative)")
    replay = read_replay(
        page.source,
        int(lesson["id"]),
        page.settings.dimensions(lesson["module"]),
        page.settings.origins,
    )
    if isinstance(replay, str):
        controls.nothing(replay)
        return
    if replay.lever is None:
        controls.nothing("It changes no size: there is nothing to replay.")
    elif not len(replay.trades.rr):
        controls.nothing("No closed trade is in its scope.")
    else:
        _show_curves(page, lesson, replay)
        return
    _tell_not_replayed(replay)


def _tell_not_replayed(replay: LessonReplay) -> None:
    for name, reason in replay.not_replayable.items():
        st.caption(
            f"{formats.lever_name(name)} is not replayed: {formats.plain(reason, longest=200)}."
        )


def _show_curves(page: Page, lesson: dict[Any, Any], replay: LessonReplay) -> None:
    left, right = st.columns([1, 1], gap="medium")
    with left:
        shown = what_if(replay, claimed_at=lesson["claimed_at"])
        controls.chart(draw_what_if(shown, page.palette), key="what-if", alt=shown.alt)
    with right:
        _show_samples(replay)
        _tell_not_replayed(replay)


def _show_samples(replay: LessonReplay) -> None:
    table = sample_table(replay)
    controls.table(
        table.drop(columns="per_trade"),
        alt="Each size in and out of sample",
        saved_as="what-if",
        column_config=_sample_columns(),
    )
    later = table[table["sample"] == "out of sample"]
    for size, told in zip(later["size"], later["per_trade"], strict=True):
        st.text(f"Out of sample, {size}, difference per trade (R, 95 %): {told}.")
    if later.empty:
        st.text("No trade in its scope has closed since it was discovered.")
    if len(later) < len(table):
        st.caption(IN_SAMPLE_NOTE)


def _sample_columns() -> dict[str, Any]:
    column = st.column_config
    labels = {
        "traded": "Traded",
        "adjusted": "Adjusted",
        "traded_drawdown": "Drawdown",
        "adjusted_drawdown": "… adjusted",
    }
    helps = {
        "traded": "Sum of the outcomes at base size, R.",
        "adjusted": "Sum at the adjusted size, R of base risk.",
        "traded_drawdown": "Largest fall of the running sum below its peak, R, at base size.",
        "adjusted_drawdown": "The same at the adjusted size.",
    }
    numbers = {
        name: column.NumberColumn(
            label, format="%.2f" if "drawdown" in name else "%+.2f", help=helps[name], width=72
        )
        for name, label in labels.items()
    }
    return {"n": column.NumberColumn("Trades", format="%d", width=52), **numbers}


def _show_half_life(page: Page, lesson: dict[Any, Any]) -> None:
    controls.section("Does it fade?")
    show_decay(page, lesson)


# ------------------------------------------------------------------ behind it
def _show_trades(page: Page, lesson: dict[Any, Any]) -> None:
    controls.section("Trades behind it")
    asked = page.source, controls.group_of(lesson), lesson["scope"], lesson["outcome"]
    trades = queries.read_trades(*asked, _LISTED)
    column = st.column_config
    controls.table(
        trades,
        height=250,
        alt=f"The newest {len(trades)} trades",
        column_config={
            "closed_at": column.DatetimeColumn("Closed (UTC)", format="D MMM YYYY HH:mm"),
            "rr": column.NumberColumn(f"{lesson['outcome']} (R)", format="%+.2f"),
        },
    )
    st.caption(
        f"The newest {len(trades)}; the download has the newest "
        f"{formats.count(queries.MOST_TRADES)} at most."
    )
    controls.downloads(lambda: queries.read_trades(*asked), f"trades-{lesson['label']}")


def _show_past(page: Page, lesson: dict[Any, Any]) -> None:
    left, right = st.columns([1, 1], gap="medium")
    with left:
        controls.section("Decisions")
        decisions = queries.read_decisions(page.source, int(lesson["id"]))
        decided = decision_table(decisions)
        controls.table(
            decided,
            alt=f"{len(decisions)} decisions",
            column_config={"when": moment("When")},
        )
        controls.downloads(decided, f"decisions-{lesson['label']}")
    with right:
        controls.section("Versions")
        versions = queries.read_versions(page.source, int(lesson["id"]))
        written = _version_table(versions)
        controls.table(
            written,
            alt=f"{len(versions)} versions",
            column_config={
                "since": moment("Since"),
                "n": st.column_config.NumberColumn("Trades", format="%d"),
            },
        )
        controls.downloads(written, f"versions-{lesson['label']}")


def decision_table(decisions: pd.DataFrame) -> pd.DataFrame:
    """Return decisions as rows: from, to, who, when, why."""
    return pd.DataFrame(
        {
            "when": decisions["decided_at"],
            "lesson": [
                f"L-{i:04d} v{v}"
                for i, v in zip(decisions["lesson_id"], decisions["lesson_version"], strict=True)
            ],
            "decision": decisions["decision"],
            "change": [
                f"{a if isinstance(a, str) else 'new'} → {b}"
                for a, b in zip(decisions["from_status"], decisions["to_status"], strict=True)
            ],
            "by": [formats.guarded(one) for one in decisions["decided_by"]],
            "why": [formats.guarded(one) for one in decisions["reason"]],
            "source": decisions["source"],
        }
    )


def _version_table(versions: pd.DataFrame) -> pd.DataFrame:
    snapshots = list(versions["snapshot"])
    changes = [formats.change(levers_of_effect(one.get("effect") or {})) for one in snapshots]
    return pd.DataFrame(
        {
            "version": versions["version"],
            "since": versions["created_at"],
            "levers": changes,
            "n": [one.get("n") for one in snapshots],
            "why": [formats.guarded(one) for one in versions["reason"]],
        }
    )


if __name__ == "__main__":
    show()
