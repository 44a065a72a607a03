"""Currencies by ISO 4217, and how amounts of them are shown."""

from __future__ import annotations

from decimal import Decimal

from .errors import Invalid
from .quantity import round_half_up

_BY_DIGITS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW "
    "CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR "
    "ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV "
    "MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD "
    "SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
DIGITS = {code: digits for digits, codes in _BY_DIGITS.items() for code in codes.split()}
"""Digits after the point of every currency that has a minor unit and is in use. What banks show may have fewer: the
standard gives the Iraqi dinar three, for which CLDR, and so Babel, has none."""


def check_currency(code: object) -> str:
    """The code itself. Raises `Invalid` for anything that is not the code of a currency in use."""
    if not isinstance(code, str) or code not in DIGITS:
        raise Invalid(f"{str(code)[:20]!r} is not a currency in use by ISO 4217; a code is like USD, EUR or JPY")
    return code


def shown(amount: Decimal, currency: str) -> str:
    """An amount with as many digits as its currency has, rounded half up: halves go away from zero. Nothing else rounds
    an amount."""
    rounded = round_half_up(amount, DIGITS[currency])
    return format(rounded if rounded else rounded.copy_abs(), "f")
