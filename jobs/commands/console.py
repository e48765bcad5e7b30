"""Where commands print: tables and progress for people, plain text when piped."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed
from rich.table import Table

from jobs.job import Progress as TellProgress
from jobs.job import silent

_WIDTH_WHEN_PIPED = 200  # a table in a file or a log is not wrapped to the usual 80 columns

console = Console(highlight=False)
if not console.is_terminal:
    console = Console(highlight=False, width=_WIDTH_WHEN_PIPED)
errors = Console(stderr=True, highlight=False)


def print_table(
    headings: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[str] = ()
) -> None:
    """Print a table; the columns named in ``numbers`` are right-aligned."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="right" if heading in numbers else "left")
    for row in rows:
        table.add_row(*(_plain(cell) for cell in row))
    console.print(table)


def _plain(cell: object) -> str:
    # text of users may hold brackets, which are markup to the table
    return "" if cell is None else str(cell).replace("[", r"\[")


@contextlib.contextmanager
def progress_bar(title: str) -> Iterator[TellProgress]:
    """Show how far something is, until the block ends."""
    if not errors.is_terminal:
        yield silent
        return
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        Elapsed(),
        console=errors,
        transient=True,
    )
    with bar:
        task = bar.add_task(title, total=None)

        def tell(done: int, total: int | None, what: str) -> None:
            bar.update(task, completed=done, total=total, description=f"{title}: {what}")

        yield tell
