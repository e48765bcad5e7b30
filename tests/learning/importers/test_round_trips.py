"""Fills made into round trips: by hand, and against plain accounting."""

from __future__ import annotations

import math
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learning.importers.fill_ledger import FillLedger
from learning.importers.round_trips import Fill, RoundTrip, round_trips


def fill(at, quantity, price=100.0, **rest):
    return Fill("k", "X", at, quantity, price, row=at, **({"fee": 0.0} | rest))


def told(*fills):
    return [
        (t.side, t.is_closed, t.n_rows, [a.category for a in t.actions()])
        if isinstance(t, RoundTrip)
        else "earlier"
        for t in round_trips(fills)
    ]


def test_adds_and_partial_closes_are_one_round_trip():
    fills = [fill(1, 1), fill(2, 2, 110), fill(3, -1.5, 120), fill(4, -1.5, 90)]
    assert told(*fills) == [("long", True, 4, ["entry", "add", "trim", "exit"])]
    (trip,) = round_trips(fills)
    assert isinstance(trip, RoundTrip)
    assert trip.cash == pytest.approx(-100 - 220 + 180 + 135)


def test_a_fill_through_zero_closes_one_position_and_opens_the_other():
    fills = [fill(1, 2, 100, fee=2.0), fill(2, -5, 110, fee=5.0), fill(3, 3, 105, fee=3.0)]
    long, short = round_trips(fills)
    assert (long.side, long.n_rows, short.side, short.n_rows) == ("long", 2, "short", 1)
    assert long.cash == pytest.approx(-200 - 2 + 220 - 2)
    assert short.cash == pytest.approx(330 - 3 - 315 - 3)


def test_fees_in_the_coin_leave_the_position_flat_when_the_rest_is_sold():
    fills = [fill(1, 1.0, 100, base_fee=0.001), fill(2, -0.999, 110)]
    (trip,) = round_trips(fills)
    assert trip.is_closed
    assert trip.cash == pytest.approx(-100 + 0.999 * 110)


def test_fills_of_one_order_are_one_action():
    fills = [
        fill(1, 1, order="a"), fill(2, 1, order="a"), fill(3, 1, order="b"),
        fill(4, -1, order="c"), fill(5, -2, order="c"),
    ]  # fmt: skip
    assert told(*fills) == [("long", True, 5, ["entry", "add", "exit"])]


def test_what_was_open_before_the_first_fill_is_of_no_round_trip():
    spot = [fill(1, -2, can_short=False), fill(2, 1, can_short=False), fill(3, -1, can_short=False)]
    assert told(*spot) == ["earlier", ("long", True, 2, ["entry", "exit"])]
    known = [fill(1, -2, opens=False), fill(2, -1, opens=True), fill(3, 1, opens=False)]
    assert told(*known) == ["earlier", ("short", True, 2, ["entry", "exit"])]


def test_on_a_spot_market_what_is_sold_beyond_zero_is_no_short():
    fills = [fill(1, 1, can_short=False), fill(2, -3, can_short=False), fill(3, 1, can_short=False)]
    assert told(*fills) == [
        ("long", True, 2, ["entry", "exit"]),
        ("long", False, 1, ["entry", "exit"]),
    ]


QUANTITIES = st.lists(
    st.tuples(
        st.integers(-5, 5).filter(bool), st.integers(1, 500), st.integers(0, 20), st.integers(0, 3)
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(QUANTITIES)
def test_cash_flows_of_the_trips_are_those_of_the_fills_to_the_cent(rows):
    fills = [
        fill(i, float(q), p / 4, fee=f / 100, order=str(o))
        for i, (q, p, f, o) in enumerate(rows)
    ]  # fmt: skip
    trips = list(round_trips(fills))
    cash = -math.fsum(f.quantity * f.price + (f.fee or 0.0) for f in fills)
    assert math.fsum(trip.cash for trip in trips) == pytest.approx(cash, abs=0.005)
    assert sum(trip.n_rows for trip in trips) == len(fills)
    held = [0.0]
    for f in fills:
        held.append(held[-1] + f.quantity)
    # a position ends where plain accounting is flat or changes its sign
    signs = [key for key, _ in groupby(math.copysign(1, h) if h else 0 for h in held[1:])]
    assert len(trips) == sum(sign != 0 for sign in signs)
    assert [t.side for t in trips] == ["long" if s > 0 else "short" for s in signs if s]


def test_a_ledger_sorts_by_position_and_time_whichever_way_the_file_runs():
    fills = [Fill(key, "X", at, 1.0, 1.0, row=at) for at in (1, 2, 2, 3) for key in "ab"]
    for order in (fills, fills[::-1]):
        with FillLedger() as ledger:
            for one in order:
                ledger.add(one)
            found = [[(f.key, f.at_us) for f in position] for position in ledger.positions()]
        assert found == [[(key, at) for at in (1, 2, 2, 3)] for key in "ab"]


def test_a_repeated_id_is_told_and_left_out():
    with FillLedger() as ledger:
        for row, ref in enumerate(("x", "y", "x", None, None), start=1):
            ledger.add(Fill("k", "X", row, 1.0, 1.0, row=row, ref=ref))
        assert list(ledger.repeated()) == [(3, "x")]
        assert [f.row for position in ledger.positions() for f in position] == [1, 2, 4, 5]
