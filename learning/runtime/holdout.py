"""Who is held out: a coin that is fixed by the trade, so that every look at it agrees."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

_STEPS: Final = 2**53  # a float tells no more of them apart in [0, 1)


def holdout_number(trade_id: str, subject: str, salt: str) -> float:
    """Return the trade's number in [0, 1) for one subject of an experiment.

    Uniform over trades, independent between subjects and salts, the same in every process and
    after every restart. A trade below the holdout share is held out.

    Args:
        trade_id: The position's id, known at entry.
        subject: What is tested: the latent factor, or the lesson where it has none.
        salt: Changes with the version of the lesson: a new version is a new experiment.

    Examples:
        >>> u = holdout_number("T-1", "lf_dip", "L-7-v3")
        >>> 0 <= u < 1, u == holdout_number("T-1", "lf_dip", "L-7-v3")
        (True, True)
    """
    text = f"{trade_id}\x1f{subject}\x1f{salt}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big") % _STEPS / _STEPS
