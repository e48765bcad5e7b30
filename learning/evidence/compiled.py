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
    return _compiled(kernel)


def compiled_in_place(kernel: Kernel) -> Kernel:
    """Compile a kernel that only writes to arrays it is given; it may create none.

    Without anything to free, no reference is counted: in loops over single trades the atomic
    counting costs more than the work.

    Examples:
        >>> import numpy as np
        >>> @compiled_in_place
        ... def double(x: np.ndarray) -> None:
        ...     for i in range(x.size):
        ...         x[i] *= 2
        >>> values = np.array([1, 2])
        >>> double(values)
        >>> values.tolist()
        [2, 4]
    """
    return _compiled(kernel, _nrt=False)


def _compiled(kernel: Kernel, **options: Any) -> Kernel:
    try:
        fast = numba.njit(kernel, cache=True, nogil=True, boundscheck=False, **options)
    except RuntimeError:  # "cannot cache function ...: no locator available"
        fast = numba.njit(kernel, nogil=True, boundscheck=False, **options)
    return cast(Kernel, fast)
