"""Positions, as tokens and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterhouse.domain.errors import Invalid
from meterhouse.domain.position import format_position, parse_position
from meterhouse.domain.shards import VIRTUAL_SHARDS

COMMITS = st.integers(0, 10**19 - 1)


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("0-0", {0: 0}),
        ("0-77", {0: 77}),
        ("1-77", {1: 77}),
        ("0-5.1-77", {0: 5, 1: 77}),
        ("9-0.10-1.63-9999999999999999999", {63: 10**19 - 1, 9: 0, 10: 1}),
    ],
)
def test_the_tokens_of_positions(text: str, position: dict[int, int]) -> None:
    assert format_position(position) == text
    assert parse_position(text) == position


@given(st.dictionaries(st.integers(0, VIRTUAL_SHARDS - 1), COMMITS, min_size=1))
def test_a_token_is_read_as_it_was_written(position: dict[int, int]) -> None:
    assert parse_position(format_position(position)) == position


def test_the_longest_token_is_read() -> None:
    longest = dict.fromkeys(range(VIRTUAL_SHARDS), 10**19 - 1)
    assert parse_position(format_position(longest)) == longest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "0",
        "0-",
        "-7",
        "0-5.",
        ".0-5",
        "0-5..1-7",
        "1-7.0-5",
        "0-5.0-5",
        "0-5.0-6",
        "00-5",
        "01-5",
        "0-05",
        "64-5",
        "100-5",
        "0--5",
        "0-+5",
        "0-5,1-7",
        "0-5 .1-7",
        "0-5\n",
        "0-٥",
        "0-" + 20 * "9",
        "0-5" + "." * 100_000,
        "0-5" + 100_000 * ".0-5",
    ],
)
def test_what_is_no_position(text: str) -> None:
    with pytest.raises(Invalid, match="is not a position") as refused:
        parse_position(text)
    assert len(str(refused.value)) < 200


@given(st.text("0123456789-.", max_size=12))
def test_what_is_read_is_what_would_be_written(text: str) -> None:
    try:
        position = parse_position(text)
    except Invalid:
        return
    assert format_position(position) == text
