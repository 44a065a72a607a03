"""Filters of events and of groups, written as JSON: `{"$in": ["a", "b"]}`, `{"$and": [{"$gte": "a"}, …]}`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from ...domain.event_search import (
    AllOf,
    AnyOf,
    Attribute,
    Comparison,
    EventTest,
    Moment,
    MomentTest,
    Not,
    OneOf,
    TextTest,
)
from ..namespace_contract import Call, Refuse, Services
from .customers import subjects_of
from .records import CUSTOMERS
from .wire import bad_field, instant

_ATTRIBUTES = {
    "id": Attribute.ID,
    "source": Attribute.SOURCE,
    "subject": Attribute.ORGANIZATION,
    "type": Attribute.TYPE,
}
_MOMENTS = {"time": Moment.TIME, "ingestedAt": Moment.STORED_AT}
_COMPARISONS = {
    "$eq": Comparison.EQUAL,
    "$gt": Comparison.GREATER,
    "$gte": Comparison.GREATER_OR_EQUAL,
    "$lt": Comparison.LESS,
    "$lte": Comparison.LESS_OR_EQUAL,
    "$like": Comparison.LIKE,
    "$ilike": Comparison.LIKE_IN_ANY_CASE,
}
_NEGATED = {"$ne": "$eq", "$nlike": "$like", "$nilike": "$ilike"}
_ESCAPES_NOTHING = re.compile(r"(?<!\\)(?:\\\\)*+\\\Z")
_MOST_TESTS = 100
_MOST_DEPTH = 8


def parse_event_filter(call: Call, services: Services, text: str) -> EventTest:
    """The test that a filter of events stands for. Raises `Refuse`."""
    tests: list[EventTest] = []
    for name, given in decoded_filter("filter", text).items():
        field = f"filter.{name[:60]}"
        if name == "customerId":
            ids = given.get("$in") if isinstance(given, dict) else None
            if not isinstance(ids, list) or len(ids) > _MOST_TESTS or not all(isinstance(each, str) for each in ids):
                raise bad_field(field, 'must be {"$in": [ids]}')
            keys = [key for each in ids for key in subjects_of(CUSTOMERS.get(call, services, each))]
            tests.append(OneOf(Attribute.ORGANIZATION, tuple(keys)))
        elif name in _ATTRIBUTES:
            tests.append(_text_test(field, _ATTRIBUTES[name], given))
        elif name in _MOMENTS:
            tests.append(_moment_test(field, _MOMENTS[name], given))
        else:
            known = ", ".join((*_ATTRIBUTES, "customerId", *_MOMENTS))
            raise bad_field(field, f"is no field of an event that can be filtered by: {known}")
    return AllOf(tuple(tests))


def decoded_filter(field: str, text: str) -> dict[str, Any]:
    """A filter that is a JSON object. Raises `Refuse`."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as wrong:
        raise bad_field(field, f"is not a JSON object: {wrong}") from None


def _combined(field: str, given: object, one: Callable[[str, object], EventTest], depth: int = 0) -> EventTest:
    """A filter whose parts are read by `one`, and those of `$and` and `$or` in the same way."""
    if not isinstance(given, dict) or not given or depth > _MOST_DEPTH:
        raise bad_field(field, 'must be a filter like {"$eq": "text"}')
    tests: list[EventTest] = []
    for operator, value in given.items():
        if operator in ("$and", "$or"):
            if not isinstance(value, list) or not 0 < len(value) <= _MOST_TESTS:
                raise bad_field(field, f"{operator} takes a list of 1 to {_MOST_TESTS} filters")
            parts = tuple(_combined(field, each, one, depth + 1) for each in value)
            tests.append(AllOf(parts) if operator == "$and" else AnyOf(parts))
        else:
            tests.append(one(operator, value))
    return AllOf(tuple(tests))


def _text_test(field: str, attribute: Attribute, given: object) -> EventTest:
    def one(operator: str, value: object) -> EventTest:
        if operator in ("$in", "$nin"):
            texts = texts_of(field, value)
            return OneOf(attribute, texts) if operator == "$in" else Not(OneOf(attribute, texts))
        if not isinstance(value, str):
            raise bad_field(field, f"{operator} takes a text")
        if operator.endswith("like") and _ESCAPES_NOTHING.search(value):
            raise bad_field(field, f"{operator}: the backslash at the end stands for nothing: write two")
        if operator in _NEGATED:
            return Not(TextTest(attribute, _COMPARISONS[_NEGATED[operator]], value))
        if operator not in _COMPARISONS:
            raise _unknown(field, operator)
        return TextTest(attribute, _COMPARISONS[operator], value)

    return _combined(field, given, one)


def _moment_test(field: str, moment: Moment, given: object) -> EventTest:
    def one(operator: str, value: object) -> EventTest:
        if operator not in ("$gt", "$gte", "$lt", "$lte"):
            raise _unknown(field, operator)
        at = instant(field, value) if isinstance(value, str) else None
        if at is None:
            raise bad_field(field, f"{operator} takes an instant")
        return MomentTest(moment, _COMPARISONS[operator], at)

    return _combined(field, given, one)


def group_filter(field: str, given: object) -> Callable[[str], bool]:
    """What a filter of a group says of a text. Raises `Refuse`."""
    test = _text_test(field, Attribute.ID, given)
    return lambda text: _passes(test, text)


def texts_of(field: str, value: object) -> tuple[str, ...]:
    """A list of texts. Raises `Refuse`."""
    if not isinstance(value, list) or len(value) > _MOST_TESTS or not all(isinstance(each, str) for each in value):
        raise bad_field(field, f"must be a list of at most {_MOST_TESTS} texts")
    return tuple(value)


def _passes(test: EventTest, text: str) -> bool:
    match test:
        case AllOf(tests):
            return all(_passes(each, text) for each in tests)
        case AnyOf(tests):
            return any(_passes(each, text) for each in tests)
        case Not(inner):
            return not _passes(inner, text)
        case OneOf(_, texts):
            return text in texts
        case TextTest(_, comparison, wanted):
            return _compares(text, comparison, wanted)
        case _:
            raise TypeError(test)


def _compares(text: str, comparison: Comparison, wanted: str) -> bool:
    match comparison:
        case Comparison.EQUAL:
            return text == wanted
        case Comparison.LESS:
            return text < wanted
        case Comparison.LESS_OR_EQUAL:
            return text <= wanted
        case Comparison.GREATER:
            return text > wanted
        case Comparison.GREATER_OR_EQUAL:
            return text >= wanted
        case Comparison.LIKE:
            return is_like(text, wanted)
        case Comparison.LIKE_IN_ANY_CASE:
            return is_like(text.lower(), wanted.lower())


def is_like(text: str, pattern: str) -> bool:
    """Whether a text fits a pattern of SQL, in time that grows with the product of their lengths at most."""
    wanted = re.findall(r"\\[%_\\]|.", pattern, re.DOTALL)
    at = place = 0
    resumed: tuple[int, int] | None = None
    while at < len(text):
        if place < len(wanted) and wanted[place] == "%":
            resumed = place, at
            place += 1
        elif place < len(wanted) and wanted[place] in ("_", text[at], "\\" + text[at]):
            place, at = place + 1, at + 1
        elif resumed is not None:  # the last % stands for one character more
            resumed = resumed[0], resumed[1] + 1
            place, at = resumed[0] + 1, resumed[1]
        else:
            return False
    return all(each == "%" for each in wanted[place:])


def _unknown(field: str, operator: str) -> Refuse:
    return bad_field(field, f"{operator[:20]!r} is no operator of this filter")
