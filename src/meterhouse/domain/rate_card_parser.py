"""Reading rate cards: `[[prices]]` of a catalog, and those that are proposed to a preview."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from .currency import check_currency
from .errors import Invalid
from .meter import Meter
from .period import FIRST_INSTANT, format_instant, parse_instant
from .price import Price, PriceTier, PriceType
from .quantity import MAX_DIGITS, ZERO, parse_quantity
from .rate_card import PRICED, RateCard, RateCards

MOST_CARDS = 1_000
"""Of one meter."""
MOST_GROUPS = 10_000
"""Prices of one card that are of groups."""
MOST_PROPERTIES = 3
"""That decide about a price, as many as usage can be grouped by."""
MOST_TIERS = 100
_MOST_TEXT = 1_000
_MOST_BITS = (10**MAX_DIGITS).bit_length()
"""Python refuses to print integers that are far beyond it."""
_PRICE_KEYS = frozenset(("type", "price", "tiers", "package", "included"))
_CARD_KEYS = _PRICE_KEYS | {"meter", "currency", "effective_at", "minimum", "groups"}


def parse_rate_cards(
    tables: Sequence[Mapping[str, Any]], meters: Mapping[str, Meter], error: Callable[[str], Invalid] = Invalid
) -> dict[str, RateCards]:
    """The cards of each meter, by the instants from which they are in force. `error` makes what is raised for a card
    that cannot be used, from a message that names the place."""
    reader = _CardReader(meters, error)
    found: dict[str, list[RateCard]] = {}
    for number, table in enumerate(tables, 1):
        card = reader.card(table, f"prices {number}")
        known = found.setdefault(card.meter, [])
        if any(each.effective_at == card.effective_at for each in known):
            since = "always" if card.effective_at == FIRST_INSTANT else format_instant(card.effective_at)
            raise error(
                f"prices {number}: {card.meter!r} has two rate cards in force from the same instant, {since}; give "
                "one of them another effective_at"
            )
        known.append(card)
        if len(known) > MOST_CARDS:
            raise error(f"prices: {card.meter!r} has more than {MOST_CARDS:,} rate cards; leave out what is over")
    return {meter: tuple(sorted(cards, key=lambda card: card.effective_at)) for meter, cards in found.items()}


@dataclass(frozen=True, slots=True)
class _CardReader:
    meters: Mapping[str, Meter]
    error: Callable[[str], Invalid]

    def card(self, table: Mapping[str, Any], where: str) -> RateCard:
        self.known_keys(table, _CARD_KEYS, where)
        meter = self.meter(table.get("meter"), where)
        where = f"{where}, of {meter.slug!r}"
        try:
            currency = check_currency(table.get("currency"))
        except Invalid as wrong:
            raise self.error(f"{where}: currency: {wrong}") from None
        price = self.price(table, where) if table.keys() & _PRICE_KEYS else None
        group_by, groups = self.groups(table.get("groups", []), meter, where)
        if price is None and not groups:
            raise self.error(f"{where}: has no price; give price, or tiers, or groups")
        effective_at = self.instant(table.get("effective_at"), where)
        minimum = self.amount(table.get("minimum", 0), f"{where}: minimum")
        return RateCard(meter.slug, currency, price, effective_at, group_by, groups, minimum)

    def known_keys(self, table: Mapping[str, Any], known: frozenset[str], where: str) -> None:
        for key in table.keys() - known:
            raise self.error(f"{where} has the key {key[:60]!r}, which is not one of {', '.join(sorted(known))}")

    def meter(self, slug: object, where: str) -> Meter:
        meter = self.meters.get(slug) if isinstance(slug, str) else None
        if meter is None:
            known = ", ".join(sorted(self.meters))
            raise self.error(
                f"{where}: there is no meter {str(slug)[:60]!r} any more, or there never was; name {known}"
            )
        if meter.aggregation not in PRICED:
            raise self.error(
                f"{where}: {meter.slug!r} is a {meter.aggregation}, which does not add up; only {' and '.join(PRICED)} "
                "have prices"
            )
        return meter

    def groups(self, value: object, meter: Meter, where: str) -> tuple[tuple[str, ...], dict[tuple[str, ...], Price]]:
        """The properties, and the price of each group of their texts."""
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise self.error(f"{where}: groups must be a list of tables, each with a group and its price")
        if len(value) > MOST_GROUPS:
            raise self.error(f"{where}: has {len(value):,} groups; at most {MOST_GROUPS:,} have a price of their own")
        names: tuple[str, ...] = ()
        prices: dict[tuple[str, ...], Price] = {}
        for number, table in enumerate(value, 1):
            place = f"{where}, group {number}"
            self.known_keys(table, _PRICE_KEYS | {"group"}, place)
            group = self.group(table.get("group"), meter, place)
            names = names or tuple(group)
            if names != tuple(group):
                raise self.error(f"{place}: is by {', '.join(group)}, and the first one by {', '.join(names)}")
            texts = tuple(group.values())
            if texts in prices:
                raise self.error(f"{place}: {', '.join(texts)[:100]!r} has a price already; a group has one")
            prices[texts] = self.price(table, place)
        return names, prices

    def group(self, value: object, meter: Meter, where: str) -> dict[str, str]:
        """Texts by property, in the order of their names."""
        if not isinstance(value, dict) or not value or not all(isinstance(text, str) for text in value.values()):
            raise self.error(f'{where}: group must be a table of property = text, like {{ model = "small" }}')
        if len(value) > MOST_PROPERTIES:
            raise self.error(f"{where}: has {len(value)} properties; at most {MOST_PROPERTIES} decide about a price")
        for name, text in value.items():
            if name not in meter.group_by:
                known = ", ".join(meter.group_by) or "none"
                raise self.error(
                    f"{where}: {meter.slug!r} cannot be grouped by {name[:60]!r}; its group_by has {known}"
                )
            if len(text) > _MOST_TEXT:
                raise self.error(f"{where}: the text of {name} has more than {_MOST_TEXT:,} characters")
        return dict(sorted(value.items()))

    def price(self, table: Mapping[str, Any], where: str) -> Price:
        try:
            kind = PriceType(str(table.get("type", PriceType.PER_UNIT)))
        except ValueError:
            raise self.error(f"{where}: type is {str(table['type'])[:40]!r}; it is {', '.join(PriceType)}") from None
        tiered = kind in (PriceType.GRADUATED, PriceType.VOLUME)
        for key, wanted in (("price", not tiered), ("tiers", tiered), ("package", kind is PriceType.PACKAGE)):
            if wanted != (key in table):
                raise self.error(f"{where}: {kind} " + (f"needs {key}" if wanted else f"takes no {key}; remove it"))
        if tiered:
            tiers = self.tiers(table["tiers"], where)
        else:
            tiers = (PriceTier(None, self.amount(table["price"], f"{where}: price")),)
        package = self.amount(table.get("package", 1), f"{where}: package")
        if not package:
            raise self.error(f"{where}: package must be more than 0")
        return Price(kind, tiers, package, self.amount(table.get("included", 0), f"{where}: included"))

    def tiers(self, value: object, where: str) -> tuple[PriceTier, ...]:
        if not isinstance(value, list) or not value or not all(isinstance(each, dict) for each in value):
            raise self.error(f"{where}: tiers must be a list of tables with up_to and price, the last without up_to")
        if len(value) > MOST_TIERS:
            raise self.error(f"{where}: has {len(value):,} tiers; at most {MOST_TIERS} are allowed")
        tiers: list[PriceTier] = []
        for number, table in enumerate(value, 1):
            place = f"{where}, tier {number}"
            self.known_keys(table, frozenset(("up_to", "price")), place)
            price = self.amount(table.get("price"), f"{place}: price")
            if number == len(value):
                if "up_to" in table:
                    raise self.error(f"{place}: the last tier must have no up_to, so that all usage has a price")
                return (*tiers, PriceTier(None, price))
            up_to = self.amount(table.get("up_to"), f"{place}: up_to")
            below = tiers[-1].up_to if tiers else None
            if up_to <= (below or ZERO):
                raise self.error(f"{place}: up_to is {up_to}; tiers must rise, so it must be more than {below or 0}")
            tiers.append(PriceTier(up_to, price))
        raise AssertionError(value)

    def amount(self, value: object, where: str) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
            raise self.error(f'{where} must be a number or a decimal string like "0.0000025"')
        if isinstance(value, int) and value.bit_length() > _MOST_BITS:
            raise self.error(f"{where}: has more than {MAX_DIGITS} digits")
        try:
            number = parse_quantity(str(value))
        except Invalid as wrong:
            raise self.error(f"{where}: {wrong}") from None
        if number < 0:
            raise self.error(f"{where}: must not be negative")
        return number

    def instant(self, value: object, where: str) -> datetime:
        if value is None:
            return FIRST_INSTANT
        if isinstance(value, datetime) and value.tzinfo is not None:
            value = value.isoformat()
        if not isinstance(value, str):
            raise self.error(f"{where}: effective_at must be an instant with a zone, like 2026-01-31T00:00:00Z")
        try:
            return parse_instant(value)
        except Invalid as wrong:
            raise self.error(f"{where}: effective_at: {wrong}") from None
