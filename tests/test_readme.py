"""The README's examples for a bot run as they stand there."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from learning.bot import freqtrade as adapter
from learning.runtime.in_force import uninstall
from learning.store.database import create_engine, transaction
from learning.store.schema import ad_strands, bot_heartbeats

README = Path(__file__).parents[1] / "README.md"


def examples(section: str) -> list[str]:
    """The Python blocks below a heading."""
    text = README.read_text(encoding="utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    found = re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    assert found, section
    return found


def test_the_example_for_a_bot_obeys_and_records(
    fresh_database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", fresh_database)
    monkeypatch.setenv("EDGEKEEPER_HOME", str(tmp_path))
    [example] = examples("In your bot")
    known: dict[str, Any] = {
        "position_id": "P-1",
        "opened_at": datetime(2026, 3, 1, tzinfo=UTC),
        "closed_at": datetime(2026, 3, 2, tzinfo=UTC),
    }
    exec(example, known)
    known["recorder"].stop()
    known["feed"].stop()
    uninstall()
    levers = known["levers"]
    told = re.search(r"# (.*), '(.*)'", example)
    assert told is not None
    assert (str(levers["position_size_frac"]), levers.outcome.reason) == told.groups()
    engine = create_engine(fresh_database)
    with transaction(engine) as connection:
        kinds = connection.scalars(sa.select(ad_strands.c.kind).order_by(ad_strands.c.id))
        assert list(kinds) == ["pm_action", "position_closed"]
        assert connection.scalar(sa.select(bot_heartbeats.c.bot)) == "bot-1"
    engine.dispose()


def test_the_example_for_freqtrade_is_a_strategy_with_its_scope() -> None:
    [example] = examples("freqtrade")
    known: dict[str, Any] = {"IStrategy": type("IStrategy", (), {"timeframe": "1h"})}
    exec(example, known)
    strategy = known["MyStrategy"]()
    at = datetime(2026, 3, 1, tzinfo=UTC)
    scope = adapter._scope(strategy, "BTC/USDT", at, "long", None)
    assert (scope["bucket"], scope["timeframe"], scope["side"]) == ("xl", "1h", "long")
    assert (
        strategy.custom_stake_amount(
            pair="BTC/USDT", current_time=at, proposed_stake=50.0, side="long", entry_tag=None
        )
        == 50.0
    )
