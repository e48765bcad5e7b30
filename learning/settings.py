"""Every tunable, with its unit, its range and the reason for its default.

Settings come from the environment (prefix ``EDGEKEEPER_``; ``DATABASE_URL``, ``HOST``, ``PORT`` and
``APPROVALS_REQUIRED`` also without it). They are read once, at the entry point; functions get
plain values.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AliasChoices, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from learning.domain.levers import ThresholdRange, threshold_category
from learning.domain.pattern_key import Module
from learning.domain.scope import DM_DIMENSIONS, PM_DIMENSIONS, checked_dimensions
from learning.errors import ConfigError

OutcomeName = Literal["r_multiple_net", "r_multiple", "rr_path"]
Origin = Literal["live", "dry_run", "backtest", "simulated"]
CombineRule = Literal["most_specific", "per_factor"]
Profile = Literal["v5", "hourly"]
Names = Annotated[tuple[str, ...], NoDecode]
FourCounts = Annotated[tuple[int, int, int, int], NoDecode]
_PREFIX: Final = "EDGEKEEPER_"
# variables of ours that are read elsewhere and are no setting
_OTHERS: Final = re.compile(
    r"EDGEKEEPER_(REAL_DATA|VENV|FREQTRADE_VENV|SOAK_S|DEBUG|TEST_\w+)", re.ASCII
)


def _named(*names: str) -> AliasChoices:
    return AliasChoices(*names)


class Settings(BaseSettings):
    """All settings of Edgekeeper."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, extra="ignore", frozen=True, populate_by_name=True
    )

    home: Path = Field(
        Path(".edgekeeper"),
        description="Folder of the embedded database, logs and mappings. Beside the checkout, so "
        "that trying the product leaves nothing elsewhere.",
    )
    database_url: str | None = Field(
        None,
        validation_alias=_named("EDGEKEEPER_DATABASE_URL", "DATABASE_URL"),
        description="PostgreSQL URL. Unset: an embedded PostgreSQL under the home folder.",
        repr=False,
    )
    listen_url: str | None = Field(
        None,
        description="PostgreSQL URL for LISTEN, where the other one goes through a pooler in "
        "transaction mode. Unset: the same.",
        repr=False,
    )
    host: str = Field(
        "127.0.0.1",
        validation_alias=_named("EDGEKEEPER_HOST", "HOST"),
        description="Address the dashboard listens on. Loopback, since the page steers money.",
    )
    port: int = Field(
        8501,
        ge=1,
        le=65535,
        validation_alias=_named("EDGEKEEPER_PORT", "PORT"),
        description="TCP port of the dashboard, 1 to 65535.",
    )
    outcome: OutcomeName | None = Field(
        None,
        description="The analysed outcome: r_multiple_net, r_multiple or rr_path. Unset: the first "
        "of these that 95 % of the trades have, chosen once, at the first mining run, and kept.",
    )
    origins: Names = Field(
        ("live", "dry_run", "backtest", "simulated"),
        description="Which origins count as evidence: live, dry_run, backtest, simulated "
        "(comma-separated). Shown with every lesson as its composition.",
    )
    pm_dimensions: Names = Field(
        PM_DIMENSIONS,
        description="Scope dimensions of PM in order, 1 to 15 names, comma-separated. Bit i of a "
        "stored mask is dimension i; a changed list holds after ./run dimensions.",
    )
    dm_dimensions: Names = Field(
        DM_DIMENSIONS, description="Scope dimensions of DM in order, as for PM."
    )
    timing_dimensions: Names = Field(
        ("A_mode", "E_mode"),
        description="Dimensions that say when the bot adds or trims, comma-separated. Among trades "
        "that reached an add or a trim they pick the outcome, so they are no condition of lessons "
        "on those; on entries and exits they are.",
    )
    n_min: FourCounts = Field(
        (10, 20, 30, 50),
        description="Trades needed to store a scope of 1-2, 3-4, 5-6 and 7 or more dimensions, "
        "comma-separated; each at least 2 and none below the one before. 10/20/30/50 keeps noise "
        "out of the tables.",
    )
    fdr_target: float = Field(
        0.10,
        gt=0,
        lt=1,
        description="Accepted share of false lessons, as a fraction between 0 and 1.",
    )
    seed: int = Field(
        20260101,
        ge=0,
        lt=2**63,
        description="Seed of the bootstrap: same trades and seed, same lessons.",
    )
    discovery_interval_days: float = Field(
        28, gt=0, description="Days between discovery looks: each look spends error."
    )
    discovery_growth: float = Field(
        0.25, gt=0, description="Growth of the trades, as a fraction, that opens a look earlier."
    )
    approvals_required: int = Field(
        1,
        ge=1,
        le=2,
        validation_alias=_named("EDGEKEEPER_APPROVALS_REQUIRED", "APPROVALS_REQUIRED"),
        description="People needed to activate a lesson: 1 (solo) or 2 (four eyes).",
    )
    auto_approve_max_effect: float = Field(
        0.0,
        ge=0,
        le=0.1,
        description="Largest distance of any lever from neutral that is approved without a person, "
        "after mining, as auto; 0 (default) is off. Never with two approvals, never what a person "
        "rejected or disabled; what grows beyond it goes back to proposed.",
    )
    holdout_share: float = Field(
        0.20,
        ge=0,
        le=0.5,
        description="Share of decisions held out of an aggression or execution override, so that "
        "its effect is causal; half of it once later trades confirmed the lesson. Never for size.",
    )
    combine: CombineRule = Field(
        "most_specific",
        description="Whether one override applies (most_specific) or one per latent factor "
        "(per_factor, product, clamped).",
    )
    signal_thresholds: dict[str, ThresholdRange] = Field(
        {},
        description="Signal thresholds that may be learned, as JSON: name to {signal, kind, low, "
        "high, step}, all in the signal's own unit, at most 100 steps. The name ends in "
        "_for_entry, _for_add, _for_trim or _for_exit and is the key in the bot's plan; kind is "
        "min (act at the value or above) or max (at or below). The loose end, low of a min and "
        "high of a max, must be the bot's own present value: a learned threshold only tightens, "
        "from there, by one step a day. Empty: none is learned or applied. Example: "
        '{"min_ts_for_add": {"signal": "TS", "kind": "min", "low": 0.3, '
        '"high": 0.8, "step": 0.05}}.',
    )
    max_config_age_s: float = Field(
        4.0,
        gt=0,
        le=60,
        description="Seconds without a successful read after which a bot uses safe values.",
    )
    max_stop_distance: float = Field(
        0.12,
        gt=0,
        le=1,
        description="Largest distance of an initial stop from the entry, as a fraction of the "
        "entry price, that still counts as the risk of a trade. Beyond it is a catastrophe stop.",
    )
    profile: Profile = Field(
        "v5",
        description="Timetable of the worker: v5 (ingest, aggregate and materialise every 2 h, "
        "lessons every 6 h) or hourly (lessons at :08, materialise at :10).",
    )
    notice_urls: Names = Field(
        (),
        description="Where notices go, as Apprise URLs, comma-separated (needs the package "
        "apprise): a job's first failure and recovery, a guardrail, a lesson in force that later "
        "trades do not confirm, a decision that waits. "
        "Empty: nowhere.",
        repr=False,
    )
    batch_size: int = Field(
        2000, ge=1, le=50000, description="Strands ingested in one transaction."
    )
    backup_keep: int = Field(
        8,
        ge=0,
        le=520,
        description="Weekly backups kept in the folder backups of the home folder: two months of "
        "them by default. 0: none is written.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged."
    )

    @field_validator(
        "origins",
        "pm_dimensions",
        "dm_dimensions",
        "timing_dimensions",
        "notice_urls",
        mode="before",
    )
    @classmethod
    def _split_names(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("n_min", mode="before")
    @classmethod
    def _split_counts(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.strip().strip("[]").split(","))
        return value

    @field_validator("database_url", "listen_url", mode="before")
    @classmethod
    def _blank_is_unset(cls, value: object) -> object:
        return None if isinstance(value, str) and not value.strip() else value

    @field_validator("pm_dimensions", "dm_dimensions")
    @classmethod
    def _dimensions_are_sound(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return checked_dimensions(value)

    @field_validator("origins")
    @classmethod
    def _origins_are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        known = ("live", "dry_run", "backtest", "simulated")
        unknown = [name for name in value if name not in known]
        if unknown or not value:
            raise ValueError(f"must be some of {', '.join(known)}")
        return value

    @field_validator("signal_thresholds")
    @classmethod
    def _thresholds_say_their_decision(
        cls, value: dict[str, ThresholdRange]
    ) -> dict[str, ThresholdRange]:
        for name in value:
            threshold_category(name)
        return value

    @field_validator("n_min")
    @classmethod
    def _n_min_never_falls(cls, value: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        if value[0] < 2 or list(value) != sorted(value):
            raise ValueError("must start at 2 or more and never fall")
        return value

    def dimensions(self, module: Module) -> tuple[str, ...]:
        """Return the scope dimensions of a module, in order."""
        return self.pm_dimensions if module == "pm" else self.dm_dimensions

    def every_dimension(self) -> tuple[str, ...]:
        """Return the scope dimensions of both modules, each once."""
        return tuple(sorted({*self.pm_dimensions, *self.dm_dimensions}))

    def n_min_by_size(self) -> tuple[int, ...]:
        """Return the trades needed to store a scope of 1, 2, … 7 or more dimensions."""
        small, middle, large, largest = self.n_min
        return small, small, middle, middle, large, large, largest

    @classmethod
    def from_env(cls, **overrides: object) -> Settings:
        """Read the settings from the environment.

        Raises:
            ConfigError: If a setting breaks its rule, or a variable with our prefix is no setting;
                the sentence names the variable.
        """
        _refuse_unknown(os.environ)
        try:
            return cls(**overrides)  # type: ignore[arg-type]
        except ValidationError as error:
            raise ConfigError(_sentence(error)) from None
        except SettingsError as error:
            raise ConfigError(_undecodable(error)) from None


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    """Refuse a variable that looks like a setting and is none.

    Passed over in silence, a misspelt setting that guards money would guard nothing.
    """
    known = [name for field in Settings.model_fields for name in _variables(field)]
    for name in sorted(environment):
        said = name.upper()  # as pydantic-settings reads them
        if not said.startswith(_PREFIX) or said in known or _OTHERS.fullmatch(said):
            continue
        near = get_close_matches(said, known, n=1)
        raise ConfigError(
            f"{name} is no setting of Edgekeeper: "
            + (f"did you mean {near[0]}?" if near else "unset it, or name one that is")
        )


def _variables(name: str) -> tuple[str, ...]:
    """Return the environment variables of a setting."""
    alias = Settings.model_fields[name].validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(str(choice) for choice in alias.choices)
    return (_PREFIX + name.upper(),)


def _variable(said: str) -> str:
    """Return the variable that a setting, told by its name or an alias, was read from."""
    for name in Settings.model_fields:
        variables = _variables(name)
        if said == name or said.upper() in variables:
            return next((one for one in variables if one in os.environ), variables[0])
    return said


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    name, *within = (str(part) for part in first["loc"])
    variable = _variable(name)
    rule = first["msg"].removeprefix("Value error, ")
    value = first["input"]
    # a whole mapping, or an address, can hold a password; some rules quote the value themselves
    is_told = isinstance(value, dict) or "URL" in variable or ", got " in rule
    where = f" ({', '.join(within)})" if within else ""
    return f"{variable}{where} is not usable: {rule}" + ("" if is_told else f", got {value!r}")


def _undecodable(error: SettingsError) -> str:
    found = re.search(r'field "(\w+)"', str(error))
    variable = _variable(found[1]) if found else "a setting"
    return f"{variable} is not usable: it must be valid JSON ({error.__cause__})"


def documented() -> Mapping[str, str]:
    """Return each setting's environment variable with its meaning, range and default."""
    rows: dict[str, str] = {}
    for name, field in Settings.model_fields.items():
        variable = " or ".join(_variables(name))
        told = [str(field.description), *_range(field), f"Default: {field.default!r}."]
        rows[variable] = " ".join(told)
    return rows


def _range(field: FieldInfo) -> list[str]:
    """Return the bounds of a number, as they are checked."""
    signs = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    bounds = [
        f"{words} {getattr(rule, short)}"
        for rule in field.metadata
        for short, words in signs.items()
        if getattr(rule, short, None) is not None
    ]
    return [f"Range: {', '.join(bounds)}."] if bounds else []
