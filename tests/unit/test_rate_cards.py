"""Rate cards: what is read, and what is refused in which words."""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from babel.core import get_global
from babel.numbers import get_currency_precision, get_territory_currencies

from meterhouse.domain.catalog import CatalogError
from meterhouse.domain.catalog_parser import parse_catalog
from meterhouse.domain.currency import DIGITS, check_currency, shown
from meterhouse.domain.errors import Invalid
from meterhouse.domain.meter import Aggregation, Meter
from meterhouse.domain.period import FIRST_INSTANT, Period
from meterhouse.domain.price import Price, PriceTier, PriceType, per_unit
from meterhouse.domain.rate_card import card_at, cards_in
from meterhouse.domain.rate_card_parser import parse_rate_cards

METERS = {
    meter.slug: meter
    for meter in (
        Meter("tokens", "call", Aggregation.SUM, values=("tokens",), group_by=("model", "region")),
        Meter("people", "call", Aggregation.UNIQUE_COUNT, values=("person",)),
    )
}
CARD: dict[str, Any] = {"meter": "tokens", "currency": "USD", "price": "0.002"}
TIERED: dict[str, Any] = {"meter": "tokens", "currency": "USD", "type": "graduated"}


def small(**fields: Any) -> dict[str, Any]:
    return {"groups": [{"group": {"model": "small"}, "price": 1, **fields}]}


def test_everything_that_can_be_written() -> None:
    [since_ever, later] = parse_rate_cards(
        [
            {
                "meter": "tokens",
                "currency": "JPY",
                "effective_at": datetime(2026, 3, 1, tzinfo=UTC),
                "minimum": 5,
                "type": "package",
                "package": 1000,
                "price": Decimal("2.50"),
                "included": "100",
                "groups": [
                    {
                        "group": {"region": "eu", "model": "small"},
                        "type": "volume",
                        "tiers": [{"up_to": 10, "price": 1}, {"price": "0.5"}],
                    }
                ],
            },
            CARD,
        ],
        METERS,
    )["tokens"]
    assert since_ever.effective_at == FIRST_INSTANT
    assert since_ever.price == per_unit(Decimal("0.002"))
    assert (later.currency, later.minimum, later.group_by) == ("JPY", Decimal(5), ("model", "region"))
    package = Price(PriceType.PACKAGE, (PriceTier(None, Decimal("2.5")),), Decimal(1000), Decimal(100))
    assert later.price_of(later.key_of(("large", "eu"))) == package
    tiers = (PriceTier(Decimal(10), Decimal(1)), PriceTier(None, Decimal("0.5")))
    assert later.price_of(later.key_of(("small", "eu"))) == Price(PriceType.VOLUME, tiers)


def test_which_card_is_in_force() -> None:
    march, april = (datetime(2026, month, 1, tzinfo=UTC) for month in (3, 4))
    first, second = parse_rate_cards(
        [{**CARD, "effective_at": "2026-04-01T00:00:00Z"}, {**CARD, "effective_at": "2026-03-01T00:00:00Z"}], METERS
    )["tokens"]
    assert (first.effective_at, second.effective_at) == (march, april)
    assert card_at((first, second), None) is None
    assert card_at((first, second), march) is first
    assert card_at((first, second), april) is second
    assert cards_in((first, second), Period(march, april)) == [first]
    assert cards_in((first, second), Period(None, None)) == [first, second]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({**CARD, "currency": "USX"}, "of 'tokens': currency: 'USX' is not a currency in use by ISO 4217"),
        ({**CARD, "currency": "DEM"}, "'DEM' is not a currency in use"),
        ({**CARD, "currency": "usd"}, "'usd' is not a currency in use"),
        ({**CARD, "currency": 840}, "'840' is not a currency in use"),
        ({"meter": "tokens", "price": 1}, "'None' is not a currency"),
        (
            {**CARD, "price": "0." + "0" * 29 + "1"},
            "price: '0.000000000000000000000000000001' has more than 28 decimal",
        ),
        ({**CARD, "price": "9" * 39}, f"price: '{'9' * 39}' has more than 38 digits"),
        ({**CARD, "minimum": "9" * 39}, f"minimum: '{'9' * 39}' has more than 38 digits"),
        ({**CARD, "included": "9" * 39}, "has more than 38 digits"),
        ({**CARD, "price": 10**38}, "price: '1" + "0" * 38 + "' has more than 38 digits"),
        ({**CARD, "price": -(16**5000)}, "price: has more than 38 digits"),
        ({**CARD, "price": Decimal("Infinity")}, "is not a decimal number"),
        ({**CARD, "price": Decimal("1e999")}, "has more than 38 digits"),
        ({**CARD, "price": "1" * 200}, "has 200 characters; a number has at most 128"),
        ({**CARD, "price": -1}, "price: must not be negative"),
        ({**CARD, "minimum": "-0.01"}, "minimum: must not be negative"),
        ({**CARD, "included": -1}, "included: must not be negative"),
        ({**CARD, "price": "cheap"}, "price: 'cheap' is not a decimal number"),
        ({**CARD, "price": True}, "price must be a number or a decimal string"),
        ({**CARD, "price": Decimal("NaN")}, "is not a decimal number"),
        (
            {**TIERED, "tiers": [{"up_to": 5, "price": 1}, {"up_to": 5, "price": 1}, {"price": 1}]},
            "tiers must rise, so",
        ),
        (
            {**TIERED, "tiers": [{"up_to": 5, "price": 1}, {"up_to": 4, "price": 1}, {"price": 1}]},
            "must be more than 5",
        ),
        ({**TIERED, "tiers": [{"up_to": 0, "price": 1}, {"price": 1}]}, "tier 1: up_to is 0; tiers must rise"),
        ({**TIERED, "tiers": [{"up_to": 5, "price": -1}, {"price": 1}]}, "tier 1: price: must not be negative"),
        ({**TIERED, "tiers": [{"up_to": 5, "price": 1}]}, "the last tier must have no up_to"),
        ({**TIERED, "tiers": [{"price": 1}, {"price": 1}]}, "tier 1: up_to must be a number"),
        ({**TIERED, "tiers": []}, "tiers must be a list of tables"),
        ({**TIERED, "tiers": [{"price": 1}] * 101}, "has 101 tiers; at most 100"),
        ({**TIERED, "price": 1, "tiers": [{"price": 1}]}, "graduated takes no price; remove it"),
        (TIERED, "graduated needs tiers"),
        ({**CARD, "type": "package"}, "package needs package"),
        ({**CARD, "type": "package", "package": 0}, "package must be more than 0"),
        ({**CARD, "package": 10}, "per_unit takes no package"),
        ({**CARD, "type": "stairs"}, "type is 'stairs'; it is per_unit, graduated, volume, package"),
        ({**CARD, "meter": "gone"}, "there is no meter 'gone' any more, or there never was; name people, tokens"),
        ({**CARD, "meter": ["tokens"]}, "there is no meter"),
        (
            {**CARD, "meter": "people"},
            "'people' is a UNIQUE_COUNT, which does not add up; only COUNT and SUM have prices",
        ),
        ({"meter": "tokens", "currency": "USD"}, "has no price; give price, or tiers, or groups"),
        (
            {**CARD, "groups": [{"group": {"tier": "x"}, "price": 1}]},
            "cannot be grouped by 'tier'; its group_by has mod",
        ),
        ({**CARD, "groups": [{"group": {}, "price": 1}]}, "group must be a table of property = text"),
        ({**CARD, "groups": [{"group": {"model": 4}, "price": 1}]}, "group must be a table of property = text"),
        ({**CARD, "groups": [{"price": 1}]}, "group must be a table of property = text"),
        ({**CARD, "groups": {"model": "x"}}, "groups must be a list of tables"),
        ({**CARD, "groups": 2 * small()["groups"]}, "group 2: 'small' has a price already"),
        (
            {**CARD, "groups": [*small()["groups"], {"group": {"region": "eu"}, "price": 1}]},
            "is by region, and the first",
        ),
        ({**CARD, **small(price=-1)}, "group 1: price: must not be negative"),
        ({**CARD, **small(minimum=1)}, "group 1 has the key 'minimum', which is not one of"),
        ({**CARD, "groups": [{"group": {"model": "x" * 1001}, "price": 1}]}, "has more than 1,000 characters"),
        ({**CARD, "groups": [{}] * 10_001}, "has 10,001 groups; at most 10,000"),
        ({**CARD, "effective_at": "2026-03-01"}, "effective_at: '2026-03-01' is not an RFC 3339 date-time"),
        ({**CARD, "effective_at": datetime(2026, 3, 1)}, "effective_at must be an instant with a zone"),  # noqa: DTZ001
        ({**CARD, "effective_at": date(2026, 3, 1)}, "effective_at must be an instant with a zone"),
        (
            {**CARD, "effective_at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))},
            "effective_at: '0001-01-01T",
        ),
        ({**CARD, "effective_at": "1871-01-01T00:00:00Z"}, "is not between 1900 and 2261"),
        ({**CARD, "discount": 5}, "prices 1 has the key 'discount', which is not one of currency"),
    ],
)
def test_what_means_nothing_is_refused(table: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_rate_cards([table], METERS)
    assert str(refused.value).startswith("prices 1")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("instants", "since"),
    [
        ((None, None), "always"),
        (("2026-03-01T00:00:00Z", "2026-03-01T01:00:00+01:00"), "2026-03-01T00:00:00Z"),
    ],
)
def test_two_cards_from_the_same_instant_are_refused(instants: tuple[str | None, ...], since: str) -> None:
    tables = [{**CARD, **({"effective_at": at} if at else {})} for at in instants]
    with pytest.raises(Invalid, match=f"prices 2: 'tokens' has two rate cards in force .* same instant, {since}"):
        parse_rate_cards(tables, METERS)


def test_a_catalog_names_its_file() -> None:
    text = """
        namespace = "acme"
        [[meters]]
        slug = "calls"
        event_type = "call"
        aggregation = "COUNT"
        [[prices]]
        meter = "calls"
        currency = "CHF"
        price = 0.1
        effective_at = 2026-01-01T00:00:00+01:00
    """
    [card] = parse_catalog(tomllib.loads(text, parse_float=Decimal), "acme.toml").prices["calls"]
    assert card.price == per_unit(Decimal("0.1"))
    assert card.effective_at == datetime(2025, 12, 31, 23, tzinfo=UTC)
    with pytest.raises(CatalogError, match=r"^acme\.toml: prices 1, of 'calls': currency: 'CHX' is not"):
        parse_catalog(tomllib.loads(text.replace("CHF", "CHX"), parse_float=Decimal), "acme.toml")


class TestCurrencies:
    def test_are_those_that_pay_somewhere(self) -> None:
        """Against CLDR, which has the euro in Bulgaria later than it came."""
        paying = {
            code
            for territory in get_global("territory_currencies")
            for code in get_territory_currencies(territory, date(2026, 6, 1), tender=True)
        }
        assert paying - DIGITS.keys() == {"BGN"}
        funds = {"BOV", "CHE", "CHW", "CLF", "COU", "MXV", "USN", "UYI", "UYW"}
        assert DIGITS.keys() - paying == funds | {"SVC", "VED"}

    def test_have_the_digits_of_the_standard(self) -> None:
        """CLDR has those that are in use, which are fewer for some."""
        differing = {code for code, digits in DIGITS.items() if digits != get_currency_precision(code)}
        assert all(get_currency_precision(code) < DIGITS[code] for code in differing)
        assert {DIGITS[code] for code in ("JPY", "KRW", "ISK")} == {0}
        assert {DIGITS[code] for code in ("KWD", "BHD", "IQD")} == {3}

    @pytest.mark.parametrize("code", ["XAU", "XXX", "XTS", "XDR", "", None])
    def test_metals_tests_and_nothing_are_none(self, code: str | None) -> None:
        with pytest.raises(Invalid):
            check_currency(code)

    @pytest.mark.parametrize(
        ("amount", "currency", "text"),
        [
            ("12.345", "USD", "12.35"),
            ("12.3449999999999999999999999999", "USD", "12.34"),
            ("-12.345", "USD", "-12.35"),
            ("-0.001", "USD", "0.00"),
            ("0.5", "JPY", "1"),
            ("1234567.5", "JPY", "1234568"),
            ("0.0005", "KWD", "0.001"),
            ("1E+3", "EUR", "1000.00"),
        ],
    )
    def test_are_shown_rounded_half_up(self, amount: str, currency: str, text: str) -> None:
        assert shown(Decimal(amount), currency) == text
