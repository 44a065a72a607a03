from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meterhouse.domain.errors import Invalid
from meterhouse.domain.quantity import (
    MAX_DECIMAL_PLACES,
    MAX_DIGITS,
    ZERO,
    add,
    divide,
    parse_quantity,
    percentage,
    plain,
    round_half_even,
    round_half_up,
    subtract,
)

quantity_texts = st.builds(
    lambda number, places: f"{Decimal(number).scaleb(-places):f}",
    st.integers(-(10**28) + 1, 10**28 - 1),  # default precision is enough to write these
    st.integers(0, MAX_DECIMAL_PLACES),
) | st.integers(-(10**MAX_DIGITS) + 1, 10**MAX_DIGITS - 1).map(str)
quantities = quantity_texts.map(parse_quantity)
number_texts = st.from_regex(r"-?(0|[1-9][0-9]{0,60})(\.[0-9]{1,60})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)


def text_of(value: Decimal) -> str:
    return f"{plain(value):f}"


@given(quantity_texts)
def test_a_quantity_is_exactly_the_number_that_was_written(text: str) -> None:
    assert Fraction(parse_quantity(text)) == Fraction(text)


@given(number_texts)
@example("1" + "0" * 99 + "." + "0" * 99 + "1e-90")
@example("9" * 100 + "." + "9" * 100 + "e-99")
@example("-" + "1" * 100 + "." + "1" * 100 + "e-80")
def test_a_number_is_taken_exactly_or_refused_but_never_shortened(text: str) -> None:
    try:
        taken = parse_quantity(text)
    except Invalid:
        return
    assert Fraction(taken) == Fraction(text)


@given(number_texts)
def test_exactly_the_numbers_within_the_limits_are_taken(text: str) -> None:
    number = abs(Fraction(text))
    scaled = number * 10**MAX_DECIMAL_PLACES
    digits = str(scaled.numerator)
    trailing_zeros = len(digits) - len(digits.rstrip("0"))
    written_digits = len(digits) - min(trailing_zeros, MAX_DECIMAL_PLACES)  # zeros behind the point say nothing
    allowed = number == 0 or (scaled.denominator == 1 and written_digits <= MAX_DIGITS)
    try:
        parse_quantity(text)
    except Invalid:
        assert not allowed
    else:
        assert allowed


@given(quantities)
def test_parse_plain_text_parse_is_the_identity(quantity: Decimal) -> None:
    text = text_of(quantity)
    assert "e" not in text.lower()
    assert parse_quantity(text) == quantity
    assert text_of(parse_quantity(text)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("0.000", "0"),
        ("-0.0e5", "0"),
        ("0e999", "0"),
        ("0.30", "0.3"),
        ("1E+3", "1000"),
        ("1.50e1", "15"),
        ("100e-2", "1"),
        ("1200", "1200"),
        ("1e-28", "0." + "0" * 27 + "1"),
        ("1e37", "1" + "0" * 37),
        ("12345678901234567890.123456789", "12345678901234567890.123456789"),
        ("9" * 38, "9" * 38),
        ("9" * 10 + "." + "9" * 28, "9" * 10 + "." + "9" * 28),
        ("1." + "0" * 90, "1"),
    ],
)
def test_takes_what_json_and_decimal_strings_can_write(text: str, expected: str) -> None:
    assert text_of(parse_quantity(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 ",
        "1\n",
        "+1",
        "01",
        ".5",
        "5.",
        "-",
        "--1",
        "1e",
        "1e+",
        "1_000",
        "1,5",
        "0x10",
        "NaN",
        "nan",
        "sNaN",
        "Infinity",
        "-inf",
        "١",
        "1e1000",
        "1e38",
        "9" * 39,
        "1" + "0" * 38,
        "1e-29",
        "1." + "0" * 28 + "1",
        "1" * 11 + "." + "1" * 28,
        "1" * 100_000,
        "1e" + "9" * 100_000,
    ],
)
def test_refuses_everything_else(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_quantity(text)
    assert len(str(refused.value)) < 200


@given(st.lists(quantities, max_size=60))
@example([parse_quantity("9" * 38), parse_quantity("1e-28")])
@example([parse_quantity("0.1")] * 3)
def test_sums_are_exact(values: list[Decimal]) -> None:
    assert Fraction(add(values)) == sum(map(Fraction, values), Fraction())


@given(quantities, quantities)
def test_differences_are_exact(value: Decimal, other: Decimal) -> None:
    assert Fraction(subtract(value, other)) == Fraction(value) - Fraction(other)


@given(quantities)
def test_percentages_that_end_are_exact(part: Decimal) -> None:
    assert Fraction(percentage(part, Decimal(8))) == Fraction(part) * 100 / 8


def test_the_empty_sum_is_zero() -> None:
    assert add([]) == ZERO


@given(quantities, st.integers(0, 12))
def test_rounding_gives_the_nearest_and_breaks_ties_as_named(value: Decimal, places: int) -> None:
    unit = Fraction(1, 10**places)
    whole, rest = divmod(abs(Fraction(value)), unit)
    sign = -1 if value < 0 else 1
    up = whole + (rest * 2 >= unit)
    even = whole + (rest * 2 > unit or (rest * 2 == unit and whole % 2 == 1))
    assert Fraction(round_half_up(value, places)) == sign * up * unit
    assert Fraction(round_half_even(value, places)) == sign * even * unit


@pytest.mark.parametrize(
    ("value", "places", "half_up", "half_even"),
    [
        ("0.125", 2, "0.13", "0.12"),
        ("-0.125", 2, "-0.13", "-0.12"),
        ("2.5", 0, "3", "2"),
        ("1", 2, "1.00", "1.00"),
        ("9" * 38, 2, "9" * 38 + ".00", "9" * 38 + ".00"),
    ],
)
def test_rounding_keeps_the_places(value: str, places: int, half_up: str, half_even: str) -> None:
    assert str(round_half_up(Decimal(value), places)) == half_up
    assert str(round_half_even(Decimal(value), places)) == half_even


@given(quantities, st.integers(1, 10**12), st.integers(0, 12))
@example(Decimal(1), 3, 12)
@example(Decimal("0.125"), 1, 2)
def test_a_quotient_can_be_rounded_as_if_it_were_exact(numerator: Decimal, denominator: int, places: int) -> None:
    exact = Fraction(numerator) / denominator * 10**places
    assert Fraction(round_half_even(divide(numerator, denominator), places)) * 10**places == round(exact)


def test_quotients_that_end_are_exact() -> None:
    assert divide(Decimal(7500), 37500) * 100 == 20
    assert divide(Decimal("1e-28"), 8) == Decimal("1.25E-29")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1E+3", "1000"), ("0.30", "0.3"), ("-1.500", "-1.5"), ("0.000", "0"), ("1000", "1000"), ("9" * 76, "9" * 76)],
)
def test_plain_has_neither_exponent_nor_trailing_zeros(value: str, expected: str) -> None:
    assert str(plain(Decimal(value))) == expected
