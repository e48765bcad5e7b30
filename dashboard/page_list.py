"""The pages: where each stands in the sidebar, its address, and the file that draws it."""

from __future__ import annotations

from typing import Final, NamedTuple


class PageOf(NamedTuple):
    """One page. Without an icon it has an address and no place in the sidebar."""

    title: str
    path: str
    screen: str
    icon: str | None = None


PAGES: Final[dict[str, tuple[PageOf, ...]]] = {
    "Now": (
        PageOf("Overview", "", "see_overview", "monitoring"),
        PageOf("Decisions", "decisions", "review_lessons", "rule"),
    ),
    "Evidence": (
        PageOf("Edge map", "edge", "explore_scopes", "grid_on"),
        PageOf("Half-lives", "decay", "follow_decay", "hourglass_bottom"),
        PageOf("Factors", "factors", "compare_factors", "hub"),
        PageOf("Regimes", "regimes", "weigh_regimes", "partly_cloudy_day"),
        PageOf("Lesson", "lesson", "read_lesson"),
    ),
    "Control": (
        PageOf("Overrides", "overrides", "inspect_overrides", "tune"),
        PageOf("Effects", "effects", "judge_effects", "balance"),
    ),
    "System": (
        PageOf("Jobs", "jobs", "watch_jobs", "schedule"),
        PageOf("Data", "data", "check_data", "database"),
        PageOf("Audit", "audit", "trace_decisions", "history"),
        PageOf("Settings", "settings", "review_settings", "settings"),
    ),
}
PATHS: Final = tuple(page.path for pages in PAGES.values() for page in pages)
