"""Reading a `UsageQuery` from parameters: those of `GET /v1/query`, of the dashboard's URLs and of the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from difflib import get_close_matches
from enum import StrEnum
from typing import TypeVar

from .errors import Invalid
from .local_time import zone
from .period import parse_instant
from .usage_query import Compare, UsageQuery, Window

FILTER_PREFIX = "filter."
REPEATABLE = {
    "meter": True,
    "from": False,
    "to": False,
    "range": False,
    "window": False,
    "timezone": False,
    "group_by": True,
    "top": False,
    "compare": False,
    "as_of": False,
    "at_least": False,
    "costs": False,
}
"""The parameters beside filters, and whether each may be given more than once."""
MOST_METERS = 20
MOST_GROUP_BYS = 3
MOST_TOP = 1_000
MOST_TEXTS = 100
"""Of one filter."""
MOST_TEXT_BYTES = 1_000
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_COUNT = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)
Word = TypeVar("Word", bound=StrEnum)


def parse_usage_query(parameters: Sequence[tuple[str, str]], beside: Sequence[str] = ()) -> UsageQuery:
    """The question that some parameters ask; `beside` are others that are known and not read here. Raises `Invalid`,
    which names the parameter, what is wrong with it and what it may be."""
    given = _collected([each for each in parameters if each[0] not in beside], beside)
    meters = given.get("meter", ())
    if not meters:
        raise Invalid("meter: name at least one, such as meter=tokens")
    if len(meters) > MOST_METERS:
        raise Invalid(f"meter: {len(meters)} meters are asked about; at most {MOST_METERS} are answered at once")
    group_by = given.get("group_by", ())
    if len(group_by) > MOST_GROUP_BYS:
        raise Invalid(f"group_by: there are {len(group_by)} groups; at most {MOST_GROUP_BYS} can be combined")
    zone(_one(given, "timezone", "UTC"))
    start, end = (instant_or_date(name, _one(given, name)) for name in ("from", "to"))
    if start is None and end is not None:
        raise Invalid("from: must be given where to is")
    if start is not None and "range" in given:
        raise Invalid("range: cannot be given with from; leave one of them out")
    as_of = _one(given, "as_of")
    if as_of and "at_least" in given:
        raise Invalid("at_least: cannot be given with as_of, which may leave out what it waits for")
    return UsageQuery(
        meters=_different("meter", meters),
        start=start,
        end=end,
        range=_one(given, "range", "current_period"),
        window=word_of("window", Window, _one(given, "window", Window.NONE)),
        timezone=_one(given, "timezone", "UTC"),
        group_by=_different("group_by", group_by),
        filters=filters_of(parameters),
        top=_top(_one(given, "top", "20")),
        compare=word_of("compare", Compare, given["compare"][0]) if "compare" in given else None,
        as_of=instant_of("as_of", as_of) if as_of else None,
        at_least=_one(given, "at_least") or None,
        costs=_yes(given, "costs"),
    )


def filters_of(parameters: Sequence[tuple[str, str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The properties that some parameters filter by, each with the texts it may have; "" stands for events without the
    property. Other parameters are not read. Raises `Invalid` for too many texts, and too long ones."""
    given: dict[str, tuple[str, ...]] = {}
    for name, text in parameters:
        if name.startswith(FILTER_PREFIX):
            given[name] = (*given.get(name, ()), text)
    for name, texts in given.items():
        if len(texts) > MOST_TEXTS:
            raise Invalid(f"{name[:60]}: has {len(texts)} texts; at most {MOST_TEXTS} are compared")
    return tuple((name.removeprefix(FILTER_PREFIX), _different(name[:60], texts)) for name, texts in given.items())


def unknown_parameter(name: str, known: Sequence[str]) -> Invalid:
    """The refusal of a parameter that an endpoint does not have, with the nearest that it has. A known name that ends
    with a dot stands for all that begin with it."""
    rest = name[:60].partition(".")[2] or "<property>"
    names = [each + rest if each.endswith(".") else each for each in known]
    if nearest := get_close_matches(name[:60], names, 1):
        hint = f"did you mean {nearest[0]}?"
    else:
        hint = f"there is {', '.join(names)}" if names else "this endpoint takes none"
    return Invalid(f"unknown query parameter {name[:60]!r}; {hint}")


def _collected(parameters: Sequence[tuple[str, str]], beside: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    given: dict[str, tuple[str, ...]] = {}
    for name, value in parameters:
        if name.startswith(FILTER_PREFIX):
            continue
        if name not in REPEATABLE:
            raise unknown_parameter(name, [*REPEATABLE, *beside, FILTER_PREFIX])
        if not value:
            raise Invalid(f"the query parameter {name} is empty; give it a value, or leave it out")
        if name in given and not REPEATABLE[name]:
            raise Invalid(f"the query parameter {name} must be given once")
        given[name] = (*given.get(name, ()), value)
    return given


def _one(given: Mapping[str, tuple[str, ...]], name: str, absent: str = "") -> str:
    return given.get(name, (absent,))[0]


def _yes(given: Mapping[str, tuple[str, ...]], name: str) -> bool:
    text = _one(given, name, "false")
    if text not in ("true", "false"):
        raise Invalid(f"{name}: {text[:40]!r} is not understood; it is true or false")
    return text == "true"


def _different(name: str, texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        if len(text.encode("utf-8", "replace")) > MOST_TEXT_BYTES:
            raise Invalid(f"{name}: has more than {MOST_TEXT_BYTES:,} bytes")
    return tuple(dict.fromkeys(texts))


def instant_or_date(name: str, text: str) -> datetime | date | None:
    """The RFC 3339 instant or the date that a parameter has; None for an empty text. Raises `Invalid`, naming it."""
    if not text:
        return None
    if _DATE.fullmatch(text) is None:
        return instant_of(name, text)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Invalid(f"{name}: {text!r} is no date of the calendar") from None


def instant_of(name: str, text: str) -> datetime:
    """The RFC 3339 instant that a parameter has. Raises `Invalid`, naming the parameter, for anything else."""
    try:
        return parse_instant(text)
    except Invalid as wrong:
        raise Invalid(f"{name}: {wrong}") from None


def word_of(name: str, words: type[Word], text: str) -> Word:
    """The one of some words that a parameter has. Raises `Invalid`, naming it and them."""
    try:
        return words(text)
    except ValueError:
        raise Invalid(f"{name}: {text[:40]!r} is not understood; it is one of {', '.join(words)}") from None


def _top(text: str) -> int:
    if _COUNT.fullmatch(text) is None or int(text) > MOST_TOP:
        raise Invalid(f"top: {text[:40]!r} is not a whole number from 1 to {MOST_TOP:,}")
    return int(text)
