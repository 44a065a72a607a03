"""Positions: which events an answer includes, as an opaque token: the shard, and the commit in it."""

from __future__ import annotations

import re

from .errors import Invalid

_POSITION = re.compile(r"0-(0|[1-9][0-9]{0,18})", re.ASCII)


def format_position(commit: int) -> str:
    """The token of a commit: an answer that has it includes the events of that commit and of all before it."""
    return f"0-{commit}"


def parse_position(text: str) -> int:
    """The commit of a token that `format_position` has made. Raises `Invalid` for any other text."""
    match = _POSITION.fullmatch(text)
    if match is None:
        raise Invalid(f"{text[:40]!r} is not a position: take it from an answer of this server as it is")
    return int(match[1])
