"""One decorator for the compiled kernels of this package: threads run beside each other, and
machine code is kept between runs wherever a folder for it can be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(kernel: Kernel) -> Kernel:
    """Compile a kernel without the interpreter lock and keep its machine code on disk.

    The code is kept beside the source, or in the user's cache folder where the package is
    read-only, or in the folder that ``NUMBA_CACHE_DIR`` names. Where none of them can be
    written the kernel is compiled anew in each process instead of failing to import.

    Examples:
        >>> @compiled
        ... def doubled(x: int) -> int:
        ...     return 2 * x
        >>> doubled(21)
        42
    """
    try:
        fast = numba.njit(kernel, cache=True, nogil=True, boundscheck=False)
    except RuntimeError:  # "cannot cache function ...: no locator available"
        fast = numba.njit(kernel, nogil=True, boundscheck=False)
    return cast(Kernel, fast)
