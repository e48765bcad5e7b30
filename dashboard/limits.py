"""The limits in force, as rows: what holds, who keeps it, and how it is changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import pandas as pd

from dashboard import formats
from learning.domain.levers import ThresholdRange, with_thresholds
from learning.settings import Settings
from learning.store.people_rows import Approvals

_RISK: Mapping[str, str] = {"up": "above neutral", "down": "below neutral", "none": "—"}


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: its value with its unit, who keeps it, and how a person changes it."""

    limit: str
    in_force: str
    kept_by: str
    change: str


def limits_in_force(settings: Settings, approvals: Approvals) -> list[Limit]:
    """Return every limit that stands between a lesson and an order."""
    return [
        _people(settings, approvals),
        *_of_overrides(settings, approvals),
        *_of_search(settings),
    ]


def _people(settings: Settings, approvals: Approvals) -> Limit:
    needed = max(approvals.required, settings.approvals_required)
    by = "database" if approvals.required == needed else "this process"
    told = f", set by {approvals.set_by}" if approvals.set_by and by == "database" else ""
    return Limit(
        "people who activate a lesson",
        formats.plural(needed, "person", "people"),
        by + told,
        "./run approvals 2 --reason …",
    )


def _approved_alone(settings: Settings, approvals: Approvals) -> str:
    """What the worker approves by itself; nothing where two people are needed."""
    within = settings.auto_approve_max_effect
    if within == 0:
        return "never"
    if max(approvals.required, settings.approvals_required) > 1:
        return "never: two people are needed"
    return f"within {within:g} of neutral"


def _of_overrides(settings: Settings, approvals: Approvals) -> list[Limit]:
    return [
        Limit("approved without a person", _approved_alone(settings, approvals), "settings",
              "EDGEKEEPER_AUTO_APPROVE_MAX_EFFECT"),
        Limit("move of a multiplier a day", "0.02", "database", "fixed"),
        Limit("life of an override", "three half-lives, at most 90 d; 30 d where none is known",
              "database", "fixed; renewing is a decision"),
        Limit("held out of timing and aggression", formats.share(settings.holdout_share),
              "settings", "EDGEKEEPER_HOLDOUT_SHARE"),
        Limit("held out of size", "nothing: its effect is known without, a cut is never withheld",
              "fixed", "fixed"),
        Limit("overrides on one decision", settings.combine.replace("_", " "), "settings",
              "EDGEKEEPER_COMBINE"),
        Limit("age of a bot's last read", f"{settings.max_config_age_s:g} s", "the bot's settings",
              "EDGEKEEPER_MAX_CONFIG_AGE_S"),
    ]  # fmt: skip


def _of_search(settings: Settings) -> list[Limit]:
    stored = "/".join(str(n) for n in settings.n_min)
    return [
        Limit("accepted share of false lessons", formats.share(settings.fdr_target), "settings",
              "EDGEKEEPER_FDR_TARGET"),
        Limit("discovery looks", f"every {settings.discovery_interval_days:g} d, or when trades "
              f"grew by {formats.share(settings.discovery_growth)}", "settings",
              "EDGEKEEPER_DISCOVERY_INTERVAL_DAYS, …_GROWTH"),
        Limit("trades to store a scope", f"{stored} for 1-2, 3-4, 5-6, 7 or more conditions",
              "settings", "EDGEKEEPER_N_MIN"),
        Limit("trades to print a number", str(formats.MIN_SHOWN_N), "screens", "fixed"),
        Limit("furthest stop that is a risk", formats.share(settings.max_stop_distance),
              "settings", "EDGEKEEPER_MAX_STOP_DISTANCE"),
        Limit("origins that are evidence", ", ".join(settings.origins), "settings",
              "EDGEKEEPER_ORIGINS"),
    ]  # fmt: skip


def lever_bounds(thresholds: Mapping[str, ThresholdRange]) -> pd.DataFrame:
    """Return the bounds of every lever, thresholds that are configured included.

    Examples:
        >>> bounds = lever_bounds({}).set_index("lever")
        >>> bounds["lowest"]["size"].item(), bounds["highest"]["size"].item()
        (0.7, 1.3)
    """
    rows = [
        {
            "lever": formats.lever_name(lever.name).replace(".", " "),
            "kind": lever.kind,
            "lowest": lever.low,
            "highest": lever.high,
            "neutral": lever.neutral,
            "step": lever.step,
            "adds_risk": _RISK[lever.risky],
        }
        for lever in with_thresholds(thresholds).values()
    ]
    return pd.DataFrame(rows)


def masked_address(url: str) -> str:
    """Return where a notice goes, without what would let others send there.

    An address of a messenger is a secret as a whole: its kind and the last part of its host
    are all that is told.

    Examples:
        >>> masked_address("tgram://123456:ABC-DEF/987")
        'tgram://…'
        >>> masked_address("mailto://ann:secret@mail.example.org?to=x@y.org")
        'mailto://…example.org'
        >>> masked_address("not an address")
        '…'
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return "…"
    if not parts.scheme:
        return "…"
    end = ".".join(host.split(".")[-2:]) if host.count(".") else ""
    return f"{parts.scheme}://…{end}"
