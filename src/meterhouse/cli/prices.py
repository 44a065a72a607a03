"""`meterhouse prices …`."""

from __future__ import annotations

import json as plain_json
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from ..domain.errors import Invalid
from ..domain.llm_price_table import TokenKind, TokenPrices, read_token_prices
from ..domain.meter import Aggregation, Meter
from ..domain.rate_card_parser import parse_rate_cards
from .arguments import Json, Namespace
from .catalogs import catalogs_of
from .files import File, keep
from .target import Target, connect
from .terminal import Failed, errors, print_json, print_table

_LOCAL = Target()
_PAGE = 100
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)

prices = App(name="prices", help="Rate cards: what usage costs.")


def register(app: App) -> None:
    """Adds the commands."""
    app.command(prices)


@prices.command(name="list")
def list_prices(*, namespace: Namespace = None, json: Json = False, target: Target = _LOCAL) -> None:
    """Lists the rate cards of all namespaces, or of one: a row for each price."""
    found = [
        {"namespace": each["namespace"], **row} for each in catalogs_of(target, namespace) for row in each["prices"]
    ]
    if json:
        print_json(found)
        return
    columns = ["namespace", "meter", "from", "group", "price", "included #", "currency", "minimum #"]
    print_table("Prices", columns, [row for card in found for row in _rows(card)])


@prices.command(name="import")
def import_prices(
    file: File,
    *,
    namespace: str,
    input_meter: str | None = None,
    output_meter: str | None = None,
    cached_meter: str | None = None,
    cache_write_meter: str | None = None,
    model: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    provider: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    by: str = "model",
    currency: str = "USD",
    effective_at: str | None = None,
    into: str = "-",
    target: Target = _LOCAL,
) -> None:
    """Makes rate cards in TOML, for a catalog, of the public table of what language models cost by the token.

    Parameters
    ----------
    file
        The table, in the format of LiteLLM's model_prices_and_context_window.json; - for standard input.
    namespace
        Whose meters the prices are for.
    input_meter
        The meter of input tokens, priced by input_cost_per_token.
    output_meter
        The meter of output tokens, priced by output_cost_per_token.
    cached_meter
        The meter of input tokens that were read from a cache, priced by cache_read_input_token_cost.
    cache_write_meter
        The meter of input tokens that were written to a cache, priced by cache_creation_input_token_cost.
    model
        Only this model; may be repeated. All when absent.
    provider
        Only the models of this provider (litellm_provider); may be repeated.
    by
        The group-by property of the meters that has the model's name.
    currency
        The currency of the table.
    effective_at
        The RFC 3339 instant from which on the prices are in force; always when absent.
    into
        A new file to write; standard output when absent.
    """
    asked = {
        TokenKind.INPUT: input_meter,
        TokenKind.OUTPUT: output_meter,
        TokenKind.CACHED: cached_meter,
        TokenKind.CACHE_WRITE: cache_write_meter,
    }
    meters = {kind: meter for kind, meter in asked.items() if meter is not None}
    if not meters:
        raise Failed("name a meter to price: --input-meter, --output-meter, --cached-meter or --cache-write-meter")
    try:
        found = read_token_prices(_table(file), list(meters), model, provider)
    except Invalid as wrong:
        raise Failed(f"{file}: {wrong}") from None
    cards = [
        {
            "meter": meter,
            "currency": currency,
            **({} if effective_at is None else {"effective_at": effective_at}),
            "groups": [{"group": {by: name}, "price": price} for name, price in found.prices[kind].items()],
        }
        for kind, meter in meters.items()
        if found.prices[kind]
    ]
    [catalog] = catalogs_of(target, namespace)
    known = {each["slug"]: _meter(each) for each in catalog["meters"]}
    for missing in {*meters.values()} - known.keys():
        raise Failed(f"{namespace} has no meter {missing!r}; it has {', '.join(sorted(known))}")
    parse_rate_cards(cards, known)
    keep(into, iter(["".join(_toml(cards)).encode()]))
    _report(found, meters)


@prices.command(name="preview")
def preview_prices(
    file: Path,
    *,
    namespace: str,
    start: Annotated[str | None, Parameter(name="--from")] = None,
    end: Annotated[str | None, Parameter(name="--to")] = None,
    json: Json = False,
    target: Target = _LOCAL,
) -> None:
    """Shows what every organization would have paid by other prices, and what it pays by those of the catalog.

    Parameters
    ----------
    file
        A TOML file with the [[prices]] to try; a whole catalog will do, of which only they are read.
    namespace
        Whose organizations' usage is priced.
    start
        An RFC 3339 instant or a date (UTC); the last calendar month when absent.
    end
        The same, exclusive; must be given where --from is.
    """
    body = {"prices": _proposed(file), "from": start, "to": end}
    pages: list[dict[str, Any]] = []
    offset: int | None = 0
    with connect(target, engine=True) as client:
        while offset is not None:
            query = {"offset": str(offset), "limit": str(_PAGE)}
            pages.append(client.call("POST", f"/v1/namespaces/{namespace}/prices/preview", body, query=query))
            offset = pages[-1]["next_offset"]
    if json:
        print_json(pages)
        return
    span = pages[0]["span"]
    rows = [[each["organization"], *_change(each)] for page in pages for each in page["organizations"]]
    columns = ["organization", "now #", "proposed #", "difference #", "without a price #"]
    print_table(f"Prices of {namespace}, {span['start']} to {span['end']}", columns, rows)


def _table(file: str) -> object:
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return msgspec.json.Decoder(float_hook=Decimal).decode(content)
    except OSError as wrong:
        raise Failed(f"{file} cannot be read: {wrong.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise Failed(f"{file} is not JSON: {wrong}") from None


def _meter(found: Mapping[str, Any]) -> Meter:
    """A meter as far as its prices depend on it."""
    aggregation, group_by = Aggregation(found["aggregation"]), tuple(found["group_by"])
    return Meter(found["slug"], found["event_type"], aggregation, group_by=group_by)


def _toml(cards: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for card in cards:
        yield "[[prices]]\n"
        yield from (f"{key} = {_quoted(card[key])}\n" for key in ("meter", "currency", "effective_at") if key in card)
        yield "groups = [\n"
        for each in card["groups"]:
            [(name, text)] = each["group"].items()
            yield f"    {{ group = {{ {_key(name)} = {_quoted(text)} }}, price = {_quoted(each['price'])} }},\n"
        yield "]\n\n"


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    """A basic string of TOML, which is one of JSON but for the last of the control characters."""
    return plain_json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _report(found: TokenPrices, meters: Mapping[TokenKind, str]) -> None:
    """On standard error: what is in the cards, and what is not."""
    for kind, meter in meters.items():
        without = f"; {found.without[kind]} models have no {kind}" if found.without[kind] else ""
        _say(f"{meter}: {len(found.prices[kind])} models priced by {kind}{without}")
    if found.depending:
        _say(
            f"not read: other prices for long requests, batches or priority, which {len(found.depending)} models have, "
            f"such as {found.depending[0]}"
        )


def _say(text: str) -> None:
    errors.print(text, markup=False, highlight=False, soft_wrap=True)


def _proposed(file: Path) -> list[dict[str, Any]]:
    try:
        document = tomllib.loads(file.read_text("utf-8"), parse_float=Decimal)
    except OSError as wrong:
        raise Failed(f"{file} cannot be read: {wrong.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise Failed(f"{file} is not TOML: {wrong}") from None
    found = document.get("prices")
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise Failed(f"{file} has no [[prices]]; a rate card begins with that line")
    return [_written(each) for each in found]


def _written(card: dict[str, Any]) -> dict[str, Any]:
    at = card.get("effective_at")
    return {**card, "effective_at": at.isoformat()} if isinstance(at, datetime) else card


def _change(change: Mapping[str, Any]) -> list[str]:
    amounts = [costs_text(change[name]) for name in ("now", "proposed", "difference")]
    return [*amounts, str(change["unpriced"])]


def costs_text(costs: Sequence[Mapping[str, Any]]) -> str:
    """Costs as people read them, each currency for itself."""
    return " + ".join(f"{each['display']} {each['currency']}" for each in costs) or "—"


def _rows(card: Mapping[str, Any]) -> Iterator[list[Any]]:
    parts: list[tuple[str, Mapping[str, Any]]] = []
    if "type" in card:
        parts.append(("all else" if "groups" in card else "", card))
    parts += [(" · ".join(each["group"].values()), each) for each in card.get("groups", ())]
    for name, price in parts:
        yield [
            card["namespace"],
            card["meter"],
            card.get("effective_at"),
            name,
            _price(price),
            price.get("included"),
            card["currency"],
            card.get("minimum"),
        ]


def _price(price: Mapping[str, Any]) -> str:
    if "tiers" in price:
        tiers = (
            f"up to {each['up_to']!s}: {each['price']!s}" if "up_to" in each else f"then {each['price']!s}"
            for each in price["tiers"]
        )
        return f"{price['type']}: {', '.join(tiers)}"
    return f"{price['price']!s} for {price['package']!s} begun" if "package" in price else f"{price['price']!s} a unit"
