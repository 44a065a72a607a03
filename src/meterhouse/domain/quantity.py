"""Exact numbers. A quantity is a JSON number or a decimal string, taken digit by digit as it was written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import MAX_EMAX, MIN_EMIN, ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal, localcontext
from functools import lru_cache

import msgspec

from .errors import Invalid

MAX_DIGITS = 38
"""Significant digits a single quantity may have."""
MAX_DECIMAL_PLACES = 28
"""Digits after the point. With 256-bit storage this leaves room for ten billion of the largest quantities in a sum."""

ZERO = Decimal(0)

# Sums of stored quantities have at most 76 digits; nothing computed from them below is ever cut.
EXACT = Context(prec=160, Emax=MAX_EMAX, Emin=MIN_EMIN)

_MAX_CHARACTERS = 128
"""Below the precision of `EXACT`, so that reading a number never rounds it."""
_SHORT = re.compile(r"0|-?(?:[1-9][0-9]{0,17}(?:\.[0-9]{0,17}[1-9])?|0\.[0-9]{0,17}[1-9])", re.ASCII)
"""Within every limit, without zeros at the end: nearly all numbers that are ever written."""
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)


def parse_quantity(text: str) -> Decimal:
    """The exact decimal written in `text` (JSON number syntax).

    Raises `Invalid` when it is no number, or has more than 38 significant digits, 38 digits before or
    28 digits after the point: a quantity is never shortened.
    """
    if _SHORT.fullmatch(text) is not None:
        return Decimal(text)
    if len(text) > _MAX_CHARACTERS:
        raise Invalid(f"{text[:60]!r}… has {len(text)} characters; a number has at most {_MAX_CHARACTERS}")
    if _NUMBER.fullmatch(text) is None:
        raise Invalid(f"{text[:60]!r} is not a decimal number")
    sign, digits, exponent = EXACT.create_decimal(text).as_tuple()
    assert isinstance(exponent, int)  # the pattern admits no NaN and no infinity
    while len(digits) > 1 and digits[-1] == 0 and exponent < 0:
        digits, exponent = digits[:-1], exponent + 1
    if digits == (0,):
        return ZERO
    if len(digits) + max(exponent, 0) > MAX_DIGITS:
        raise Invalid(f"{text[:60]!r} has more than {MAX_DIGITS} digits")
    if -exponent > MAX_DECIMAL_PLACES:
        raise Invalid(f"{text[:60]!r} has more than {MAX_DECIMAL_PLACES} decimal places")
    return EXACT.scaleb(Decimal((sign, digits, 0)), exponent)


class Plain(Decimal):
    """A number that is printed without an exponent: Python prints every `Decimal` below 0.000001 with one."""

    def __str__(self) -> str:
        """Its digits."""
        return format(self, "f")


def json_number(value: object) -> msgspec.Raw:
    """A `Plain` in JSON; for msgspec's encoders, as `enc_hook`."""
    if isinstance(value, Plain):
        return msgspec.Raw(str(value).encode())
    raise NotImplementedError(f"{type(value).__name__} has no form in JSON")


def plain(value: Decimal) -> Plain:
    """The same number without exponent and without trailing zeros: `1E+3` → `1000`, `0.30` → `0.3`."""
    stripped = value.normalize(EXACT) or ZERO  # which has no sign
    exponent = stripped.as_tuple().exponent
    whole = isinstance(exponent, int) and exponent > 0
    return Plain(stripped.quantize(Decimal(1), context=EXACT) if whole else stripped)


_POWERS: list[int] = [10**places for places in range(MAX_DECIMAL_PLACES + 1)]
_UNITS = _POWERS[-1]


def units(quantity: Decimal | int) -> int:
    """A quantity in units of the 28th decimal place: a whole number, exactly."""
    if isinstance(quantity, int) or not quantity:
        return int(quantity) * _UNITS
    numerator, denominator = quantity.as_integer_ratio()
    return numerator * (_UNITS // denominator)


def units_of_text(text: str) -> int | None:
    """The number that `parse_quantity` reads, in the same units; None where it raises `Invalid`."""
    return _units_of_text(text) if len(text) <= _MAX_CHARACTERS else None


@lru_cache(65_536)  # what is metered is mostly small numbers, and the same ones again
def _units_of_text(text: str) -> int | None:
    if _SHORT.fullmatch(text) is not None:
        whole, _, places = text.partition(".")
        return int(whole + places) * _POWERS[MAX_DECIMAL_PLACES - len(places)]
    try:
        return units(parse_quantity(text))
    except Invalid:
        return None


@lru_cache(32_768)  # for the same reason
def from_units(number: int) -> Decimal | int:
    """The quantity of so many units."""
    whole, rest = divmod(number, _UNITS)
    return EXACT.normalize(EXACT.scaleb(Decimal(number), -MAX_DECIMAL_PLACES)) if rest else whole


def divide(numerator: Decimal, denominator: Decimal | int) -> Decimal:
    """A quotient with 160 significant digits: exact for every rounding a contract makes from it."""
    return EXACT.divide(numerator, Decimal(denominator))


# Python's own operators on decimals round to 28 digits without a word; these do not.


def add(values: Iterable[Decimal]) -> Decimal:
    """The exact sum."""
    with localcontext(EXACT):
        return sum(values, ZERO)


def subtract(value: Decimal, other: Decimal) -> Decimal:
    """The exact difference."""
    return EXACT.subtract(value, other)


def percentage(part: Decimal, whole: Decimal) -> Decimal:
    """How many hundredths of the whole the part is, with 160 significant digits."""
    return EXACT.divide(EXACT.multiply(part, Decimal(100)), whole)


def round_half_up(value: Decimal, places: int) -> Decimal:
    """Rounded to `places` decimals, halves away from zero, as money is rounded."""
    return value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP, context=EXACT)


def round_down(value: Decimal, places: int) -> Decimal:
    """Rounded to `places` decimals, towards zero."""
    return value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_DOWN, context=EXACT)


def round_half_even(value: Decimal, places: int) -> Decimal:
    """Rounded to `places` decimals, halves to the even neighbour."""
    return value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN, context=EXACT)
