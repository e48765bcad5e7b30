"""What the first page shows to whoever comes first, read before anybody comes."""

from __future__ import annotations

from dashboard import controls, queries
from dashboard.edge_queries import EdgeQuery, read_dimensions
from dashboard.effect_queries import read_turns, read_uplift
from dashboard.lesson_summary import read_summary
from dashboard.queries import Filters
from dashboard.setup_map import draw_map_of_setups, map_dimension, map_of_setups
from dashboard.theme import DARK, LIGHT


def read_first_answers() -> None:
    """Read and draw what the first page asks for while no filter is set; it is kept."""
    settings, engine = controls.connected()
    health = queries.read_health(engine, settings.profile)
    source, outcome = health.source(engine), health.state.outcome
    if outcome is None:
        return
    filters = Filters(origins=settings.origins)
    queries.read_choices(source)
    queries.read_looks(source)
    queries.read_overrides(source)
    read_turns(source)
    read_uplift(source, outcome, filters)
    module = read_summary(source, filters, outcome).module
    if read_dimensions(source, module):
        dim = map_dimension(source, module, filters)
        shown = map_of_setups(source, EdgeQuery(module, (dim,), filters, "R", outcome))
        for palette in (DARK, LIGHT):
            draw_map_of_setups(shown, palette)
