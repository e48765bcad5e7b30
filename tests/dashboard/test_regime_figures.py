"""What the charts of regimes show, by value."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from dashboard.figures.claim_check import claim_check, draw_claim_check
from dashboard.figures.phase_shares import draw_phase_shares, phase_shares
from dashboard.figures.regime_weight_map import draw_regime_weight_map, regime_weight_map
from dashboard.figures.weight_history import draw_weight_history, weight_history
from dashboard.theme import DARK, LIGHT

MONDAYS = (date(2026, 1, 5), date(2026, 1, 12))


def phases() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "week": [MONDAYS[0], MONDAYS[0], MONDAYS[1], MONDAYS[1]],
            "phase": ["Dip", "Good", "Dip", "<b>odd</b>"],
            "n": [10, 30, 15, 5],
        }
    )


def test_shares_of_a_week_sum_to_one_and_the_last_week_is_told() -> None:
    shown = phase_shares(phases(), unit="trades")
    assert shown.weeks == MONDAYS
    assert shown.n == (40, 20)
    assert list(shown.shares) == ["Good", "Dip", "<b>odd</b>"]
    assert shown.shares["Good"] == (0.75, 0.0)
    assert shown.shares["Dip"] == (0.25, 0.75)
    assert shown.last[0] == ("Dip", 0.75)
    assert "2 weeks; last week Dip 75 %" in shown.alt


def test_areas_are_stacked_in_steps_and_named_at_the_edge() -> None:
    figure = draw_phase_shares(phase_shares(phases(), unit="trades"), DARK)
    good, dip, _ = figure.data
    assert {one.stackgroup for one in figure.data} == {"phases"}
    assert list(good.y) == [0.75, 0.0, 0.0]  # the last week lasts a week
    assert dip.x[-1] == date(2026, 1, 19)
    assert [one.text for one in figure.layout.annotations] == [
        " Dip 75 %", " &lt;b&gt;odd&lt;/b&gt; 25 %",
    ]  # fmt: skip
    assert "<b>odd" not in figure.to_json().replace("\\u003c", "<")


def test_nothing_is_said_of_weeks_in_which_nothing_was_seen() -> None:
    counts = phases().assign(week=[MONDAYS[0], MONDAYS[0], date(2027, 1, 4), date(2027, 1, 4)])
    shown = phase_shares(counts, unit="trades")
    assert shown.weeks == (MONDAYS[0], MONDAYS[1], date(2027, 1, 4))
    assert shown.n == (40, 0, 20)
    assert shown.shares["Dip"] == (0.25, 0.0, 0.75)
    [gap] = draw_phase_shares(shown, DARK).layout.xaxis.rangebreaks
    assert list(gap.bounds) == ["2026-01-19", "2026-12-28"]


def weights() -> pd.DataFrame:
    reason = (
        "time_efficiency: learned; field_coherence: the interval includes the slope of all "
        "regimes together; recurrence: 3 lesson-segments, 30 needed; variance: learned"
    )
    return pd.DataFrame(
        {
            "regime_signature": ["", "macro=Dip", "meso=Good"],
            "time_efficiency": [1.0, 0.5, 1.0],
            "field_coherence": [1.0, 1.0, 1.0],
            "recurrence": [1.0, 1.0, 1.0],
            "variance": [1.0, 1.25, 1.0],
            "n_samples": [90, 40, 3],
            "confidence": [1.0, 0.8, None],
            "reason": [None, reason, None],
        }
    )


def test_weights_stand_with_their_n_and_reason_the_best_known_first() -> None:
    shown = regime_weight_map(weights())
    assert shown.regimes == ("all regimes  n 90", "macro=Dip  n 40", "meso=Good  n 3")
    assert shown.weight[1].tolist() == [0.5, 1.0, 1.0, 1.25]
    assert shown.n_learned == 2
    assert "2 of 12 differ from 1" in shown.alt
    assert (
        "time efficiency ×0.50<br>40 lesson-segments, confidence 0.80<br>learned"
        in shown.hover[1][0]
    )
    assert "3 lesson-segments, 30 needed" in shown.hover[1][2]


@pytest.mark.parametrize("palette", [DARK, LIGHT])
def test_the_scale_of_weights_is_even_round_one(palette) -> None:  # type: ignore[no-untyped-def]
    cells, texts = draw_regime_weight_map(regime_weight_map(weights()), palette).data
    assert (cells.zmin, cells.zmid, cells.zmax) == (0.5, 1, 1.5)
    assert list(texts.text)[4:8] == ["0.50", "1.00", "1.00", "1.25"]
    assert texts.textfont.color[5] == palette.muted


def lessons() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "label": ["L-0001", "L-0002", "L-0003"],
            "setup": ["a · entry"] * 3,
            "context": ["everywhere"] * 3,
            "claimed_rr": [0.4, -0.2, None],
            "realised_rr": [0.1, 0.3, 0.2],
            "realised_se_rr": [0.05, None, 0.1],
            "n_since": [50, 120, 8],
            "windows_since": [4, 9, 1],
        }
    )


def test_a_claim_stands_against_what_came_with_its_interval() -> None:
    shown = claim_check(lessons())
    assert shown.claimed_rr == (-0.2, 0.4)
    assert shown.realised_rr == (0.3, 0.1)
    assert shown.reach_rr == pytest.approx((0.0, 0.098))
    assert (shown.n_kept, shown.n_left_out) == (1, 1)
    assert "of 2 lessons: 1 kept their sign" in shown.alt
    assert "claimed +0.40 R, since +0.10 R ±0.10 R<br>50 trades in 4 weeks" in shown.hover[1]


def test_the_diagonal_is_where_a_claim_came_true() -> None:
    figure = draw_claim_check(claim_check(lessons()), DARK)
    diagonal = figure.layout.shapes[0]
    assert (diagonal.x0, diagonal.x1) == (diagonal.y0, diagonal.y1)
    assert list(figure.data[0].error_y.array) == pytest.approx([0.0, 0.098])
    assert list(figure.layout.xaxis.range) == list(figure.layout.yaxis.range)


def kept_weights() -> pd.DataFrame:
    neutral = dict.fromkeys(("time_efficiency", "field_coherence", "recurrence", "variance"), 1.0)
    return pd.DataFrame(
        {
            "learned_on": [date(2026, 1, 5), date(2026, 1, 9)],
            "weights": [neutral, {**neutral, "recurrence": 1.3}],
            "intervals": [{}, {"recurrence": [1.1, 1.45]}],
            "n_samples": [28, 31],
        }
    )


def test_a_weight_holds_until_the_next_run_moves_it_and_then_until_today() -> None:
    shown = weight_history(kept_weights(), until=date(2026, 2, 1))
    assert shown.days == (date(2026, 1, 5), date(2026, 1, 9), date(2026, 2, 1))
    [line] = shown.lines
    assert (line.name, line.weight) == ("recurrence", (1.0, 1.3, 1.3))
    assert (line.low, line.high) == ((None, 1.1, 1.1), (None, 1.45, 1.45))
    assert (shown.n, shown.n_neutral) == ((28, 31, 31), 3)
    assert "05 Jan 2026 to 01 Feb 2026: recurrence now ×1.30 (1.10 to 1.45)" in shown.alt


def test_the_band_of_a_weight_that_was_not_learned_closes_on_it() -> None:
    figure = draw_weight_history(weight_history(kept_weights(), until=date(2026, 2, 1)), DARK)
    low, high, line = figure.data
    assert list(low.y) == [1.0, 1.1, 1.1]
    assert list(high.y) == [1.0, 1.45, 1.45]
    assert high.fill == "tonexty"
    assert {one.line.shape for one in figure.data} == {"hv"}
    assert list(line.customdata)[:2] == ["×1.00, not learned, n 28", "×1.30 (1.10 to 1.45), n 31"]


def test_nothing_kept_is_no_line() -> None:
    shown = weight_history(kept_weights().head(0), until=date(2026, 2, 1))
    assert (shown.days, shown.lines) == ((), ())
