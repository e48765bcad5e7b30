"""Imports go the way the data flows; the table below is the whole rule."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = (
    "learning.errors", "learning.domain", "learning.settings", "learning.runtime",
    "learning.events", "learning.context", "learning.evidence", "learning.lessons",
    "learning.meta", "learning.overrides", "learning.simulation", "learning.store", "learning.bot",
    "learning.importers", "jobs", "dashboard",
)  # fmt: skip
PURE = ("learning.events", "learning.context", "learning.evidence", "learning.lessons",
        "learning.meta", "learning.overrides", "learning.simulation")  # fmt: skip
STANDARD_LIBRARY_ONLY = ("learning.domain", "learning.runtime")
HEAVY = {"numpy", "pandas", "scipy", "sklearn", "numba", "sqlalchemy", "psycopg", "streamlit",
         "plotly", "pydantic", "pyarrow"}  # fmt: skip
NOT_PURE = {"sqlalchemy", "psycopg", "os", "time", "streamlit", "schedule"}


def modules() -> list[tuple[str, Path]]:
    files = [
        path for top in ("learning", "jobs", "dashboard") for path in (ROOT / top).rglob("*.py")
    ]
    return [
        (".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path)
        for path in sorted(files)
    ]


def imported(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer(name: str) -> int | None:
    return next(
        (i for i, part in enumerate(ORDER) if name == part or name.startswith(part + ".")), None
    )


def is_in(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


@pytest.mark.parametrize(
    ("name", "path"), modules(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_module_imports_only_from_those_the_data_came_through(name: str, path: Path) -> None:
    own = layer(name)
    if own is None:
        assert name == "learning"
        return
    wrong = [other for other in imported(path) if (layer(other) or 0) > own]
    assert wrong == []


@pytest.mark.parametrize(
    ("name", "path"), modules(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_pure_packages_know_no_database_clock_or_environment(name: str, path: Path) -> None:
    roots = {other.partition(".")[0] for other in imported(path)}
    if is_in(name, STANDARD_LIBRARY_ONLY):
        assert roots & HEAVY == set()
    if is_in(name, PURE):
        assert roots & NOT_PURE == set()


def test_the_rule_catches_a_wrong_import() -> None:
    assert (layer("learning.store.schema") or 0) > (layer("learning.evidence.moments") or 0)
