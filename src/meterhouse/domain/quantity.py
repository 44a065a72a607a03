"""Exact numbers. A quantity is a JSON number or a decimal string, taken digit by digit as it was written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal, localcontext

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


def plain(value: Decimal) -> Decimal:
    """The same number without exponent and without trailing zeros: `1E+3` → `1000`, `0.30` → `0.3`."""
    stripped = value.normalize(EXACT) or ZERO  # which has no sign
    exponent = stripped.as_tuple().exponent
    return stripped.quantize(Decimal(1), context=EXACT) if isinstance(exponent, int) and exponent > 0 else stripped


class Plain(Decimal):
    """A number that is written without an exponent: 0.00000011, not 1.1E-7."""

    def __str__(self) -> str:
        """All digits."""
        return format(self, "f")


_UNITS: int = 10**MAX_DECIMAL_PLACES


def units(quantity: Decimal | int) -> int:
    """A quantity in units of the 28th decimal place: a whole number, exactly."""
    if isinstance(quantity, int):
        return quantity * _UNITS
    numerator, denominator = quantity.as_integer_ratio()
    return numerator * (_UNITS // denominator)


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


def round_half_even(value: Decimal, places: int) -> Decimal:
    """Rounded to `places` decimals, halves to the even neighbour."""
    return value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN, context=EXACT)
