"""The public table of what language models cost by the token: LiteLLM's `model_prices_and_context_window.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from enum import StrEnum
from typing import Any

from .errors import Invalid
from .quantity import parse_quantity, plain

SAMPLE = "sample_spec"
"""The entry that explains the others."""


class TokenKind(StrEnum):
    """The prices that are read, by their keys in the table."""

    INPUT = "input_cost_per_token"
    OUTPUT = "output_cost_per_token"
    CACHED = "cache_read_input_token_cost"
    CACHE_WRITE = "cache_creation_input_token_cost"


@dataclass(frozen=True, slots=True)
class TokenPrices:
    """What was read of a table."""

    prices: Mapping[TokenKind, Mapping[str, str]]
    """Of each kind that was asked for: by model, what a token costs, exactly as a decimal."""
    without: Mapping[TokenKind, int]
    """How many of the models have no price of that kind, and are not in its prices."""
    depending: Sequence[str]
    """The models that have other prices for long requests, batches, or a priority, which are not read."""


def read_token_prices(
    table: object, kinds: Sequence[TokenKind], models: Sequence[str] = (), providers: Sequence[str] = ()
) -> TokenPrices:
    """The prices of some models, of some providers, or of all. `table` is decoded JSON, its numbers as `Decimal` or
    int. Raises `Invalid`, naming the model, for what is no such table and for a price that is none."""
    if not isinstance(table, dict) or not all(isinstance(entry, dict) for entry in table.values()):
        raise Invalid("is not an object of models, each an object with input_cost_per_token and the like")
    for model in models:
        if model not in table or model == SAMPLE:
            nearest = get_close_matches(model, table, 1)
            hint = f"did you mean {nearest[0]}?" if nearest else "look it up in the file"
            raise Invalid(f"has no model {model[:100]!r}; {hint}")
    chosen = {
        model: entry
        for model, entry in table.items()
        if model != SAMPLE
        and (not models or model in models)
        and (not providers or entry.get("litellm_provider") in providers)
        and any(entry.get(kind) is not None for kind in TokenKind)
    }
    if not chosen:
        raise Invalid("has no model of that choice with a price by the token")
    prices = {
        kind: {
            model: _price(model, kind, entry[kind]) for model, entry in chosen.items() if entry.get(kind) is not None
        }
        for kind in kinds
    }
    without = {kind: len(chosen) - len(prices[kind]) for kind in kinds}
    return TokenPrices(prices, without, [model for model, entry in chosen.items() if _depends(entry, kinds)])


def _price(model: str, kind: TokenKind, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise Invalid(f"{model[:100]!r}: {kind} is {str(value)[:40]!r}, which is not a number")
    try:
        number = parse_quantity(str(value))
    except Invalid as wrong:
        raise Invalid(f"{model[:100]!r}: {kind}: {wrong}") from None
    if number < 0:
        raise Invalid(f"{model[:100]!r}: {kind} must not be negative")
    return str(plain(number))


def _depends(entry: Mapping[str, Any], kinds: Sequence[TokenKind]) -> bool:
    return any(key.startswith(f"{kind}_") and value is not None for key, value in entry.items() for kind in kinds)
