"""Every table of the pages can be taken away as CSV and Parquet."""

from __future__ import annotations

import ast
from pathlib import Path

DASHBOARD = Path(__file__).parents[2] / "dashboard"
# a dialog that shows once more what the page behind it offers; files in the row below
ELSEWHERE = {"approve", "_show_queue"}


def _calls(function: ast.FunctionDef, name: str) -> list[ast.Call]:
    return [
        one
        for one in ast.walk(function)
        if isinstance(one, ast.Call)
        and isinstance(one.func, ast.Attribute)
        and ast.unparse(one.func) == f"controls.{name}"
    ]


def _kept_back(function: ast.FunctionDef) -> bool:
    tables = _calls(function, "table")
    unnamed = [one for one in tables if "saved_as" not in {word.arg for word in one.keywords}]
    return len(unnamed) > len(_calls(function, "downloads"))


def test_every_table_of_the_pages_is_offered_as_csv_and_parquet() -> None:
    functions = [
        (path.name, one)
        for path in DASHBOARD.rglob("*.py")
        for one in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(one, ast.FunctionDef)
    ]
    assert sum(bool(_calls(one, "table")) for _, one in functions) > 20
    kept_back = {(file, one.name) for file, one in functions if _kept_back(one)}
    assert {name for _, name in kept_back} == ELSEWHERE, kept_back
