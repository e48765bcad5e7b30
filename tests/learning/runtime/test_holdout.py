from __future__ import annotations

import math

from learning.runtime.holdout import holdout_number


def test_the_number_of_a_trade_never_changes_between_versions_of_the_program():
    # by hand: blake2b of the joined text, eight octets, big-endian, lowest 53 bits over 2**53
    from hashlib import blake2b

    octets = blake2b(b"T-1\x1flf_dip\x1fL-7-v3", digest_size=8).digest()
    assert holdout_number("T-1", "lf_dip", "L-7-v3") == int(octets.hex(), 16) % 2**53 / 2**53


def test_a_fifth_of_the_trades_lies_below_a_share_of_a_fifth():
    n = 20_000
    below = sum(holdout_number(f"T-{i}", "lesson 7", "L-7-v3") < 0.2 for i in range(n))
    assert abs(below - 0.2 * n) < 3 * math.sqrt(n * 0.2 * 0.8)


def test_two_subjects_hold_out_different_trades():
    n = 20_000
    both = sum(
        holdout_number(f"T-{i}", "lesson 7", "s") < 0.2
        and holdout_number(f"T-{i}", "lesson 8", "s") < 0.2
        for i in range(n)
    )
    assert abs(both - 0.04 * n) < 3 * math.sqrt(n * 0.04 * 0.96)


def test_an_odd_trade_id_has_a_number_too():
    assert 0 <= holdout_number("\ud800 \x00", "", "") < 1
