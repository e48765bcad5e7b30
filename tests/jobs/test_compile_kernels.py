"""What is compiled ahead is what learning calls: a learning run compiles nothing more."""

from __future__ import annotations

import numpy as np

from jobs.compile_kernels import compile_cube, compile_statistics
from learning.evidence import block_statistics, cube_kernel
from learning.evidence.scope_cube import scope_cube
from tests.learning.lessons.test_mining import made_events, mined


def signatures() -> dict[str, list[object]]:
    """The types that each compiled function was called with."""
    return {
        f"{module.__name__}.{name}": list(kernel.signatures)
        for module in (cube_kernel, block_statistics)
        for name, kernel in vars(module).items()
        if hasattr(kernel, "signatures")
    }


def test_a_learning_run_compiles_nothing_more() -> None:
    compile_cube()
    compile_statistics()
    ahead = signatures()
    # what those call is compiled into them
    entered = {
        "by_group", "load_group", "begin_group", "walk_group", "write_total", "_count_cells",
        "_fill_cells", "_leave_one_block_out", "_scope_influence",
    }  # fmt: skip
    assert entered <= {name.rpartition(".")[2] for name, types in ahead.items() if types}
    events = made_events(3, edge_rr=1.0, n=600)
    mined(events)
    days = (events.closed_at_days * 24).astype(np.int64)
    for threads in (1, 2):
        scope_cube(events.group, events.scope_codes, events.rr, closed_at=days,
                   n_min=[10, 20], block_length=168, threads=threads)  # fmt: skip
    scope_cube(events.group, events.scope_codes, events.rr, closed_at=days, n_min=[10])
    assert signatures() == ahead
