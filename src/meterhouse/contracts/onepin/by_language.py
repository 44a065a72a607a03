"""`GET /usage/by-language`: the workspace's lines by the locale they are in."""

from __future__ import annotations

import math
from decimal import Decimal
from functools import cache
from typing import Annotated

import msgspec

from ...domain.organization import Caller
from ...domain.quantity import ZERO, add, divide, plain, round_half_even
from ...ports.usage_reader import UsageReader
from ..contract import Answer, Request
from .window import RANGES, VIEWS, Meta, Range, Span, View, check_workspace, lasting, span, zone

ALLOCATION_BASIS = "credits"
"""Each line's own credits go to its own locale: nothing is spread by another measure."""
SHARE_PLACES = 4

Share = Annotated[Decimal, msgspec.Meta(extra_json_schema={"minimum": 0, "maximum": 1})]


class LanguageRow(msgspec.Struct):
    """One locale; `share` is its part of all credits, untagged ones included."""

    locale_code: str
    display_name: str
    share: Share
    credits: int
    characters: int
    corrected: int
    lines: int
    allocation_basis: str


class ByLanguage(msgspec.Struct):
    """Rows by credits, most first. Either `range` or `activity_view` is null: the other one set the window."""

    range: Range | None
    activity_view: View | None
    timezone: str
    period: Span
    languages: list[LanguageRow]
    total_credits: int
    untagged_credits: int


class ByLanguageBody(msgspec.Struct):
    """The 200 answer."""

    data: ByLanguage
    meta: Meta


def usage_by_language(request: Request, _caller: Caller, usage: UsageReader) -> Answer:
    """The range, or the window of the activity view when one is named."""
    check_workspace(request, usage)
    length = request.choice("range", tuple(RANGES)) or "30d"
    view = request.choice("activity_view", VIEWS)
    where = zone(request, usage)
    period = (where.view(view) if view else where.days(length)).period
    assert period.start is not None
    assert period.end is not None
    meters = ("credits", "characters", "corrected_words", "lines")
    credits, characters, corrected, lines = usage.groups(meters, period, "locale")
    total = add(credits.values())
    # Every line has a locale or none, so `lines` knows them all.
    locales = sorted(
        (locale for locale in lines if locale), key=lambda locale: (credits.get(locale, ZERO).copy_negate(), locale)
    )
    data = ByLanguage(
        range=None if view else length,
        activity_view=view,
        timezone=where.name,
        period=span(request, period.start, period.end),
        languages=[
            LanguageRow(
                locale_code=locale,
                display_name=display_name(locale),
                share=share(credits.get(locale, ZERO), total),
                credits=math.floor(credits.get(locale, ZERO)),
                characters=math.floor(characters.get(locale, ZERO)),
                corrected=math.floor(corrected.get(locale, ZERO)),
                lines=int(lines[locale]),
                allocation_basis=ALLOCATION_BASIS,
            )
            for locale in locales
        ],
        total_credits=math.floor(total),
        untagged_credits=math.floor(credits.get("", ZERO)),
    )
    return lasting(data, where.until)


def share(part: Decimal, whole: Decimal) -> Decimal:
    """A part of a whole, from 0 to 1 also where refunds make one of them negative."""
    if whole <= 0:
        return ZERO
    return plain(round_half_even(min(max(divide(part, whole), ZERO), Decimal(1)), SHARE_PLACES))


@cache
def display_name(locale_code: str) -> str:
    """`English (US)` for `en-us`: the language's English name, and the script and territory; else the code itself."""
    from babel import Locale, UnknownLocaleError  # noqa: PLC0415 - 20 ms of start-up that only this answer needs

    try:
        locale = Locale.parse(locale_code.replace("_", "-"), sep="-")
    except (ValueError, UnknownLocaleError):
        return locale_code
    language = locale.get_language_name("en")
    if language is None:
        return locale_code
    script = locale.get_script_name("en")
    details = ", ".join(filter(None, (script, locale.territory)))
    return f"{language} ({details})" if details else language
