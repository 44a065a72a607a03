"""Quantities as whole numbers of units: the same numbers as `parse_quantity` reads, from the same texts."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterhouse.domain.errors import Invalid
from meterhouse.domain.quantity import from_units, parse_quantity, units, units_of_text

texts = st.one_of(
    st.from_regex(r"-?(0|[1-9][0-9]{0,39})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.text("0123456789.-+eE ", max_size=12),
)


@given(texts)
def test_a_text_has_the_units_of_the_quantity_that_it_is(text: str) -> None:
    try:
        quantity = parse_quantity(text)
    except Invalid:
        assert units_of_text(text) is None
        return
    assert units_of_text(text) == units(quantity)
    assert from_units(units(quantity)) == quantity


@given(st.integers(-(10**38) + 1, 10**38 - 1))
def test_whole_numbers_stay_whole(number: int) -> None:
    assert from_units(units(number)) == number
    assert type(from_units(units(number))) is int


@pytest.mark.parametrize(("number", "text"), [(1, "1E-28"), (-(5 * 10**27), "-0.5"), (125 * 10**26, "1.25")])
def test_a_fraction_has_no_zeros_at_its_end(number: int, text: str) -> None:
    assert str(from_units(number)) == str(Decimal(text))


def test_a_long_text_is_no_quantity() -> None:
    assert units_of_text("1" * 60_000) is None
