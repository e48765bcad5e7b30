"""What every format's recogniser is given, and what it answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Final, Protocol

from learning.domain.pattern_key import Module, key_part
from learning.domain.scope import DEFAULT_DIMENSIONS
from learning.importers.closed_position import ImportTerms
from learning.importers.import_answers import ImportAnswers, ImportOption
from learning.importers.import_report import ReportTally
from learning.importers.imported_trade import ImportedTrade
from learning.importers.mapping import ColumnMapping
from learning.importers.source_file import FileKind

RISK_QUESTION: Final = ImportOption(
    "risk_pct",
    "number",
    "there are no stops in it, so no R: name the distance of your stop in percent of the entry "
    "price (or --risk-amount, what a trade may lose)",
)


class TradeReader(Protocol):
    """What each format offers."""

    @property
    def format(self) -> str:
        """Name of the format, part of the identity of a source."""

    @property
    def description(self) -> str:
        """What the source is, in words."""

    def first_trade(self) -> str:
        """Return the identity of the first trade."""

    def trades(self, tally: ReportTally) -> Iterator[ImportedTrade]:
        """Yield the usable trades; count the rest in the tally."""


@dataclass(frozen=True, slots=True)
class ImportSettings:
    """What holds for an import, whatever the format.

    ``closed_by`` is the latest moment that a close may have; None: any.
    """

    mapping: ColumnMapping = field(default_factory=ColumnMapping)
    answers: ImportAnswers = field(default_factory=ImportAnswers)
    max_stop_distance: float = 0.12
    origin: str | None = None
    dimensions: Mapping[Module, Sequence[str]] = field(
        default_factory=lambda: dict(DEFAULT_DIMENSIONS)
    )
    closed_by: datetime | None = None

    @property
    def zone(self) -> tzinfo:
        """Return the zone of times without an offset."""
        return self.answers.zone or self.mapping.zone

    def day_first_in(self, seen: bool | None) -> bool | None:
        """Say whether dates begin with their day: as a person said, else as the dates show."""
        said = self.answers.day_first
        return seen if said is None else said

    @property
    def zone_named(self) -> bool:
        """Say whether a person named the zone."""
        return self.answers.time_zone is not None or self.mapping.zone is not UTC

    def terms(
        self, *, origin: str, family: str, answers: ImportAnswers | None = None
    ) -> ImportTerms:
        """Return what holds for every trade; ``origin`` where nobody named another one."""
        said = self.origin or self.mapping.origin
        told = answers or self.answers
        return ImportTerms(
            origin=said or origin,
            family=key_part(told.strategy or family, fallback="unnamed"),
            answers=told,
            constants=self.mapping.constants,
            max_stop_distance=self.max_stop_distance,
            closed_by=self.closed_by,
            origin_is_assumed=said is None,
            tags=self.mapping.tags,
        )


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file and what it is by its first bytes."""

    path: Path
    kind: FileKind


@dataclass(frozen=True, slots=True)
class Opened:
    """A recognised file: its reader, what was understood, and what may still be said.

    ``columns`` are ours → theirs, for tables.
    """

    reader: TradeReader
    options: tuple[ImportOption, ...] = ()
    understood: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
