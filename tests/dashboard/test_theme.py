"""What is drawn of the same values is drawn once."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from dashboard.theme import DARK, LIGHT, Palette, kept_figure, style


@dataclass(frozen=True, slots=True)
class Shown:
    values: tuple[float, ...]


def test_the_same_values_are_drawn_once_and_others_anew() -> None:
    drawn: list[tuple[Shown, str, int]] = []

    @kept_figure
    def draw(shown: Shown, palette: Palette, *, height: int = 100) -> go.Figure:
        drawn.append((shown, palette.mode, height))
        return style(go.Figure(go.Scatter(y=shown.values)), palette, height=height)

    first = draw(Shown((1.0, 2.0)), DARK)
    assert draw(Shown((1.0, 2.0)), DARK) is first
    assert len(drawn) == 1
    others = (
        draw(Shown((1.0, 2.5)), DARK),
        draw(Shown((1.0, 2.0)), LIGHT),
        draw(Shown((1.0, 2.0)), DARK, height=120),
    )
    assert len({id(one) for one in (first, *others)}) == 4
    assert list(others[0].data[0].y) == [1.0, 2.5]
    assert others[2].layout.height == 120


def test_what_was_not_asked_for_lately_is_forgotten() -> None:
    drawn: list[float] = []

    @kept_figure
    def draw(value: float) -> go.Figure:
        drawn.append(value)
        return go.Figure()

    for value in range(40):
        draw(float(value))
    draw(0.0)
    draw(39.0)
    assert len(drawn) == 41
