"""Columns in ClickHouse's Native format, the one that costs the engine next to nothing to read.

A text is its length (7 bits a byte, low ones first) and its bytes; numbers are packed, little-endian; a map is the
running number of its entries, then all keys, then all values.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from itertools import accumulate

from ....domain.quantity import units

Column = tuple[str, str, bytes]
"""Name, type and packed values."""


def encode_block(rows: int, columns: Sequence[Column]) -> bytes:
    """One block, which the engine stores as one part."""
    parts = [_length(len(columns)), _length(rows)]
    for name, sql_type, packed in columns:
        parts += (encode_strings([name.encode(), sql_type.encode()]), packed)
    return b"".join(parts)


def encode_strings(values: Iterable[bytes]) -> bytes:
    """Texts in UTF-8, packed as `String`."""
    heads = _LENGTHS
    return b"".join(
        [part for text in values for part in (heads[len(text)] if len(text) < _FEW else _length(len(text)), text)]
    )


def encode_repeated_strings(values: Sequence[str]) -> bytes:
    """Texts that are mostly the same few, packed as `String`. Long ones are not remembered."""
    if max(map(len, values), default=0) > _LONGEST_REMEMBERED:
        return encode_strings([text.encode() for text in values])
    return b"".join(map(_name, values))


@lru_cache(8_192)
def _name(text: str) -> bytes:
    return encode_strings([text.encode()])


def numbers(code: str, values: Iterable[int]) -> bytes:
    """Packed integers: code `Q` for `UInt64`, `q` for `Int64` and `DateTime64`, `I` for `UInt32`."""
    packed = array(code, values)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def quantities(maps: Sequence[Mapping[str, Decimal | int]]) -> bytes:
    """Numbers by name, packed as `Map(String, Decimal(76, 28))`."""
    keys = encode_repeated_strings([name for each in maps for name in each])
    values = [_quantity(number) for each in maps for number in each.values()]
    return b"".join((numbers("Q", accumulate(map(len, maps))), keys, *values))


def decimals(values: Iterable[int]) -> bytes:
    """Numbers in units of the 28th decimal place, packed as `Decimal(76, 28)`."""
    return b"".join([value.to_bytes(32, "little", signed=True) for value in values])


@lru_cache(32_768)  # what is metered is mostly small numbers, and the same ones again
def _quantity(number: Decimal | int) -> bytes:
    return units(number).to_bytes(32, "little", signed=True)


def _length(number: int) -> bytes:
    packed = bytearray()
    while number >= 0x80:
        packed.append(number & 0x7F | 0x80)
        number >>= 7
    packed.append(number)
    return bytes(packed)


_LONGEST_REMEMBERED = 512
_FEW = 1_024
_LENGTHS = [_length(number) for number in range(_FEW)]
