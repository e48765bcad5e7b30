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
        ("EDGEKEEPER_FDR_TARGET", "1.5", "should be less than 1, got '1.5'"),
        ("EDGEKEEPER_N_MIN", "[10, 5, 30, 50]", "never fall, got '[10, 5, 30, 50]'"),
        ("EDGEKEEPER_N_MIN", "10,20,many,50", "integer"),
        ("EDGEKEEPER_N_MIN", "10,20", "required"),
        ("EDGEKEEPER_PM_DIMENSIONS", "bucket,bucket", "must differ"),
        ("EDGEKEEPER_ORIGINS", "live,dreamt", "must be some of live, dry_run"),
        ("EDGEKEEPER_OUTCOME", "profit", "r_multiple_net"),
        ("EDGEKEEPER_PORT", "99999", "65535"),
        ("PORT", "99999", "65535"),
        ("APPROVALS_REQUIRED", "3", "less than or equal to 2"),
        ("EDGEKEEPER_SIGNAL_THRESHOLDS", '{"min_ts', "must be valid JSON"),
    ],
)
def test_an_unusable_setting_is_named_as_in_the_environment_with_its_rule_and_value_once(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as raised:
        Settings.from_env()
    told = str(raised.value)
    assert told.startswith(f"{name} ")
    assert said in told
    assert told.count("got ") <= 1


def test_the_least_trades_are_given_comma_separated_or_as_json(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for text in ("2,3, 4,5", "[2, 3, 4, 5]"):
        monkeypatch.setenv("EDGEKEEPER_N_MIN", text)
        assert Settings.from_env().n_min == (2, 3, 4, 5)


@pytest.mark.parametrize("name", ["APPROVALS_REQUIRED", "EDGEKEEPER_APPROVALS_REQUIRED"])
def test_four_eyes_are_asked_for_with_and_without_the_prefix(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "2")
    assert Settings.from_env().approvals_required == 2


def test_a_misspelt_setting_is_refused_with_the_name_that_was_meant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EDGEKEEPER_APPROVALS_REQUIRE", "2")
    with pytest.raises(ConfigError, match=r"^EDGEKEEPER_APPROVALS_REQUIRE is no .*REQUIRED\?$"):
        Settings.from_env()


@pytest.mark.parametrize(
    "name", ["EDGEKEEPER_REAL_DATA", "EDGEKEEPER_VENV", "EDGEKEEPER_TEST_DATABASE_URL"]
)
def test_our_variables_that_are_no_settings_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "anything")
    assert Settings.from_env() == Settings()


@pytest.mark.parametrize("name", ["DATABASE_URL", "EDGEKEEPER_DATABASE_URL"])
def test_a_blank_database_url_counts_as_unset(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "  ")
    assert Settings.from_env().database_url is None


def test_no_error_shows_the_password_of_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ann:canary@host/db")
    monkeypatch.setenv("EDGEKEEPER_N_MIN", "[10, 5, 30, 50]")
    with pytest.raises(ConfigError) as raised:
        Settings.from_env()
    assert "canary" not in str(raised.value)
    assert "canary" not in repr(Settings.from_env(n_min=(10, 20, 30, 50)))


def test_thresholds_by_size_follow_the_four_steps() -> None:
    assert Settings().n_min_by_size() == (10, 10, 20, 20, 30, 30, 50)
