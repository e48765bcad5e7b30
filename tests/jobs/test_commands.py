"""The command line, as a newcomer and as a script use it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from jobs.commands.app import main, make_app
from learning.store import strand_rows
from learning.store.database import create_engine
from tests.strand_builders import action

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(command.name or "" for command in make_app().registered_commands)


@pytest.fixture(autouse=True)
def _own_database(fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKEEPER_DATABASE_URL", fresh_database)


def run(*arguments: str) -> int:
    """Run a command; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def trades_file(folder: Path, n: int = 40) -> Path:
    opened = pd.date_range("2024-01-01", periods=n, freq="D", tz="UTC")
    path = folder / "my_trades.csv"
    pd.DataFrame(
        {
            "trade_id": range(n),
            "pattern_key": "pm.trend.S1.flag",
            "entry_time": opened,
            "exit_time": opened + pd.Timedelta(hours=5),
            "r_multiple": [1.5 if i % 3 == 0 else -1.0 for i in range(n)],
            "bucket": ["micro", "mid"] * (n // 2),
        }
    ).to_csv(path, index=False)
    return path


def test_all_that_is_promised_is_there() -> None:
    promised = {
        "demo", "import", "learn", "lessons", "approve", "reject", "disable", "up", "doctor",
        "stop", "url", "bench", "web", "worker", "migrate", "jobs", "job", "kill",
    }  # fmt: skip
    assert promised <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(name, "--help") == 0
    assert len(capsys.readouterr().out.split()) > 10


def test_url_prints_the_url_and_nothing_else(
    capsys: pytest.CaptureFixture[str], fresh_database: str
) -> None:
    assert run("url") == 0
    assert capsys.readouterr().out == fresh_database + "\n"


def test_a_dry_run_writes_nothing_and_an_import_twice_adds_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(trades_file(tmp_path))
    assert run("import", path, "--dry-run") == 0
    told = capsys.readouterr().out
    assert "40 trades found: 40 usable" in told
    assert "Dry run: nothing was written." in told
    assert run("import", path) == 0
    assert "Imported 80 strands of 40 trades" in capsys.readouterr().out
    assert run("import", path) == 0
    assert "Nothing new" in capsys.readouterr().out


def test_a_trade_that_closes_in_the_future_is_rejected_at_import(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ahead.csv"
    header = "trade_id,pattern_key,entry_time,exit_time,r_multiple"
    path.write_text(f"{header}\n1,pm.a.b.c,2024-03-01,2099-03-02,1.5\n")
    assert run("import", str(path), "--dry-run") == 0
    assert "rejected: 1 row, exit_time must not be in the future" in capsys.readouterr().out


def test_learning_from_few_trades_says_that_nothing_survived(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("import", str(trades_file(tmp_path))) == 0
    assert run("learn") == 0
    told = capsys.readouterr().out
    assert "ingested 80" in told
    assert "No lesson survived the test" in told
    assert run("lessons", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("approve", "L-0007", "--reason", "a good reason"), 1, "there is no lesson L-0007"),
        (("approve", "seven", "--reason", "a good reason"), 2, "a lesson is named like L-0042"),
        (("import", "/nowhere/trades.csv"), 1, "/nowhere/trades.csv"),
        (("lessons", "--status", "lively"), 2, "status must be one of"),
        (("job", "make_money"), 2, "a job is one of"),
        (("kill", "maybe"), 2, "the kill switch is on or off"),
        (("kill", "on", "--reason", "a good reason"), 1, "ENABLE"),
        (("bench", "nothing"), 2, "a benchmark is one of"),
    ],
)
def test_an_error_is_one_sentence_and_an_exit_code(
    arguments: tuple[str, ...], code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == code
    told = capsys.readouterr().err
    assert sentence in " ".join(told.split())
    assert "Traceback" not in told


def test_an_unusable_setting_is_named_with_its_rule(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGEKEEPER_FDR_TARGET", "5")
    assert run("url") == 3
    assert "FDR_TARGET" in capsys.readouterr().err


def test_a_setting_that_contradicts_the_database_is_one_sentence_without_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("import", str(trades_file(tmp_path))) == 0
    assert run("learn") == 0
    capsys.readouterr()
    monkeypatch.setenv("EDGEKEEPER_OUTCOME", "rr_path")
    assert run("learn") == 3
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert told.count("but this database analyses r_multiple") == 1


def test_doctor_fails_where_a_job_failed(
    fresh_database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("job", "validate_learning") == 0
    with create_engine(fresh_database).begin() as connection:
        connection.execute(sa.text("UPDATE job_runs SET status = 'failed', error = 'x'"))
    assert run("doctor") == 1
    assert "job validate_learning" in capsys.readouterr().err


def test_no_password_is_ever_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGEKEEPER_DATABASE_URL", "postgresql://ann:canary@127.0.0.1:1/none")
    assert run("learn") == 3
    told = capsys.readouterr()
    assert "canary" not in told.out + told.err
    assert "cannot connect" in told.err


def test_the_kill_switch_turns_off_in_one_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("kill", "off") == 0
    assert "Overrides are OFF" in capsys.readouterr().out
    assert run("kill", "on", "--reason", "it was a drill", "--confirm", "ENABLE") == 0
    assert "Overrides are ON" in capsys.readouterr().out


def test_a_quarantined_strand_is_shown_and_ingested_once_what_was_wrong_is_right(
    capsys: pytest.CaptureFixture[str],
    fresh_database: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EDGEKEEPER_PM_DIMENSIONS", "bucket,note")
    engine = create_engine(fresh_database)
    strand = action(scope={"bucket": "micro", "note": "x" * 65})
    with engine.begin() as connection:
        strand_rows.append(connection, [strand])
    assert run("job", "ingest_strands") == 0
    assert run("redrive", "--show") == 0
    assert "note" in capsys.readouterr().out
    monkeypatch.setenv("EDGEKEEPER_PM_DIMENSIONS", "bucket")
    assert run("redrive") == 0
    assert "1 quarantined strands decided again" in capsys.readouterr().out
    with engine.connect() as connection:
        assert strand_rows.accounts(connection).balanced


def test_doctor_ends_well_on_a_fresh_database(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor") == 0
    assert "every strand is accounted for" in capsys.readouterr().out


def test_the_script_says_so_where_there_is_neither_uv_nor_python(tmp_path: Path) -> None:
    for tool in ("sh", "dirname", "cat", "cksum", "tr"):
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / tool).symlink_to(found)
    ended = subprocess.run(
        ["sh", str(ROOT / "run"), "url"],
        env={"PATH": str(tmp_path), "EDGEKEEPER_VENV": str(tmp_path / "venv")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 3
    assert "needs uv, or Python 3.11 or newer" in ended.stderr


def test_python_m_jobs_reaches_the_same_commands() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "jobs", "--help"],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 0
    assert all(name in ended.stdout for name in COMMANDS)


def test_the_outcome_is_changed_by_name_and_with_a_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("outcome", "rr_path", "--reason", "short") == 1
    assert "at least 10 characters" in capsys.readouterr().err
    assert run("outcome", "rr_path", "--reason", "no stops are known", "--as", "ann") == 0
    assert "0 active lessons went back" in capsys.readouterr().out
    assert run("outcome", "rr_path", "--reason", "no stops are known") == 0
    assert "analysed already: nothing changed" in capsys.readouterr().out
    assert run("outcome") == 0
    assert "by ann" in capsys.readouterr().out


def test_the_number_of_approvals_is_kept_in_the_database(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKEEPER_APPROVALS_REQUIRED", "2")
    assert run("approvals") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "activate a lesson: 1." in told
    assert "asks for 2 here, which holds" in told
    assert run("approvals", "2", "--reason", "short") == 1
    assert "at least 10 characters" in capsys.readouterr().err
    assert run("approvals", "2", "--reason", "four eyes from now on", "--as", "ann") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "activate a lesson: 2, set" in told
    assert "by ann. Why: four eyes from now on" in told
    assert run("approvals", "3", "--reason", "many eyes from now on") == 2


def test_people_are_listed_added_and_removed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("people") == 0
    assert "Nobody is listed" in capsys.readouterr().out
    assert run("people", "add", "ada", "--role", "admin") == 0
    assert run("people", "add", "vic", "--role", "viewer", "--as", "ada") == 0
    capsys.readouterr()
    assert run("people") == 0
    told = capsys.readouterr().out
    assert "ada" in told
    assert "vic" in told
    assert run("people", "add", "mallory", "--role", "admin", "--as", "vic") == 1
    assert "this takes the role admin" in " ".join(capsys.readouterr().err.split())
    assert run("people", "add", "bob", "--role", "king", "--as", "ada") == 2
    assert run("people", "--help") == 0
    assert run("people", "remove", "vic", "--as", "ada") == 0
    assert run("people", "remove", "ada", "--as", "ada") == 0
    capsys.readouterr()
    assert run("people") == 0
    assert "Nobody is listed" in capsys.readouterr().out
