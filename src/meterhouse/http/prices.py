"""Rate cards as they are written, and the preview of other ones."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from litestar import Response, Router, post
from litestar.params import FromPath, JSONBody, Parameter

from ..domain.cost import subtract_amounts
from ..domain.errors import Invalid
from ..domain.local_time import zone
from ..domain.operator_key import Role
from ..domain.period import FIRST_INSTANT, Period, format_instant
from ..domain.price import Price, PriceType
from ..domain.quantity import plain
from ..domain.query_parameters import instant_or_date
from ..domain.rate_card import RateCard
from ..domain.rate_card_parser import parse_rate_cards
from ..domain.span import span_between
from ..services.price_previews import MOST_ORGANIZATIONS_OF_A_PAGE, PriceChange, PricePreview, PricePreviews
from .authentication import Authentication
from .bodies import exactly, json_response
from .costs import CostBody, cost_bodies
from .openapi import described
from .periods import PeriodBody, period_body

_MOST_OFFSET = 10_000_000


class TierBody(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The units up to and including `up_to`; the last tier has none."""

    price: Decimal
    up_to: Decimal | msgspec.UnsetType = msgspec.UNSET


class GroupPriceBody(msgspec.Struct, forbid_unknown_fields=True):
    """The price of a group: texts by property. It is written like that of a card."""

    group: dict[str, str]
    type: str | msgspec.UnsetType = msgspec.UNSET
    price: Decimal | msgspec.UnsetType = msgspec.UNSET
    tiers: list[TierBody] | msgspec.UnsetType = msgspec.UNSET
    package: Decimal | msgspec.UnsetType = msgspec.UNSET
    included: Decimal | msgspec.UnsetType = msgspec.UNSET


class RateCardBody(msgspec.Struct, forbid_unknown_fields=True):
    """A rate card, with the keys of `[[prices]]` in a catalog. The price beside `groups` is that of all other usage."""

    meter: str
    currency: str
    effective_at: str | msgspec.UnsetType = msgspec.UNSET
    minimum: Decimal | msgspec.UnsetType = msgspec.UNSET
    type: str | msgspec.UnsetType = msgspec.UNSET
    price: Decimal | msgspec.UnsetType = msgspec.UNSET
    tiers: list[TierBody] | msgspec.UnsetType = msgspec.UNSET
    package: Decimal | msgspec.UnsetType = msgspec.UNSET
    included: Decimal | msgspec.UnsetType = msgspec.UNSET
    groups: list[GroupPriceBody] | msgspec.UnsetType = msgspec.UNSET


class ProposedPrices(msgspec.Struct, forbid_unknown_fields=True):
    """Rate cards to try, one for each meter, as if they had been in force all the time: their `effective_at` does not
    matter. `from` and `to` are RFC 3339 instants or dates (UTC); without them it is the last calendar month."""

    prices: list[RateCardBody]
    from_: str | None = msgspec.field(default=None, name="from")
    to: str | None = None


class PriceChangeBody(msgspec.Struct):
    """Costs by the catalog, by the proposed cards, and by how much the latter are more. `unpriced` is usage that the
    proposed cards have no price for."""

    now: list[CostBody]
    proposed: list[CostBody]
    difference: list[CostBody]
    unpriced: Decimal


class OrganizationPriceChange(PriceChangeBody, kw_only=True):
    """Those of an organization."""

    organization: str
    name: str


class PricePreviewBody(msgspec.Struct):
    """A page of organizations by id, of `organization_count`. `meters` and `total` are of the page; `next_offset` is
    that of the next page, null on the last one."""

    namespace: str
    span: PeriodBody
    position: str
    organization_count: int
    organizations: list[OrganizationPriceChange]
    meters: dict[str, PriceChangeBody]
    total: PriceChangeBody
    next_offset: int | None


_EXAMPLE = {
    "prices": [
        {
            "meter": "tokens",
            "currency": "USD",
            "type": "graduated",
            "tiers": [{"up_to": 1_000_000, "price": "0.000003"}, {"price": "0.000002"}],
        }
    ]
}


def prices_router(previews: PricePreviews, authentication: Authentication) -> Router:
    """The route, closed over what it needs."""

    @post(
        "/v1/namespaces/{namespace:str}/prices/preview",
        status_code=200,
        operation_id="previewPrices",
        tags=["Catalogs"],
        guards=[authentication.operator_guard(Role.READ)],
        opt=described(answers={200: PricePreviewBody}, example=_EXAMPLE),
    )
    async def preview_prices(
        namespace: FromPath[str],
        data: JSONBody[ProposedPrices],
        offset: Annotated[int, Parameter(description="How many organizations to leave out.")] = 0,
        limit: Annotated[int, Parameter(description="Organizations of the page, 1 to 100.")] = 50,
    ) -> Response[bytes]:
        """What organizations would have paid in the past by other prices, beside what they pay by those of the catalog.
        Nothing is changed."""
        if not 1 <= limit <= MOST_ORGANIZATIONS_OF_A_PAGE:
            raise Invalid(f"limit: {limit} is not a number from 1 to {MOST_ORGANIZATIONS_OF_A_PAGE}")
        if not 0 <= offset <= _MOST_OFFSET:
            raise Invalid(f"offset: {offset} is not a number from 0 to {_MOST_OFFSET:,}")

        def previewed() -> PricePreview:
            meters = previews.catalogs.get(namespace).meters
            tables: list[dict[str, Any]] = msgspec.to_builtins(data.prices, builtin_types=(Decimal,))
            return previews.preview(namespace, parse_rate_cards(tables, meters), _span(data), offset, limit)

        return json_response(_preview(namespace, await asyncio.to_thread(previewed)))

    return Router("/", route_handlers=[preview_prices])


def rate_card_body(card: RateCard) -> RateCardBody:
    """A card as it is answered: without what is not said."""
    body = RateCardBody(card.meter, card.currency)
    if card.effective_at != FIRST_INSTANT:
        body.effective_at = format_instant(card.effective_at)
    if card.minimum:
        body.minimum = plain(card.minimum)
    if card.price is not None:
        _write_price(body, card.price)
    if card.groups:
        body.groups = []
        for texts, price in card.groups.items():
            group = GroupPriceBody(dict(zip(card.group_by, texts, strict=True)))
            _write_price(group, price)
            body.groups.append(group)
    return body


def _write_price(body: RateCardBody | GroupPriceBody, price: Price) -> None:
    body.type = price.type
    if price.type in (PriceType.GRADUATED, PriceType.VOLUME):
        body.tiers = [
            TierBody(plain(tier.price), msgspec.UNSET if tier.up_to is None else plain(tier.up_to))
            for tier in price.tiers
        ]
    else:
        body.price = plain(price.tiers[0].price)
    if price.type is PriceType.PACKAGE:
        body.package = plain(price.package)
    if price.included:
        body.included = plain(price.included)


def _span(data: ProposedPrices) -> Period | None:
    """The span that is asked for; None for the last month."""
    if data.from_ is None and data.to is None:
        return None
    if not data.from_ or not data.to:
        raise Invalid("from: must be given together with to")
    start, end = (instant_or_date(name, text) for name, text in (("from", data.from_), ("to", data.to)))
    assert start is not None  # neither text is empty
    assert end is not None
    return span_between(start, end, zone("UTC")).period


def _preview(namespace: str, preview: PricePreview) -> PricePreviewBody:
    return PricePreviewBody(
        namespace=namespace,
        span=period_body(preview.span),
        position=preview.position,
        organization_count=preview.of,
        organizations=[
            OrganizationPriceChange(organization=organization.id, name=organization.name, **_change(change))
            for organization, change in preview.organizations
        ],
        meters={meter: PriceChangeBody(**_change(change)) for meter, change in preview.meters.items()},
        total=PriceChangeBody(**_change(preview.total)),
        next_offset=preview.next_offset,
    )


def _change(change: PriceChange) -> dict[str, Any]:
    return {
        "now": cost_bodies(change.now),
        "proposed": cost_bodies(change.proposed),
        "difference": cost_bodies(subtract_amounts(change.proposed, change.now)),
        "unpriced": exactly(change.unpriced),
    }
