"""What the header says of the machine, as plain sentences with a colour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from dashboard import formats
from dashboard.queries import Health
from jobs.job import Job
from jobs.timetable import timetable

Tone = Literal["green", "orange", "red", "gray", "blue"]
_OF_ANOTHER_YEAR = timedelta(days=180)  # a day without its year would be taken for the next
BOT_SILENT_S = 15  # three of a bot's polling intervals, with room for a slow network


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to say: in few words, in what colour, and at length."""

    label: str
    tone: Tone
    icon: str
    help: str


@dataclass(frozen=True, slots=True)
class JobState:
    """How one job stands: ok, late, failed, running, paused or never."""

    job: str
    state: str
    last_ok_at: datetime | None
    said: str


def switch_notice(health: Health) -> Notice:
    """Say whether bots apply overrides."""
    switch = health.switch
    when = f"since {formats.utc(switch.changed_at)}"
    if switch.overrides_on:
        return Notice("Overrides ON", "green", ":material/bolt:", f"Bots apply overrides {when}.")
    return Notice(
        "Overrides OFF", "red", ":material/power_settings_new:", f"Every lever is neutral {when}."
    )


def bot_notices(health: Health) -> list[Notice]:
    """Say of each bot when it last read what it obeys."""
    if health.heartbeats.empty:
        return [
            Notice(
                "no bot has read yet",
                "gray",
                ":material/smart_toy:",
                "A bot that loads the runtime reports here each time it reads.",
            )
        ]
    newest = health.heartbeats.sort_values("last_read_at").groupby("bot").tail(1)
    return [_bot_notice(row, health) for row in newest.sort_values("bot").to_dict("records")]


def _bot_notice(row: dict[Any, Any], health: Health) -> Notice:
    silent_s = (health.now - row["last_read_at"]).total_seconds()
    behind = row["switch_revision"] < health.switch.switch_revision
    tone: Tone = "orange" if silent_s > BOT_SILENT_S or behind else "gray"
    obeys = "ON" if row["overrides_on"] else "OFF"
    waiting = "; it has not seen the last turn of the kill switch" if behind else ""
    label = (
        f"{formats.plain(row['bot'], longest=20)} {formats.ago(row['last_read_at'], health.now)}"
    )
    return Notice(
        label,
        tone,
        ":material/smart_toy:",
        f"Last read {formats.utc(row['last_read_at'].to_pydatetime())}, revision "
        f"{row['revision']}; obeys overrides {obeys}{waiting}.",
    )


def job_states(health: Health) -> list[JobState]:
    """Return how every job of the timetable stands."""
    jobs = timetable(health.profile)
    return [_job_state(job, health.runs.get(job.name), health.now) for job in jobs]


def _job_state(job: Job, row: Mapping[str, Any] | None, now: datetime) -> JobState:
    name = job.name
    if row is None:
        return JobState(name, "never", None, f"{name} has never run")
    last_ok: datetime | None = row["last_ok_at"]
    if row["is_paused"]:
        return JobState(name, "paused", last_ok, f"{name} is paused")
    if row["status"] in ("failed", "lost"):
        return JobState(name, "failed", last_ok, f"{name} {row['status']}: run {row['id']}")
    if row["status"] == "running":
        return JobState(name, "running", last_ok, f"{name} is running")
    if last_ok is None:
        return JobState(name, "never", None, f"{name} has never finished")
    if now - last_ok > job.max_age:
        return JobState(name, "late", last_ok, f"{name} last ran well {formats.ago(last_ok, now)}")
    return JobState(name, "ok", last_ok, f"{name} {formats.ago(last_ok, now)}")


_ORDER = ("failed", "late", "never", "running", "paused", "ok")


def stalest_job(health: Health) -> Notice:
    """Name the job that needs looking at first, or the one that ran longest ago."""
    states = job_states(health)
    bad = [one for one in states if one.state in ("failed", "late")]
    if all(one.state == "never" for one in states):
        return Notice(
            "no job has run",
            "orange",
            ":material/schedule:",
            "Start the worker: it runs every job when it is due.",
        )
    if bad:
        worst = min(bad, key=lambda one: _ORDER.index(one.state))
        return Notice(
            formats.plain(worst.said),
            "orange",
            ":material/schedule:",
            formats.plain("; ".join(one.said for one in bad), longest=300),
        )
    ran = [one for one in states if one.last_ok_at is not None]
    oldest = min(ran, key=lambda one: one.last_ok_at or health.now) if ran else states[0]
    return Notice(
        formats.plain(oldest.said),
        "gray",
        ":material/schedule:",
        "The job whose last good run is the oldest; all are within their age.",
    )


def broken_promises(health: Health) -> Notice | None:
    """Say which checks failed when all were run last; None where none did."""
    run = health.runs.get("validate_learning")
    changed = None if run is None else run["changed"]
    checks = changed.get("checks", []) if isinstance(changed, dict) else []
    failed = [check for check in checks if check["state"] == "failed"]
    if not failed:
        return None
    promises = "promise is" if len(failed) == 1 else "promises are"
    told = "; ".join(f"{check['name']}: {check['finding']}" for check in failed)
    return Notice(
        f"{len(failed)} {promises} broken",
        "red",
        ":material/gpp_bad:",
        formats.plain(f"{told}. ./run validate tells all.", longest=400),
    )


def stale_sentence(health: Health, jobs: tuple[str, ...]) -> str | None:
    """Say that a page's numbers are old, where a job they come from failed or is late."""
    bad = [one for one in job_states(health) if one.job in jobs and one.state in ("failed", "late")]
    if not bad:
        return None
    worst = min(
        bad, key=lambda one: one.last_ok_at or datetime.min.replace(tzinfo=health.now.tzinfo)
    )
    numbers = formats.ago(worst.last_ok_at, health.now)
    return f"Numbers from {numbers}: " + "; ".join(one.said for one in bad)


def data_notice(health: Health) -> Notice:
    """Say up to when there are trades, and which outcome is analysed."""
    if health.last_trade_at is None:
        return Notice("no closed trades", "gray", ":material/database:", "Import trades first.")
    is_old = health.now - health.last_trade_at > _OF_ANOTHER_YEAR
    return Notice(
        f"data to {formats.utc(health.last_trade_at, with_year=is_old)}",
        "gray",
        ":material/database:",
        f"The last closed trade was {formats.ago(health.last_trade_at, health.now)}; "
        f"data version {health.state.data_version}.",
    )
