"""What an import found: every row is usable, open, or rejected with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal

from learning.importers.field_values import RowRejected, shown
from learning.importers.imported_trade import ImportedTrade
from learning.importers.trade_prints import TradePrints

RowKind = Literal["trade", "action", "fill", "row"]
NO_OUTCOME: Final = (
    "no outcome yet: a return, but no risk to measure it by (--risk-pct, or candles)"
)
_OUTCOME_WORDS: Final = {
    "r_multiple_net": "R after costs",
    "r_multiple": "R before costs",
    "rr_path": "return by worst excursion",
}
_WITHOUT_RISK: Final = (
    "trades without initial risk are measured by their path, where that is known; --risk-pct or "
    "--risk-amount gives them an R"
)
KEPT_REJECTS: Final = 1000  # shown one by one; beyond it rows are counted by rule


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that was not taken. ``row`` counts as the file does: from 1, a CSV's header is 1."""

    file: str
    kind: RowKind
    row: int
    column: str
    rule: str
    value: str

    def __str__(self) -> str:
        """Name the thing, the rule and the value."""
        return f"{self.file}, row {self.row}: {self.column} {self.rule}, got {self.value}"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """The counts of one pass over a source.

    ``trades_found = trades_usable + trades_open + trades_rejected`` and
    ``actions_found = actions_usable + actions_rejected``, always. ``actions_written`` counts the
    action strands: those of the file and those derived from a trade. ``outcomes`` and ``rr_kinds``
    count usable trades; a trade can have both kinds. So do ``without_pattern`` and ``origins``, of
    which ``assumed_origins`` were named neither by the source nor by a person.

    ``prints`` tell its trades from those of other sources; they are not part of what is kept.

    Rows are what the file counts: ``rows_found = rows_imported + rows_skipped + rows_rejected``,
    always; where a row is a trade, rows and trades are the same.
    """

    source_name: str
    format: str
    description: str
    first_trade: str
    trades_found: int
    trades_usable: int
    trades_open: int
    trades_rejected: int
    actions_found: int
    actions_usable: int
    actions_rejected: int
    actions_written: int
    without_pattern: int
    without_risk: dict[str, int]
    outcomes: dict[str, int]
    rr_kinds: dict[str, int]
    origins: dict[str, int]
    assumed_origins: dict[str, int]
    sides: dict[str, int]
    pattern_keys: dict[str, int]
    symbols: tuple[str, ...]
    opened_first: str | None
    closed_last: str | None
    rejected_by_rule: dict[str, int]
    rejected_rows: tuple[RejectedRow, ...]
    runs: dict[str, Any] = field(default_factory=dict)
    rows_found: int = 0
    rows_imported: int = 0
    rows_rejected: int = 0
    skipped_by_rule: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    prints: TradePrints = field(default_factory=TradePrints, compare=False, repr=False)

    @property
    def rows_skipped(self) -> int:
        """Rows that are no closed trades: open positions, deposits, orders that never filled."""
        return sum(self.skipped_by_rule.values())

    @property
    def with_outcome(self) -> int:
        """Usable trades with an R multiple or an R by their path."""
        return self.trades_usable - self.notes.get(NO_OUTCOME, 0)

    @property
    def strands(self) -> int:
        """Strands that the source holds: its actions and one close a trade."""
        return self.actions_written + self.trades_usable

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values, with at most the first hundred rejected rows."""
        content = asdict(replace(self, prints=TradePrints()))
        del content["prints"]
        content["rejected_rows"] = [str(row) for row in self.rejected_rows[:100]]
        content["symbols"] = list(self.symbols)
        return content

    def sentences(self) -> list[str]:
        """Return the report for people, one fact a line."""
        first, last = (self.opened_first or "")[:10], (self.closed_last or "")[:10]
        span = f"{first} to {last}" if first else "no trades"
        lines = [
            f"{self.description}",
            f"{counted(self.trades_found, 'trade')} found: {self.trades_usable} usable, "
            f"{self.trades_open} still open (skipped), {self.trades_rejected} rejected",
            f"{counted(self.actions_written, 'action')}, {self.actions_rejected} rejected",
            f"{counted(len(self.symbols), 'symbol')}, "
            f"{counted(len(self.pattern_keys), 'pattern')}, {span}",
            "origin: " + (self._told_origins() or "none"),
            "outcomes: " + (_counts(self.outcomes, _OUTCOME_WORDS) or "none"),
            "measured by (rr_kind): " + (_counts(self.rr_kinds) or "none"),
        ]
        if self.without_pattern:
            lines.append(f"no setup named (untagged): {counted(self.without_pattern, 'trade')}")
        lines += [
            f"no initial risk: {counted(n, 'trade')}, {why}" for why, n in self.without_risk.items()
        ]
        if self.without_risk:
            lines.append(_WITHOUT_RISK)
        lines += [f"{counted(n, 'trade')}: {note}" for note, n in self.notes.items()]
        lines += [
            f"skipped: {counted(n, 'row')}, {rule}" for rule, n in self.skipped_by_rule.items()
        ]
        lines += [
            f"rejected: {counted(n, 'row')}, {rule}" for rule, n in self.rejected_by_rule.items()
        ]
        return lines

    def _told_origins(self) -> str:
        told = []
        for name, n in self.origins.items():
            n_assumed = self.assumed_origins.get(name, 0)
            share = "" if n_assumed == n else f"{n_assumed} "
            told.append(name if len(self.origins) == 1 else f"{name} {n}")
            told[-1] += f" ({share}assumed; --origin changes it)" if n_assumed else ""
        return ", ".join(told)


def counted(n: int, what: str) -> str:
    """Return a number with its noun.

    Examples:
        >>> counted(1, "trade"), counted(0, "row")
        ('1 trade', '0 rows')
    """
    return f"{n} {what}" + ("" if n == 1 else "s")


def _counts(counts: dict[str, int], words: Mapping[str, str] | None = None) -> str:
    told = words or {}
    return ", ".join(
        f"{name} ({told[name]}) {n}" if name in told else f"{name} {n}"
        for name, n in counts.items()
    )


class ReportTally:
    """Counts while a source is read. One tally belongs to one pass.

    ``on_reject`` is told of every rejected row; the report keeps only the first ones.
    """

    def __init__(self, on_reject: Callable[[RejectedRow], None] | None = None) -> None:
        self.on_reject = on_reject
        self.rows_found = self.rows_imported = self.rows_rejected = 0
        self.skipped: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.trades_found = self.trades_usable = self.trades_open = 0
        self.actions_found = self.actions_usable = self.actions_written = 0
        self.without_pattern = 0
        self.rejected: Counter[RowKind] = Counter()
        self.rejected_by_rule: Counter[str] = Counter()
        self.rejected_rows: list[RejectedRow] = []
        self.without_risk: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.rr_kinds: Counter[str] = Counter()
        self.origins: Counter[str] = Counter()
        self.assumed_origins: Counter[str] = Counter()
        self.sides: Counter[str] = Counter()
        self.pattern_keys: Counter[str] = Counter()
        self.symbols: set[str] = set()
        self.opened_first: datetime | None = None
        self.closed_last: datetime | None = None
        self.runs: dict[str, Any] = {}
        self.prints = TradePrints()

    def reject(
        self, file: str, kind: RowKind, row: int, why: RowRejected, *, n_rows: int = 1
    ) -> None:
        """Count what is not taken, with its reason; ``n_rows`` rows of the file it is made of."""
        self.rejected[kind] += 1
        self.rows_rejected += n_rows
        self.rejected_by_rule[f"{why.column} {why.rule}"] += n_rows
        if len(self.rejected_rows) >= KEPT_REJECTS and self.on_reject is None:
            return
        rejected = RejectedRow(file, kind, row, why.column, why.rule, shown(why.value))
        if len(self.rejected_rows) < KEPT_REJECTS:
            self.rejected_rows.append(rejected)
        if self.on_reject is not None:
            self.on_reject(rejected)

    def skip(self, why: str, n_rows: int = 1) -> None:
        """Count rows that are no closed trade, and rightly so."""
        if n_rows:
            self.skipped[why] += n_rows

    def leave_out(self, why: str, n_rows: int) -> None:
        """Count a usable trade that is not wanted, and the rows it is made of, as skipped."""
        self.trades_found -= 1
        self.rows_imported -= n_rows
        self.skip(why, n_rows if self.rows_found else 1)

    def take(self, trade: ImportedTrade) -> None:
        """Count a usable trade."""
        self.trades_usable += 1
        self.prints.add(trade.its_print)
        self.actions_written += len(trade.actions)
        summary = trade.summary
        for name in ("r_multiple_net", "r_multiple", "rr_path"):
            if name in summary:
                self.outcomes[name] += 1
        for kind in trade.rr_kinds:
            self.rr_kinds[kind] += 1
        if not trade.rr_kinds:
            self.notes[NO_OUTCOME] += 1
        for note in trade.notes:
            self.notes[note] += 1
        if trade.no_risk is not None:
            self.without_risk[trade.no_risk] += 1
        self.without_pattern += trade.is_untagged
        self.origins[trade.origin] += 1
        if trade.origin_is_assumed:
            self.assumed_origins[trade.origin] += 1
        self.sides[summary.get("side", "unknown")] += 1
        self.pattern_keys[trade.pattern_key] += 1
        if "symbol" in summary:
            self.symbols.add(summary["symbol"])
        if self.opened_first is None or trade.opened_at < self.opened_first:
            self.opened_first = trade.opened_at
        if self.closed_last is None or trade.closed_at > self.closed_last:
            self.closed_last = trade.closed_at

    def report(
        self, *, source_name: str, format: str, description: str, first_trade: str
    ) -> ImportReport:
        """Return what was counted."""
        return ImportReport(
            source_name=source_name,
            format=format,
            description=description,
            first_trade=first_trade,
            trades_found=self.trades_found,
            trades_usable=self.trades_usable,
            trades_open=self.trades_open,
            trades_rejected=self.rejected["trade"],
            actions_found=self.actions_found,
            actions_usable=self.actions_usable,
            actions_rejected=self.rejected["action"],
            actions_written=self.actions_written,
            without_pattern=self.without_pattern,
            without_risk=dict(self.without_risk.most_common()),
            outcomes=dict(self.outcomes),
            rr_kinds=dict(self.rr_kinds),
            origins=dict(self.origins),
            assumed_origins=dict(self.assumed_origins),
            sides=dict(self.sides),
            pattern_keys=dict(self.pattern_keys.most_common()),
            symbols=tuple(sorted(self.symbols)),
            opened_first=self.opened_first.isoformat() if self.opened_first else None,
            closed_last=self.closed_last.isoformat() if self.closed_last else None,
            rejected_by_rule=dict(self.rejected_by_rule.most_common()),
            rejected_rows=tuple(self.rejected_rows),
            runs=self.runs,
            notes=dict(self.notes),
            prints=self.prints,
            **self._rows(),
        )

    def _rows(self) -> dict[str, Any]:
        """The rows of the file; where the reader counts trades alone, each is a row."""
        if self.rows_found:
            return {
                "rows_found": self.rows_found,
                "rows_imported": self.rows_imported,
                "rows_rejected": self.rows_rejected,
                "skipped_by_rule": dict(self.skipped.most_common()),
            }
        open_trades = {"still open": self.trades_open} if self.trades_open else {}
        return {
            "rows_found": self.trades_found + self.skipped.total(),
            "rows_imported": self.trades_usable,
            "rows_rejected": self.rejected["trade"],
            "skipped_by_rule": open_trades | dict(self.skipped),
        }
