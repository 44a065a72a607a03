"""Reading JSON as the engine does: each name once, numbers with their exact digits, properties by their paths."""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

import msgspec

from .errors import Invalid
from .quantity import MAX_DIGITS, parse_quantity, plain

MAX_DEPTH = 64
"""How deeply arrays and objects may be nested in an event's data."""

Property: TypeAlias = "str | int | Decimal | bool | list[Property] | dict[str, Property] | None"


def _read_number(text: str) -> Decimal | str:
    try:
        return Decimal(text)
    except InvalidOperation:
        return text  # an exponent that no decimal has: `readable` refuses it in new events


_value = msgspec.json.Decoder(float_hook=_read_number)
_members: msgspec.json.Decoder[dict[str, Property]] = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)


def decode_data(data: bytes) -> Property:
    """`data` as Python values, numbers as exact decimals."""
    return _value.decode(data)  # type: ignore[no-any-return] # JSON is what it is


def decode_members(data: bytes) -> dict[str, Property]:
    """A JSON object as `decode_data` gives it. Raises `msgspec.DecodeError` or `InvalidOperation` for all else."""
    return _members.decode(data)


def value_at(data: Property, path: str) -> Property:
    """The value of a property; None where there is none.

    A path is the name of a member, or the names of the objects around it and its own, with dots between them. Names may
    have dots themselves: in each object a member with the whole rest of the path as its name comes first.
    """
    while isinstance(data, dict):
        if path in data:
            return data[path]
        name, dot, path = path.partition(".")
        if not dot:
            return None
        data = data.get(name)
    return None


def places_of(path: str) -> list[tuple[str, ...]]:
    """Where `value_at` looks, in its order: the names to go by from object to object."""
    names = path.split(".")
    return [(*names[:n], ".".join(names[n:])) for n in range(len(names))]


def read_text(data: Property, path: str) -> str:
    """The text of a property: strings as they are, booleans as JSON, numbers without exponent and without trailing
    zeros; "" for anything else."""
    value = value_at(data, path)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if not isinstance(value, int | Decimal):
        return ""
    try:
        return format(plain(parse_quantity(str(value))), "f")
    except Invalid:
        return ""  # too long to be a quantity, and so to be a name


_TOO_LONG = 10**MAX_DIGITS
NUMBER_STARTS = frozenset("-0123456789")
"""What a text begins with that is meant as a number."""


def quantity(value: Property) -> Decimal | None:
    """The number in a JSON value; None when it is not meant as one. Raises `Invalid` for one with too many digits."""
    if isinstance(value, str):
        return parse_quantity(value) if value[:1] in NUMBER_STARTS else None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    return parse_quantity(str(value))


def numbers_in(data: Property) -> dict[str, Decimal | int]:
    """Every quantity in an event's data by its path, as `value_at` finds it; those in arrays have none."""
    found: dict[str, Decimal | int] = {}
    if not isinstance(data, dict):
        return found
    for name, value in data.items():
        if type(value) is int and -_TOO_LONG < value < _TOO_LONG:
            found[name] = value
            continue
        if type(value) is str and value[:1] not in NUMBER_STARTS:
            continue
        if type(value) is dict:
            if "." not in name:  # else no path leads there
                for below, each in numbers_in(value).items():
                    if (path := f"{name}.{below}") not in data:
                        found[path] = each
            continue
        try:
            number = quantity(value)
        except Invalid:
            continue  # no quantity; a meter that reads it refuses the event
        if number is not None:
            found[name] = number
    return found


_64_BITS = (Decimal(-(1 << 63)), Decimal((1 << 64) - 1))
_SURE = 1 << 63


def fewest_quotes(value: Property) -> int | None:
    """How many quotation marks the JSON text of a value has at least: with no more than these, no name in it is there
    twice. None when a number in it may be beyond what every reader of JSON takes."""
    if type(value) is str:
        return 2
    if type(value) is int or type(value) is Decimal:
        return 0 if -_SURE < value < _SURE else None
    inner: Any = ()
    quotes = 0
    if type(value) is dict:
        inner = value.values()
        quotes = 2 * len(value)
    elif type(value) is list:
        inner = value
    for each in inner:
        if type(each) is str:
            quotes += 2
        elif type(each) is not int or not -_SURE < each < _SURE:
            if (more := fewest_quotes(each)) is None:
                return None
            quotes += more
    return quotes


class _Repeated(Exception):
    """An object has a name twice."""


class _Members(list[tuple[str, Any]]):
    """All members of an object, also those whose name is repeated."""


def repeated_name(text: bytes) -> str | None:
    """The path of a name that an object in sound JSON has twice; None when there is no such name. Raises
    `RecursionError` for what is nested a thousand levels deep."""
    try:
        _once.decode(text.decode())
    except _Repeated:
        return _path_of_repeated(_all_members.decode(text.decode()))
    return None


def _each_once(members: list[tuple[str, object]]) -> None:
    if len(dict(members)) < len(members):
        raise _Repeated


# Numbers are left as texts: reading them would cost time, and not every one can be read.
_once = json.JSONDecoder(object_pairs_hook=_each_once, parse_int=str, parse_float=str)
_all_members = json.JSONDecoder(object_pairs_hook=_Members, parse_int=str, parse_float=str)


def _path_of_repeated(value: object) -> str | None:
    if isinstance(value, _Members):
        names: set[str] = set()
        for name, each in value:
            if name in names:
                return name
            names.add(name)
            if (below := _path_of_repeated(each)) is not None:
                return name + below if below.startswith("[") else f"{name}.{below}"
    elif isinstance(value, list):
        for place, each in enumerate(value):
            if (below := _path_of_repeated(each)) is not None:
                return f"[{place}]{below}" if below.startswith("[") else f"[{place}].{below}"
    return None


_LONG_NUMBER = re.compile(rb"\d{19}|[eE][-+]?\d{3}")
"""What a number has that not every reader of JSON can take; texts may have it too."""
_TEXT_OR_NUMBER = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d[-+.\deE]*', re.DOTALL)
_LARGEST_EXPONENT = 307


def readable(data: bytes) -> bytes:
    """The same values, spelled so that any reader of JSON takes them all: one that sees a number it cannot hold may
    read nothing else of the data either. Integers of more than 64 bits get an exponent of 0. Raises `Invalid` for what
    is beyond even a double."""

    def spelled(token: re.Match[bytes]) -> bytes:
        text = token[0]
        if text.startswith(b'"'):
            return text
        try:
            number = Decimal(text.decode())
            too_large = number.adjusted() > _LARGEST_EXPONENT
        except InvalidOperation:
            too_large = True
        if too_large:
            raise Invalid(f"{text[:40].decode()} is a number beyond 1e308: send it as a text")
        whole = text.lstrip(b"-").isdigit()
        return text + b"e0" if whole and not _64_BITS[0] <= number <= _64_BITS[1] else text

    return _TEXT_OR_NUMBER.sub(spelled, data) if _LONG_NUMBER.search(data) else data


_WITH_EXPONENT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|-?\d{19,}e0', re.DOTALL)


def as_received(data: bytes) -> bytes:
    """The data with long integers as they were before `readable`."""

    def received(token: re.Match[bytes]) -> bytes:
        return token[0] if token[0].startswith(b'"') else token[0].removesuffix(b"e0")

    return _WITH_EXPONENT.sub(received, data) if b"e0" in data else data


_MARKS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def depth(data: bytes) -> int:
    """How deeply arrays and objects are nested in sound JSON."""
    level = deepest = 0
    for mark in _MARKS.finditer(data):
        if mark[0] in b"[{":
            level += 1
            deepest = max(deepest, level)
        elif mark[0] in b"]}":
            level -= 1
    return deepest
