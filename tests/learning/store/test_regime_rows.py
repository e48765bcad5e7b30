from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from learning.domain.regime import build_scope
from learning.store.regime_rows import bucket_of_token, regime_context
from learning.store.schema import phase_state_bucket, token_cap_bucket

T = datetime(2026, 3, 1, 12, tzinfo=UTC)


def observed(connection: sa.Connection) -> None:
    phases = [
        ("market", "macro", -5, "Good", None), ("market", "macro", -1, "Dip", None),
        ("market", "macro", 1, "Euphoria", None), ("market", "meso", -1, "Recover", None),
        ("micro", "meso", -2, "Good", 0.4), ("micro", "meso", -1, "Dip", 0.9),
        ("mid", "meso", -1, "Chop", 0.5), ("mid", "micro", -1, "Dip", 5.0),
        ("xl", "meso", -1, "Good", None), ("nano", "meso", 1, "Good", 9.0),
    ]  # fmt: skip
    connection.execute(
        sa.insert(phase_state_bucket),
        [
            {
                "bucket": bucket, "horizon": horizon, "observed_at": T + timedelta(hours=hours),
                "phase": phase, "score": score,
            }
            for bucket, horizon, hours, phase, score in phases
        ],
    )  # fmt: skip
    tokens = [("A", -3, "nano"), ("A", -1, "micro"), ("B", -2, "micro"), ("C", 1, "xl")]
    connection.execute(
        sa.insert(token_cap_bucket),
        [
            {"symbol": symbol, "observed_at": T + timedelta(hours=hours), "bucket": bucket}
            for symbol, hours, bucket in tokens
        ],
    )


def test_a_regime_is_what_was_observed_up_to_its_moment(connection):
    observed(connection)
    context = regime_context(connection, T)
    assert (context.macro_phase, context.meso_phase, context.micro_phase) == (
        "Dip", "Recover", None,
    )  # fmt: skip
    assert context.bucket_phases == {"micro": "Dip", "mid": "Chop", "xl": "Good"}
    assert context.bucket_rank == ("micro", "mid")
    assert context.bucket_population == {"micro": 2}
    assert build_scope(context, bucket=bucket_of_token(connection, "A", T)) == {
        "macro_phase": "Dip",
        "meso_phase": "Recover",
        "bucket_leader": "micro",
        "bucket_rank_position": 1,
        "bucket": "micro",
    }


def test_before_any_observation_nothing_is_known(connection):
    observed(connection)
    context = regime_context(connection, T - timedelta(days=1))
    assert build_scope(context, bucket=None) == {}
    assert bucket_of_token(connection, "A", T - timedelta(days=1)) is None


def test_a_moment_without_a_zone_is_refused(connection):
    with pytest.raises(ValueError, match="time zone"):
        regime_context(connection, datetime(2026, 3, 1))  # noqa: DTZ001
