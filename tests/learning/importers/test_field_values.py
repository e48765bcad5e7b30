from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.importers.field_values import (
    as_instant,
    as_name,
    as_number,
    as_report_number,
    as_side,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.5", 1.5),
        ("-70.25", -70.25),
        ("\u22120.5", -0.5),  # a minus sign
        ("4 129.590", 4129.59),
        ("4\u00a0129.590", 4129.59),
        ("4\u2009129.590", 4129.59),  # a thin blank
        ("4\u202f129.590", 4129.59),  # a narrow one that does not break
        ("1'234.5", 1234.5),  # as in Switzerland
        ("1\u2019234\u2019567.5", 1234567.5),
        ("12,34,567.5", 1234567.5),  # as in India
        ("1,234,567", 1234567.0),  # two groups: no decimal sign could be repeated
        ("\u20130.5", -0.5),  # a dash
        ("1,234.5", 1234.5),
        ("1e-3", 0.001),
        ("", None),
        ("NaN", None),
        ("null", None),
    ],
)
def test_numbers_are_read_as_people_and_programs_write_them(text, number):
    assert as_number(text) == number


def test_a_decimal_comma_is_read_where_the_file_has_it():
    assert as_number("1.234,5", decimal=",") == 1234.5
    assert as_number("-0,25", decimal=",") == -0.25
    assert as_number("1 234,5", decimal=",") == 1234.5
    assert as_number("1.234.567", decimal=",") == 1234567.0


@pytest.mark.parametrize(
    "value",
    ["1,234", "abc", "1.2.3", "1,23", "12,34,56", "1,2345,678", "inf", float("inf"), True, 10**400],
)
def test_what_is_no_number_in_one_reading_is_refused(value):
    with pytest.raises(ValueError, match="must be a"):
        as_number(value)


@pytest.mark.parametrize("value", ["1.234", "1.5"])
def test_a_point_is_not_guessed_where_commas_are_decimal(value):
    with pytest.raises(ValueError, match="must be a number"):
        as_number(value, decimal=",")


# 2024-03-01 12:00:00 UTC is 1709294400 seconds after 1970 (date -u -d @1709294400)
@pytest.mark.parametrize(
    "value",
    [
        "2024-03-01 12:00:00",
        "2024-03-01T12:00:00Z",
        "2024-03-01 13:00:00+01:00",
        "2024.03.01 12:00:00",
        "2024/03/01 12:00",
        1709294400,
        1709294400000,
        1709294400000.0,
        "1709294400000",
        1709294400000000,
    ],
)
def test_one_moment_is_read_from_every_spelling(value):
    assert as_instant(value) == datetime(2024, 3, 1, 12, tzinfo=UTC)


def test_a_time_without_an_offset_is_in_the_zone_that_is_named():
    berlin = as_instant("2024-07-01 12:00", zone=ZoneInfo("Europe/Berlin"))
    assert berlin == datetime(2024, 7, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "value", ["03/04/2024", "yesterday", "9999-12-31", "0001-01-01", 1e300, True, [1]]
)
def test_a_time_that_is_none_or_ambiguous_is_refused(value):
    with pytest.raises(ValueError, match="must be a time"):
        as_instant(value)


def test_sides_have_many_names():
    assert [as_side(v) for v in ("Long", "BUY", 1, "S", "sell", -1)] == ["long"] * 3 + ["short"] * 3
    with pytest.raises(ValueError, match="long or short"):
        as_side("flat")


def test_a_name_that_did_not_survive_its_encoding_is_refused():
    with pytest.raises(ValueError, match="UTF-8"):
        as_name(b"caf\xe9".decode("utf-8", "replace"))


_anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.just([1]),
    st.from_regex(r"[-+−0-9.,eE: TZ/]{0,24}", fullmatch=True),
)  # fmt: skip


@given(_anything)
def test_every_cell_is_a_value_or_absent_or_says_which_rule_it_breaks(value):
    for read in (as_number, as_instant, as_side, as_name):
        said = "absent or a value"
        try:
            found = read(value)
        except ValueError as error:
            found, said = None, str(error)
        assert found is None or found == found
        assert said.startswith(("absent", "must "))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_that_python_wrote_is_read_back_exactly(number):
    assert as_number(repr(number)) == number


def test_times_of_spreadsheets_are_days_in_the_files_zone():
    noon = datetime(2024, 3, 1, 12, tzinfo=UTC)
    assert as_instant(45352.5) == noon
    assert as_instant(45352.5, zone=timezone(timedelta(hours=2))) == noon - timedelta(hours=2)


def test_numbers_of_reports_have_one_reading_once_the_decimal_sign_is_known():
    assert as_report_number("1,234") == 1234.0
    assert as_report_number("1,234", decimal=",") == 1.234
    assert as_report_number("1.234", decimal=",") == 1234.0
    assert as_report_number("- 70.25") == -70.25
    assert as_report_number("(124.75)") == -124.75
    assert as_report_number("—") is None
    with pytest.raises(ValueError, match="must be a number"):
        as_report_number("12,34,5")


@pytest.mark.parametrize(("cell", "decimal"), [("0,123", "."), ("-0.123", ","), ("+0,000", ".")])
def test_a_group_after_a_leading_zero_is_never_thousands(cell, decimal):
    with pytest.raises(ValueError, match="one reading"):
        as_number(cell, decimal=decimal, is_told=True)
    with pytest.raises(ValueError, match="one reading"):
        as_report_number(cell, decimal=decimal)
