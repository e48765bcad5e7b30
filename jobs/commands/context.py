"""The command that fills what trades lack from candles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.commands.console import console, progress_bar
from jobs.commands.session import open_database
from jobs.fill_contexts import Filled, fill_contexts
from learning.importers.candle_files import bar_name, open_candles
from learning.importers.import_report import counted
from learning.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("context")(context)


def context(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Candles: freqtrade's data folder, feather, Parquet or CSV files."),
    ],
    reference: Annotated[
        str | None,
        typer.Option(
            help="The market whose phases all trades have; default BTC for crypto, SPY, EURUSD "
            "or XAUUSD by the kind of each market."
        ),
    ] = None,
) -> None:
    """Fill what trades lack from candles: phases, buckets, session, excursions, better prices.

    From past candles only. What the source of a trade said itself stays; every event names the
    values that were filled. Run it again when trades or candles have come in: twice adds nothing.
    """
    settings = Settings.from_env()
    library = open_candles(paths)
    for sentence in library.sentences():
        console.print(sentence, markup=False)
    with progress_bar("filling") as tell:
        filled = fill_contexts(
            open_database(settings), settings, library, reference=reference, progress=tell
        )
    for sentence in sentences(filled):
        console.print(sentence, markup=False)
    console.print("Next: ./run learn")


def sentences(filled: Filled) -> list[str]:
    """Say what was filled, one fact a line."""
    if not filled.trades:
        return ["No closed trades yet: ./run import brings them."]
    lines = [
        f"{counted(filled.trades, 'closed trade')}: {filled.with_phase} with the phases of "
        f"{_counts(filled.references) or 'no reference'}, {filled.with_bucket} with a bucket, "
        f"{filled.with_path} with their path"
    ]
    if filled.bars:
        told = {bar_name(bar_ms): n for bar_ms, n in filled.bars.items()}
        lines.append(f"paths on candles of {_counts(told)}")
    lines += [f"no path: {counted(n, 'trade')}, {why}" for why, n in filled.no_path.items()]
    lines.append(
        f"{counted(filled.changed, 'context')} new or changed, "
        f"{counted(filled.events, 'event')} derived again"
    )
    return lines


def _counts(counts: dict[str, int] | object) -> str:
    assert isinstance(counts, dict)
    return ", ".join(f"{name} ({n})" for name, n in counts.items())
