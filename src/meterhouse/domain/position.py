"""Positions: which events an answer includes, as an opaque token of shards and of a commit in each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import TypeAlias

from .errors import Invalid
from .shards import VIRTUAL_SHARDS

Position: TypeAlias = Mapping[int, int]
"""By shard, the commit in it: an answer that has it includes the events of that commit and of all before it."""

_PART = re.compile(r"(0|[1-9][0-9]?)-(0|[1-9][0-9]{0,18})", re.ASCII)
_LONGEST = VIRTUAL_SHARDS * len("63-9999999999999999999.")


def format_position(position: Position) -> str:
    """The token of a position in at least one shard: `1-77`, or `0-5.1-77` of several, ascending."""
    return ".".join(f"{shard}-{position[shard]}" for shard in sorted(position))


def parse_position(text: str) -> Position:
    """The position of a token that `format_position` has made. Raises `Invalid` for any other text."""
    parts = [_PART.fullmatch(part) for part in text.split(".")] if len(text) < _LONGEST else [None]
    found = [(int(part[1]), int(part[2])) for part in parts if part is not None]
    shards = [shard for shard, _ in found]
    ascending = all(one < other for one, other in pairwise(shards))
    if len(found) < len(parts) or not ascending or shards[-1] >= VIRTUAL_SHARDS:
        raise Invalid(f"{text[:40]!r} is not a position: take it from an answer of this server as it is")
    return dict(found)
