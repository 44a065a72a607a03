"""How numbers, moments and sizes are written on a page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from ..domain.currency import shown
from ..domain.period import format_instant
from ..domain.quantity import MAX_DECIMAL_PLACES, plain, round_half_even

ABSENT = "–"
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def digits(value: Decimal) -> str:
    """A number as programs read it, with all its digits."""
    return str(plain(round_half_even(value, MAX_DECIMAL_PLACES)))


def number(value: Decimal | int | None) -> str:
    """All digits of a number, in groups of three; a dash where there is none."""
    if value is None:
        return ABSENT
    return format(plain(round_half_even(Decimal(value), MAX_DECIMAL_PLACES)), ",f")


def percent(value: Decimal | None, places: int = 1) -> str:
    """Percent, rounded."""
    return ABSENT if value is None else f"{round_half_even(value, places):,f} %"


def change(value: Decimal | None) -> str:
    """A change in percent, with its sign."""
    if value is None:
        return ABSENT
    rounded = round_half_even(value, 1)
    return f"{'+' if rounded > 0 else '−' if rounded < 0 else '±'}{abs(rounded):,f} %"


def share(value: Decimal | None) -> str:
    """A part of 1 in percent."""
    return ABSENT if value is None else percent(value * 100)


def money(amounts: Mapping[str, Decimal] | None) -> str:
    """Amounts rounded as their currencies are, each currency for itself; a dash where there are none."""
    each = [f"{Decimal(shown(amount, currency)):,f} {currency}" for currency, amount in sorted((amounts or {}).items())]
    return " + ".join(each) or ABSENT


def size(count: float) -> str:
    """Bytes, in the unit that people would choose."""
    for unit in _UNITS:
        if abs(count) < 1024 or unit == _UNITS[-1]:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError(count)


def moment(instant: datetime | None, zone: str = "UTC") -> Markup | str:
    """An instant on the clocks of a zone, as a `<time>`."""
    if instant is None:
        return ABSENT
    local = instant.astimezone(UTC if zone == "UTC" else ZoneInfo(zone))
    text = f"{local.day} {local:%b %Y, %H:%M}" + (" UTC" if zone == "UTC" else f" {local:%Z}")
    return Markup('<time datetime="{}">{}</time>').format(format_instant(instant), text)


def day(instant: datetime | None, zone: str = "UTC") -> Markup | str:
    """The day of an instant on the clocks of a zone."""
    if instant is None:
        return ABSENT
    local = instant.astimezone(UTC if zone == "UTC" else ZoneInfo(zone))
    return Markup('<time datetime="{}">{}</time>').format(format_instant(instant), f"{local.day} {local:%b %Y}")


def bar(used: Decimal | None, limit: Decimal | None, label: str) -> Markup:
    """How full a limit is, as a bar; nothing without a limit."""
    if used is None or limit is None or limit <= 0:
        return Markup("")
    part = max(Decimal(0), min(used / limit * 100, Decimal(100)))
    kind = "over" if used > limit else "near" if used >= limit * 8 / 10 else "fine"
    return Markup('<svg class="bar {}" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" aria-label="{}">'
                  '<rect class="all" width="100" height="6"/><rect class="part" width="{}" height="6"/></svg>').format(
        kind, escape(label), f"{part:.2f}"
    )  # fmt: skip


def sparkline(values: list[Decimal]) -> Markup:
    """The course of a meter in a few pixels; tables have the numbers."""
    most = max(values, default=Decimal(0))
    if most <= 0:
        return Markup('<svg class="spark" viewBox="0 0 100 24" aria-hidden="true"></svg>')
    width = Decimal(100) / len(values)
    bars = Markup("").join(
        Markup('<rect x="{}" y="{}" width="{}" height="{}"/>').format(
            f"{index * width:.2f}", f"{24 - height:.2f}", f"{width * 7 / 10:.2f}", f"{height:.2f}"
        )
        for index, value in enumerate(values)
        if (height := max(value, Decimal(0)) / most * 22)
    )
    return Markup(
        '<svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true">{}</svg>'
    ).format(bars)


_CODE = re.compile(r"`([^`]+)`")


def with_code(text: str) -> Markup:
    """A text of the document for HTML: what stands between backticks is code, an empty line ends a paragraph."""
    marked = _CODE.sub(r"<code>\1</code>", str(escape(text)))
    return Markup("".join(f"<p>{part}</p>" for part in marked.split("\n\n")))  # noqa: S704 - it is escaped before


FILTERS = {
    "number": number,
    "digits": digits,
    "percent": percent,
    "change": change,
    "share": share,
    "money": money,
    "size": size,
    "moment": moment,
    "day": day,
    "with_code": with_code,
}
"""By their names in templates."""
