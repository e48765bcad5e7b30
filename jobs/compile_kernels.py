"""Compile the kernels ahead of the first learning run: ``python -m jobs.compile_kernels``.

Machine code is kept on disk, so this is part of installing. What is not compiled here is compiled
when it is first called. Two processes share the work.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from typing import Final

import numpy as np

from learning.evidence.block_statistics import (
    block_evidence,
    linear_influence,
    scope_sets,
    time_blocks,
)
from learning.evidence.scope_cube import scope_cube

_CODES: Final = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 4, dtype=np.int16)
_OUTCOME: Final = np.arange(16, dtype=np.float64)


def compile_cube() -> None:
    """Compile what adds up every scope."""
    scope_cube(
        np.zeros(16, np.int64), _CODES, _OUTCOME, closed_at=np.arange(16), n_min=[2], block_length=7
    )


def compile_statistics() -> None:
    """Compile what finds scopes and compares them block by block."""
    sets = scope_sets(_CODES, (2, 2), eligible_n={1: 2, 2: 2})
    blocks = time_blocks(np.arange(16, dtype=np.float64))
    block_evidence(sets, _OUTCOME, blocks)
    linear_influence(sets, _OUTCOME, blocks)


def main() -> None:
    """Compile everything."""
    with ProcessPoolExecutor(2) as pool:
        for done in [pool.submit(compile_cube), pool.submit(compile_statistics)]:
            done.result()


if __name__ == "__main__":
    main()
