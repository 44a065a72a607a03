"""`meterhouse prices …`, as people and scripts use it."""

from __future__ import annotations

import json
import tomllib
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_cli import meterhouse

from meterhouse.cli.prices import _toml
from meterhouse.domain.catalog_parser import parse_catalog

CATALOG = """
namespace = "acme"

[[meters]]
slug = "input_tokens"
event_type = "llm.call"
aggregation = "SUM"
value = "input"
group_by = "model"

[[meters]]
slug = "cached_tokens"
event_type = "llm.call"
aggregation = "SUM"
value = "cached"
group_by = "model"

[[meters]]
slug = "calls"
event_type = "llm.call"
aggregation = "COUNT"
"""
TABLE = {
    "sample_spec": {"input_cost_per_token": 0.0},
    "small": {"litellm_provider": "a", "input_cost_per_token": 1.5e-07, "cache_read_input_token_cost": 7.5e-08},
    'lar"ge': {"litellm_provider": "b", "input_cost_per_token": 2e-06, "input_cost_per_token_batches": 1e-06},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "acme.toml").write_text(CATALOG)
    (tmp_path / "table.json").write_text(json.dumps(TABLE))
    return tmp_path


def imported(folder: Path, *arguments: str) -> tuple[int, str, str]:
    done = meterhouse(
        "prices", "import", "table.json", "--namespace", "acme", *arguments, cwd=folder, METERHOUSE_CATALOGS="acme.toml"
    )
    return done.returncode, done.stdout, done.stderr


def test_imports_the_table_of_language_models_into_rate_cards(folder: Path) -> None:
    code, printed, said = imported(folder, "--input-meter", "input_tokens", "--cached-meter", "cached_tokens")
    assert code == 0, said
    catalog = parse_catalog(tomllib.loads(CATALOG + printed, parse_float=Decimal), "acme.toml")
    [of_input], [of_cached] = catalog.prices["input_tokens"], catalog.prices["cached_tokens"]
    found = {texts: price.tiers[0].price for texts, price in of_input.groups.items()}
    assert found == {("small",): Decimal("0.00000015"), ('lar"ge',): Decimal("0.000002")}
    assert [*of_cached.groups] == [("small",)]
    assert said == (
        "input_tokens: 2 models priced by input_cost_per_token\n"
        "cached_tokens: 1 models priced by cache_read_input_token_cost; 1 models have no cache_read_input_token_cost\n"
        'not read: other prices for long requests, batches or priority, which 1 models have, such as lar"ge\n'
    )
    assert not (folder / "meterhouse-data").exists()


def test_into_a_file_that_a_server_starts_with(folder: Path) -> None:
    options = ("--input-meter", "input_tokens", "--model", "small", "--effective-at", "2026-01-01T00:00:00Z")
    code, printed, _ = imported(folder, *options, "--into", "prices.toml")
    assert (code, printed) == (0, "")
    code, _, said = imported(folder, *options, "--into", "prices.toml")
    assert (code, said) == (1, "error: prices.toml is there already: name another file, or remove it\n")
    (folder / "acme.toml").write_text(CATALOG + (folder / "prices.toml").read_text())
    listed = meterhouse("prices", "list", cwd=folder, METERHOUSE_CATALOGS="acme.toml")
    assert listed.returncode == 0, listed.stderr
    assert "0.00000015 a unit" in listed.stdout
    [card] = json.loads(meterhouse("prices", "list", "--json", cwd=folder, METERHOUSE_CATALOGS="acme.toml").stdout)
    assert (card["effective_at"], card["groups"][0]["group"]) == ("2026-01-01T00:00:00Z", {"model": "small"})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name a meter to price: --input-meter"),
        (("--input-meter", "tokens"), "acme has no meter 'tokens'; it has cached_tokens, calls, input_tokens"),
        (("--input-meter", "calls"), "'calls' cannot be grouped by 'model'"),
        (("--input-meter", "input_tokens", "--by", "llm"), "cannot be grouped by 'llm'; its group_by has model"),
        (("--input-meter", "input_tokens", "--currency", "XYZ"), "'XYZ' is not a currency in use by ISO 4217"),
        (("--input-meter", "input_tokens", "--model", "smal"), "table.json: has no model 'smal'; did you mean small?"),
        (("--input-meter", "input_tokens", "--effective-at", "soon"), "effective_at: 'soon' is not an RFC 3339"),
        (("--input-meter", "input_tokens", "--provider", "c"), "has no model of that choice"),
    ],
)
def test_says_what_is_wrong_with_an_import(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    code, printed, error = imported(folder, *arguments)
    assert (code, printed) == (1, "")
    assert said in error


@pytest.mark.parametrize(
    ("content", "said"), [("{", "is not JSON"), ("[]", "is not an object of models"), (None, "cannot")]
)
def test_a_table_that_cannot_be_read_is_named(folder: Path, content: str | None, said: str) -> None:
    (folder / "table.json").unlink()
    if content is not None:
        (folder / "table.json").write_text(content)
    code, _, error = imported(folder, "--input-meter", "input_tokens")
    assert code == 1
    assert error.startswith("error: table.json")
    assert said in error


def test_previews_other_prices_and_tells_costs(folder: Path) -> None:
    priced = '[[prices]]\nmeter = "calls"\ncurrency = "CHF"\nprice = "0.5"\n'
    (folder / "acme.toml").write_text(CATALOG + priced)
    (folder / "other.toml").write_text(priced.replace("0.5", "0.75") + "effective_at = 2026-01-01T00:00:00Z\n")
    env = {"METERHOUSE_CATALOGS": "acme.toml", "METERHOUSE_NOW": "2026-03-15T12:00:00Z"}
    assert meterhouse("org", "add", "a", "--namespace", "acme", "--name", "A", cwd=folder, **env).returncode == 0
    events = [
        {
            "specversion": "1.0",
            "id": f"{n}",
            "source": "s",
            "type": "llm.call",
            "subject": "a",
            "time": f"2026-02-0{n}T09:00:00Z",
        }
        | {"data": {"input": 1, "cached": 0, "model": "small"}}
        for n in range(1, 4)
    ]
    stdin = "\n".join(json.dumps(each) for each in events)
    assert meterhouse("ingest", "-", "--namespace", "acme", cwd=folder, stdin=stdin, **env).returncode == 0
    shown = meterhouse("prices", "preview", "other.toml", "--namespace", "acme", cwd=folder, **env)
    assert shown.returncode == 0, shown.stderr
    assert "1.50 CHF │ 2.25 CHF │   0.75 CHF" in shown.stdout
    of_usage = meterhouse("usage", "a", "--costs", cwd=folder, **env)
    assert "1.50 CHF" in of_usage.stdout
    query = ("query", "calls", "--organization", "a", "--from", "2026-02-01", "--to", "2026-02-03", "--costs")
    assert "1.00 CHF" in meterhouse(*query, cwd=folder, **env).stdout
    assert "0.50 CHF" in meterhouse(*query, "--window", "day", cwd=folder, **env).stdout
    refused = meterhouse("prices", "preview", "table.json", "--namespace", "acme", cwd=folder, **env)
    assert refused.stderr.startswith("error: table.json is not TOML")
    refused = meterhouse("prices", "preview", "acme.toml", "--namespace", "nobody", cwd=folder, **env)
    assert (refused.returncode, "unknown namespace 'nobody'" in refused.stderr) == (1, True)


@given(name=st.text(max_size=20), text=st.text(max_size=40))
def test_every_text_survives_the_writing(name: str, text: str) -> None:
    card = {"meter": "m", "currency": "USD", "groups": [{"group": {name: text}, "price": "1"}]}
    assert tomllib.loads("".join(_toml([card]))) == {"prices": [card]}
