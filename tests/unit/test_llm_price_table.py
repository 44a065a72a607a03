"""Reading the public table of what language models cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from meterhouse.domain.errors import Invalid
from meterhouse.domain.llm_price_table import TokenKind, read_token_prices

TABLE = b"""{
 "sample_spec": {"input_cost_per_token": 0.0, "litellm_provider": "one of them", "max_tokens": "a text"},
 "gpt-small": {"litellm_provider": "openai", "mode": "chat", "max_tokens": 128000, "input_cost_per_token": 1.5e-07,
   "output_cost_per_token": 6e-07, "cache_read_input_token_cost": 7.5e-08, "supports_vision": true},
 "gemini-long": {"litellm_provider": "vertex_ai", "input_cost_per_token": 1.25e-06, "output_cost_per_token": 1e-05,
   "input_cost_per_token_above_200k_tokens": 2.5e-06},
 "free": {"litellm_provider": "vertex_ai", "input_cost_per_token": 0.0, "output_cost_per_token": 0},
 "dall-e": {"litellm_provider": "openai", "mode": "image_generation", "output_cost_per_image": 0.04},
 "nothing": {"litellm_provider": "openai", "input_cost_per_token": null}
}"""
ALL = (TokenKind.INPUT, TokenKind.OUTPUT, TokenKind.CACHED)


def decoded() -> Any:
    return msgspec.json.Decoder(float_hook=Decimal).decode(TABLE)


def test_prices_are_read_digit_by_digit() -> None:
    found = read_token_prices(decoded(), ALL)
    assert found.prices == {
        TokenKind.INPUT: {"gpt-small": "0.00000015", "gemini-long": "0.00000125", "free": "0"},
        TokenKind.OUTPUT: {"gpt-small": "0.0000006", "gemini-long": "0.00001", "free": "0"},
        TokenKind.CACHED: {"gpt-small": "0.000000075"},
    }
    assert found.without == {TokenKind.INPUT: 0, TokenKind.OUTPUT: 0, TokenKind.CACHED: 2}
    assert found.depending == ["gemini-long"]


def test_some_models_and_providers() -> None:
    assert [*read_token_prices(decoded(), ALL, ["free"]).prices[TokenKind.INPUT]] == ["free"]
    assert [*read_token_prices(decoded(), ALL, (), ["openai"]).prices[TokenKind.INPUT]] == ["gpt-small"]


@pytest.mark.parametrize(
    ("given", "models", "said"),
    [
        ([], (), "is not an object of models"),
        ({"a": 1}, (), "is not an object of models"),
        (decoded(), ["gpt-smal"], "has no model 'gpt-smal'; did you mean gpt-small?"),
        (decoded(), ["sample_spec"], "has no model 'sample_spec'"),
        (decoded(), ["dall-e"], "has no model of that choice with a price by the token"),
        ({}, (), "has no model of that choice"),
        ({"a": {"input_cost_per_token": -1}}, (), "'a': input_cost_per_token must not be negative"),
        ({"a": {"input_cost_per_token": "free"}}, (), "'a': input_cost_per_token: 'free' is not a decimal number"),
        ({"a": {"input_cost_per_token": []}}, (), "'a': input_cost_per_token is '[]', which is not a number"),
        ({"a": {"input_cost_per_token": True}}, (), "which is not a number"),
        ({"a": {"input_cost_per_token": Decimal("1e-29")}}, (), "has more than 28 decimal places"),
    ],
)
def test_what_is_no_such_table_is_refused(given: Any, models: list[str], said: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_token_prices(given, ALL, models)
    assert said in str(refused.value)
