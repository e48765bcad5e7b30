import pytest

from learning.errors import ConfigError
from learning.settings import Settings, documented


def test_every_setting_is_documented_with_its_range() -> None:
    rows = documented()
    assert len(rows) == len(Settings.model_fields)
    assert all(len(meaning.split()) > 6 for meaning in rows.values())
    assert "Range: above 0, below 1." in rows["EDGEKEEPER_FDR_TARGET"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("EDGEKEEPER_FDR_TARGET", "1.5", "FDR_TARGET"),
        ("EDGEKEEPER_N_MIN", "[10, 5, 30, 50]", "never fall"),
        ("EDGEKEEPER_PM_DIMENSIONS", "bucket,bucket", "must differ"),
        ("EDGEKEEPER_ORIGINS", "live,dreamt", "origins must be some of"),
        ("EDGEKEEPER_OUTCOME", "profit", "OUTCOME"),
        ("EDGEKEEPER_PORT", "99999", "PORT"),
    ],
)
def test_an_unusable_setting_is_named_with_its_rule(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=said):
        Settings.from_env()


def test_no_error_shows_the_password_of_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ann:canary@host/db")
    monkeypatch.setenv("EDGEKEEPER_N_MIN", "[10, 5, 30, 50]")
    with pytest.raises(ConfigError) as raised:
        Settings.from_env()
    assert "canary" not in str(raised.value)
    assert "canary" not in repr(Settings.from_env(n_min=(10, 20, 30, 50)))


def test_thresholds_by_size_follow_the_four_steps() -> None:
    assert Settings().n_min_by_size() == (10, 10, 20, 20, 30, 30, 50)
