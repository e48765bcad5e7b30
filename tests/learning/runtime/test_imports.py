from __future__ import annotations

import subprocess
import sys

SLOW = ("pandas", "numpy", "scipy", "sqlalchemy", "psycopg", "pydantic", "numba", "streamlit")


def loaded_by(statement: str) -> list[str]:
    program = f"{statement}\nimport sys\nprint([m for m in {SLOW} if m in sys.modules])"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return eval(ended.stdout)


def test_a_bot_that_applies_overrides_loads_nothing_slow():
    assert loaded_by("import learning; learning.apply_pattern_strength_overrides") == []
    assert loaded_by("import learning.runtime.apply, learning.runtime.explaining") == []


def test_the_check_would_notice():
    assert loaded_by("import psycopg") == ["psycopg"]
