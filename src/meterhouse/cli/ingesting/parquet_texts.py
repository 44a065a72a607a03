"""The columns of Parquet files as texts that lose nothing."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from pyarrow import types

_FLAT = (
    types.is_boolean,
    types.is_integer,
    types.is_floating,
    types.is_decimal,
    types.is_string,
    types.is_large_string,
    types.is_string_view,
    types.is_binary,
    types.is_large_binary,
    types.is_fixed_size_binary,
    types.is_timestamp,
    types.is_date,
    types.is_time,
    types.is_null,
)


def what_is_wrong_with(kind: pa.DataType, *, is_time: bool) -> str:
    """Why a column of that type cannot be mapped; empty when it can."""
    values = kind.value_type if types.is_dictionary(kind) else kind
    if not any(is_kind(values) for is_kind in _FLAT):
        return f"it is a {kind}: only flat columns have values that are one text; leave it out, or store its parts flat"
    if is_time and (types.is_date(values) or types.is_time(values) or types.is_boolean(values)):
        return f"it is a {kind}, which is no instant: name a column of timestamps, texts or numbers as the time"
    return ""


def texts_of(column: pa.Array[Any]) -> list[str]:
    """Its values as texts, exactly; an absent one is empty. Timestamps with a zone are told in UTC, with Z."""
    column = column.dictionary_decode() if types.is_dictionary(column.type) else column
    kind, end = column.type, ""
    if types.is_decimal(kind):
        return ["" if each is None else format(each, "f") for each in column.to_pylist()]
    if types.is_timestamp(kind) and kind.tz is not None:
        column, end = column.cast(pa.timestamp(kind.unit)), "Z"
    return ["" if each is None else each + end for each in column.cast(pa.string()).to_pylist()]
