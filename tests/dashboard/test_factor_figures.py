"""What the charts of factors show, by value."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dashboard.figures.factor_map import draw_factor_map, factor_map
from dashboard.figures.lesson_similarity import (
    LessonSimilarity,
    draw_lesson_similarity,
    lesson_similarity,
)
from dashboard.figures.shared_conditions import draw_shared_conditions, shared_conditions
from dashboard.theme import DARK, LIGHT

SIMILARITY = np.array([[1.0, 0.8, 0.0], [0.8, 1.0, 0.1], [0.0, 0.1, 1.0]])
SHARED = np.array([[40, 36, 0], [36, 60, 5], [0, 5, 50]])


def similarity(factors: dict[int, str] | None = None) -> LessonSimilarity:
    return lesson_similarity(
        (7, 2, 9),
        SIMILARITY,
        SHARED,
        factor_of=factors or {7: "lf_a", 2: "lf_a", 9: "lf_b"},
        context_of={7: "phase <i>Good</i>"},
    )


def test_the_square_keeps_the_order_and_borders_what_is_one_factor() -> None:
    shown = similarity()
    assert shown.labels == ("L-0007", "L-0002", "L-0009")
    assert shown.blocks == ((0, 1),)
    assert shown.alt == (
        "Similarity of 3 lessons by the trades they match: 1 factor of two or more; most alike "
        "L-0007 and L-0002, 0.80."
    )
    assert "similarity 0.80, 36 trades in common" in shown.hover[0][1]


def test_the_square_is_drawn_from_0_to_1_with_a_border_per_factor() -> None:
    figure = draw_lesson_similarity(similarity(), DARK)
    (square,) = figure.data
    assert np.array(square.z).tolist() == SIMILARITY.tolist()
    assert (square.zmin, square.zmax) == (0, 1)
    [border] = figure.layout.shapes
    assert (border.x0, border.x1) == (-0.5, 1.5)
    assert "<i>Good" not in figure.to_json().replace("\\u003c", "<")


def test_lessons_that_stand_alone_have_no_border() -> None:
    shown = similarity({7: "lf_a", 2: "lf_b", 9: "lf_c"})
    assert shown.blocks == ()


def lessons() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": [1, 2, 3],
            "label": ["L-0001", "L-0002", "L-0003"],
            "setup": ["a · entry", "a · entry", "b · entry"],
            "context": ["phase Good", "phase Dip", "everywhere"],
            "n": [100, 400, 25],
            "status": ["active", "proposed", "watch"],
            "latent_factor_id": ["lf_a", "lf_a", "lf_b"],
            "posterior_mean_rr": [0.2, 0.3, -0.1],
            "ci_low_rr": [0.1, 0.1, -0.2],
            "ci_high_rr": [0.3, 0.5, 0.1],
        }
    )


def places() -> pd.DataFrame:
    return pd.DataFrame(
        {"id": [1, 2, 3], "setup": ["a · entry", "a · entry", "b · entry"],
         "x": [0.1, -0.1, 0.0], "y": [0.0, 0.0, 0.0]}
    )  # fmt: skip


def test_distances_hold_within_a_setup_and_setups_stand_apart() -> None:
    shown = factor_map(lessons(), places(), chosen="lf_b")
    assert shown.x[0] - shown.x[1] == pytest.approx(0.2)
    assert shown.x[2] - shown.x[1] > 1
    assert shown.colour == (0, 0, None)
    assert shown.is_chosen == (False, False, True)
    assert [name for *_, name in shown.titles] == ["a", "b"]  # both enter
    assert shown.alt == "Map of 3 lessons in 2 factors; the largest, lf_a, has 2."


def test_a_point_tells_its_factor_its_status_and_its_trades() -> None:
    (points,) = draw_factor_map(factor_map(lessons(), places()), LIGHT).data
    assert points.type == "scatter"
    assert [one[1] for one in points.customdata] == ["lf_a", "lf_a", "lf_b"]
    assert list(points.marker.symbol) == ["circle", "diamond", "circle-open"]
    assert list(points.marker.color) == [LIGHT.accent, LIGHT.accent, LIGHT.muted]
    assert points.marker.size[1] > points.marker.size[0]
    assert "+0.20 R, 95 % +0.10 to +0.30 R, 100 trades" in points.customdata[0][0]


def test_a_lesson_without_a_place_is_not_drawn() -> None:
    assert len(factor_map(lessons(), places()[:2]).x) == 2


def test_what_all_members_ask_for_stands_out() -> None:
    scopes = [{"phase": "Good", "bucket": "mid"}, {"phase": "Good"}, {"phase": "Good"}]
    shown = shared_conditions(scopes)
    assert dict(zip(shown.names, shown.counts, strict=True)) == {"phase Good": 3, "bucket mid": 1}
    assert "the commonest, phase Good, stands in 3" in shown.alt
    (bars,) = draw_shared_conditions(shown, DARK).data
    assert list(bars.marker.color) == [DARK.accent, DARK.muted]
    assert list(bars.text) == ["3 of 3", "1 of 3"]
