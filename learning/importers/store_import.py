"""Write an import: all of it or nothing, never the same evidence twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from learning.errors import ImportRefused
from learning.importers.import_report import ImportReport, ReportTally, counted
from learning.importers.import_source import ImportSource
from learning.importers.known_trades import KnownChoice, known_elsewhere, without_known
from learning.store import import_rows, strand_rows
from learning.store.import_rows import ImportBatch


@dataclass(frozen=True, slots=True)
class StoredImport:
    """What an import wrote: strands that are new, and those that were known already.

    ``conflicts`` are among the new ones: known under the same key with other content. They are
    kept apart and quarantined, and change nothing.
    """

    report: ImportReport
    batch_id: int
    appended: int
    repeated: int
    conflicts: int

    def sentence(self) -> str:
        """Say what was written."""
        trades = f"{counted(self.report.trades_usable, 'trade')} as {self.report.source_name!r}"
        if self.appended == 0:
            return f"Nothing new: all {self.repeated} strands of {trades} were imported before"
        new = self.appended - self.conflicts
        text = (
            f"Imported {counted(new, 'strand')} of {trades}" if new else f"Nothing new of {trades}"
        )
        text += f"; {self.repeated} were imported before" if self.repeated else ""
        if self.conflicts:
            text += (
                f"; {self.conflicts} differ from what was imported before and are quarantined: "
                "what came first stays"
            )
        return text


def store_import(
    connection: Connection,
    source: ImportSource,
    *,
    imported_by: str,
    report: ImportReport | None = None,
    variants: bool = False,
    known: KnownChoice | None = None,
) -> StoredImport:
    """Append every strand of a source to the inbox, and record the run.

    The caller owns the transaction: on an error nothing of the import may stay.

    Args:
        connection: In a transaction.
        source: What was recognised.
        imported_by: The person.
        report: Of a dry pass over the same source, which is made here otherwise.
        variants: The backtest is a variant on purpose, not a re-run of one imported before.
        known: What to do with trades that are stored under other names; None: refuse them.

    Raises:
        ImportRefused: If nothing is usable, the same trades are known under another name, the
            name is taken, or a backtest repeats one; the sentence says which.
    """
    expected = source.examine() if report is None else report
    if expected.trades_usable == 0:
        raise ImportRefused(f"nothing to import: {'; '.join(expected.sentences()[:3])}")
    import_rows.lock(connection)
    related = import_rows.read_related(
        connection,
        source_name=source.name,
        format=source.reader.format,
        first_trade=source.first_trade,
    )
    refuse_doubles(source, expected, related, variants=variants)
    if known != "twice" and not variants:
        source, expected = _without_doubles(connection, source, expected, known)
    batch_id = import_rows.insert(
        connection,
        source_name=source.name,
        format=source.reader.format,
        first_trade=source.first_trade,
        file_name=", ".join(path.name for path in source.files),
        report=expected.as_json(),
        imported_by=imported_by,
    )
    return _append(connection, source, expected, batch_id)


def _without_doubles(
    connection: Connection,
    source: ImportSource,
    expected: ImportReport,
    choice: KnownChoice | None,
) -> tuple[ImportSource, ImportReport]:
    """Return the source without the trades that are stored under other names, and its report.

    Raises:
        ImportRefused: If there are such trades and nobody said that they are to be left out, or
            if nothing else is in it.
    """
    found = known_elsewhere(connection, source.name, expected)
    if found is None:
        return source, expected
    said = found.sentence(expected.trades_usable)
    if choice is None:
        raise ImportRefused(
            f"{said}: they would count twice. --known skip leaves them out; --known twice counts "
            "them again, where they are trades of their own"
        )
    rest = without_known(source, found)
    left = rest.examine()
    if left.trades_usable == 0:
        raise ImportRefused(f"nothing is new: {said}")
    return rest, left


def _append(
    connection: Connection, source: ImportSource, expected: ImportReport, batch_id: int
) -> StoredImport:
    tally = ReportTally()
    appended = strand_rows.append(connection, source.read(tally), import_batch_id=batch_id)
    written = source.report(tally)
    if written != expected:
        raise ImportRefused(f"{expected.description} changed while it was read: import it again")
    conflicts = import_rows.count_conflicts(connection, batch_id)
    if conflicts and source.reader.format == "freqtrade_backtest":
        raise ImportRefused(
            f"{conflicts} strands of {expected.description} are known under the name "
            f"{source.name!r} with other results: a re-run is not more evidence. If it is a "
            "variant on purpose, give it a name of its own and say that it is one"
        )
    return StoredImport(expected, batch_id, appended, written.strands - appended, conflicts)


def refuse_doubles(
    source: ImportSource,
    report: ImportReport,
    known: Iterable[ImportBatch],
    *,
    variants: bool = False,
) -> None:
    """Refuse what was imported before under another name, or another source under this name.

    Raises:
        ImportRefused: Saying which earlier import it collides with.
    """
    is_backtest = source.reader.format == "freqtrade_backtest"
    for batch in known:
        same_format = batch.format == source.reader.format
        same_name = batch.source_name == source.name
        same_first = same_format and batch.first_trade == source.first_trade
        if same_name and not same_first and not (is_backtest and same_format):
            raise ImportRefused(
                f"the name {source.name!r} belongs to another source ({batch.file_name}, first "
                f"trade {batch.first_trade}): give {report.description} a name of its own"
            )
        if same_first and not same_name and not (is_backtest and variants):
            raise ImportRefused(
                f"{report.description} was imported before as {batch.source_name!r} on "
                f"{batch.imported_at:%Y-%m-%d}: under another name its trades would count twice "
                f"(--bot {batch.source_name} adds what is new)"
            )
        if is_backtest and same_format and not same_name and not variants:
            _refuse_rerun(report, batch)


def _refuse_rerun(report: ImportReport, batch: ImportBatch) -> None:
    earlier: Mapping[str, Any] = batch.report.get("runs") or {}
    for strategy, run in report.runs.items():
        before = earlier.get(strategy)
        if before is not None and _overlap(run, before):
            raise ImportRefused(
                f"strategy {strategy} was backtested over the same days and pairs before, as "
                f"{batch.source_name!r}: a re-run is not more evidence. If it is a variant on "
                "purpose, say that it is one"
            )


def _overlap(run: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    same_days = (
        run["first_open"] <= before["last_open"] and before["first_open"] <= run["last_open"]
    )
    return same_days and bool(set(run["pairs"]) & set(before["pairs"]))
