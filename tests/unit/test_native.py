"""Columns in the Native format: their bytes, from the format's description."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from meterhouse.domain.quantity import parse_quantity, units
from meterhouse.storage.clickhouse.engine import native


def test_a_block_says_how_large_it_is_and_what_is_in_it() -> None:
    column = ("n", "UInt64", native.numbers("Q", [1, 2]))
    assert native.encode_block(2, [column]) == b"\x01\x02\x01n\x06UInt64" + b"\x01" + b"\0" * 7 + b"\x02" + b"\0" * 7


def test_numbers_are_little_endian() -> None:
    assert native.numbers("q", [-1, 258]) == b"\xff" * 8 + b"\x02\x01" + b"\0" * 6
    assert native.numbers("I", [258]) == b"\x02\x01\0\0"


@given(st.lists(st.binary(max_size=3) | st.integers(0, 40_000).map(bytes)))
def test_texts_can_be_told_apart(values: list[bytes]) -> None:
    packed, read = native.encode_strings(values), []
    while packed:
        length, shift = 0, 0
        while True:
            byte, packed = packed[0], packed[1:]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        read.append(packed[:length])
        packed = packed[length:]
    assert read == values


@given(st.decimals(allow_nan=False, allow_infinity=False, places=28, min_value=-(10**9), max_value=10**9))
def test_a_quantity_is_a_whole_number_of_units(number: Decimal) -> None:
    number = parse_quantity(format(number, "f"))
    packed = native.quantities([{}, {"a": number, "b": 7}])
    assert packed[:20] == b"\0" * 8 + b"\x02" + b"\0" * 7 + b"\x01a\x01b"
    assert int.from_bytes(packed[20:52], "little", signed=True) == units(number) == Fraction(number) * 10**28
    assert int.from_bytes(packed[52:], "little", signed=True) == 7 * 10**28


def test_long_texts_are_packed_like_short_ones() -> None:
    texts = ["a", "é" * 600, "a", ""]
    assert native.encode_repeated_strings(texts) == native.encode_strings([text.encode() for text in texts])
