"""Whatever the code offers stands in the reference; and every link leads to something."""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import fields
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from cyclopts import App
from walkthrough import DOCS, File, steps

from meterhouse import cli
from meterhouse.contracts import installed, installed_of_namespaces
from meterhouse.domain import catalog_parser, rate_card_parser, telemetry_parser
from meterhouse.domain.meter import Aggregation, StateWindow
from meterhouse.domain.price import PriceType
from meterhouse.domain.telemetry import Signal
from meterhouse.http.observability import Metrics
from meterhouse.settings import Settings
from support.server import Server

ROOT = DOCS.parent
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**/*.md")


def code(text: str) -> set[str]:
    """Every text in backticks."""
    return set(re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)))


def row(text: str, first: str) -> str:
    """The table row whose first cell is this text in backticks; empty when there is none."""
    found = re.search(rf"^\| `{re.escape(first)}` \|.*$", text, re.MULTILINE)
    return found[0] if found else ""


def sections(text: str) -> dict[str, str]:
    """Heading → what stands below it, up to the next heading."""
    parts = re.split(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def undocumented_settings(docs: Path) -> list[str]:
    text = (docs / "reference/settings.md").read_text("utf-8")
    return [each.name for each in fields(Settings) if f"`{each.metadata['env']}`" not in row(text, each.name)]


def undocumented_options_of_contracts(docs: Path) -> list[str]:
    """Variables without a row, or with another default than the contract's."""
    text = (docs / "reference/settings.md").read_text("utf-8")
    missing = []
    for name, contract in {**installed(), **installed_of_namespaces()}.items():
        for option, default in msgspec.structs.asdict(contract.options).items():
            variable = f"METERHOUSE_{name}_{option}".upper()
            shown = row(text, variable)
            if not shown or (default != "" and f"| `{msgspec.to_builtins(default)}` |".lower() not in shown.lower()):
                missing.append(variable)
    return missing


def commands(app: App, path: tuple[str, ...] = ()) -> Iterator[tuple[str, App]]:
    """Every command that does something, and how it is called."""
    for name in app:
        if not name.startswith("-"):
            below = app[name]
            if below.default_command is not None:
                yield " ".join((*path, name)), below
            yield from commands(below, (*path, name))


def undocumented_options(docs: Path) -> list[str]:
    if "serve" not in cli.app:
        cli._commands()
    parts = sections((docs / "reference/cli.md").read_text("utf-8"))
    missing = []
    for name, command in commands(cli.app):
        body = parts.get(f"meterhouse {name}", "")
        named = {re.split(r"[ .](?=[A-Z])", each)[0] for each in code(body)}
        shown = [each for each in command.assemble_argument_collection() if each.show]
        assert shown, name
        missing += [f"{name} {option}" for each in shown for option in each.names if option not in named]
        missing += [name] if not body.strip() else []
    return missing


def undocumented_operations(docs: Path, document: dict) -> list[str]:  # type: ignore[type-arg]
    named = code((docs / "reference/api.md").read_text("utf-8"))
    operations = [f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item]
    assert len(operations) > 10
    return [each for each in operations if each not in named]


def undocumented_metrics(docs: Path) -> list[str]:
    text = (docs / "reference/metrics.md").read_text("utf-8")
    missing = []
    for collector in vars(Metrics()).values():
        if not hasattr(collector, "describe"):
            continue
        for family in collector.describe():
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = [f"`{label}`" for label in collector._labelnames]
            if family.type not in row(text, name) or not all(label in row(text, name) for label in labels):
                missing.append(name)
    return missing


def undocumented_catalog_keys(docs: Path) -> list[str]:
    text = (docs / "reference/catalogs.md").read_text("utf-8")
    keys = {*catalog_parser._METER_KEYS, *Aggregation, "slug", "description", "limits", "namespace", "contract"}
    missing = [key for key in ("[[meters]]", "[[plans]]", "[[prices]]", *sorted(keys)) if not row(text, key)]
    missing += [each for each in StateWindow if f"`{each}`" not in row(text, "window")]
    of_prices, of_telemetry = (code(sections(text).get(name, "")) for name in ("Prices", "Telemetry"))
    missing += sorted({*telemetry_parser.RULE_KEYS, *Signal} - of_telemetry)
    return missing + sorted({*rate_card_parser._CARD_KEYS, *PriceType, "group", "up_to"} - of_prices)


def undocumented_paths(docs: Path) -> list[str]:
    missing = []
    for name, contract in installed().items():
        page = docs / "contracts" / f"{name}.md"
        text = page.read_text("utf-8") if page.exists() else ""
        paths = [path for route in contract.routes for path in route.paths]
        missing += [f"{name} {path}" for path in paths if f"`GET {path}`" not in text]
        missing += [f"{name} {contract.key_format.prefix}"] if contract.key_format.prefix not in text else []
    for name, of_namespace in installed_of_namespaces().items():
        page = docs / "contracts" / f"{name}.md"
        named = code(page.read_text("utf-8")) if page.exists() else set()
        operations = [f"{each.method} {each.path}" for each in of_namespace.operations]
        missing += [f"{name} {each}" for each in operations if each not in named]
    return missing


def broken_links(root: Path) -> list[str]:
    broken = []
    for page in sorted(page for pattern in PAGES for page in root.glob(pattern)):
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
            place, _, anchor = target.partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            there = page.parent / place if place else page
            if not there.exists() or (anchor and anchor not in anchors(there)):
                broken.append(f"{page.relative_to(root)}: {target}")
    return broken


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links."""
    headings = sections(page.read_text("utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_setting_is_documented() -> None:
    assert undocumented_settings(DOCS) == []


def test_every_option_of_a_contract_is_documented() -> None:
    assert undocumented_options_of_contracts(DOCS) == []


def test_every_command_and_option_is_documented() -> None:
    assert undocumented_options(DOCS) == []


def test_every_operation_is_documented(server: Server) -> None:
    assert undocumented_operations(DOCS, server.http.get("/openapi.json").json()) == []


def test_every_metric_is_documented() -> None:
    assert undocumented_metrics(DOCS) == []


def test_every_key_of_a_catalog_and_every_aggregation_is_documented() -> None:
    assert undocumented_catalog_keys(DOCS) == []


def test_every_path_of_a_contract_is_documented() -> None:
    assert undocumented_paths(DOCS) == []


def test_every_link_leads_to_something() -> None:
    assert broken_links(ROOT) == []


def test_the_example_catalog_can_be_used_and_has_every_key() -> None:
    [example] = [step for step in steps(DOCS / "reference/catalogs.md") if isinstance(step, File)]
    document = tomllib.loads(example.content, parse_float=Decimal)
    parsed = catalog_parser.parse_catalog(document, "the example")
    assert {meter.aggregation for meter in parsed.meters.values()} == set(Aggregation)
    assert {key for meter in document["meters"] for key in meter} == catalog_parser._METER_KEYS


@pytest.mark.parametrize(
    ("page", "removed", "check", "found"),
    [
        ("reference/settings.md", "`METERHOUSE_LEDGER_URL`", undocumented_settings, "ledger_url"),
        ("reference/settings.md", "| `now` |", undocumented_settings, "now"),
        (
            "reference/settings.md",
            "`METERHOUSE_ONEPIN_JWKS`",
            undocumented_options_of_contracts,
            "METERHOUSE_ONEPIN_JWKS",
        ),
        (
            "reference/settings.md",
            "| `500` |",
            undocumented_options_of_contracts,
            "METERHOUSE_OCTOLENS_REQUESTS_PER_HOUR",
        ),
        ("reference/cli.md", "`--csv.id STR`", undocumented_options, "ingest --csv.id"),
        ("reference/cli.md", "`--csv.column.PROPERTY COLUMN`", undocumented_options, "ingest --csv.column"),
        ("reference/cli.md", "## meterhouse usage", undocumented_options, "usage"),
        ("reference/metrics.md", "`meterhouse_stored_events`", undocumented_metrics, "meterhouse_stored_events"),
        ("reference/metrics.md", "`outcome`", undocumented_metrics, "meterhouse_events_total"),
        ("reference/catalogs.md", "`counted_states`", undocumented_catalog_keys, "counted_states"),
        ("reference/catalogs.md", "`UNIQUE_COUNT`", undocumented_catalog_keys, "UNIQUE_COUNT"),
        ("reference/catalogs.md", "| `metric` |", undocumented_catalog_keys, "metric"),
        ("reference/catalogs.md", "`minimum`", undocumented_catalog_keys, "minimum"),
        ("contracts/unsiloed.md", "`GET /org/get_usage`", undocumented_paths, "unsiloed /org/get_usage"),
        ("contracts/openmeter.md", "`GET /api/v2/events`", undocumented_paths, "openmeter GET /api/v2/events"),
    ],
)
def test_what_is_taken_out_of_a_page_is_missed(
    tmp_path: Path, page: str, removed: str, check: Callable[[Path], list[str]], found: str
) -> None:
    copy = shutil.copytree(DOCS, tmp_path / "docs")
    text = (copy / page).read_text("utf-8")
    assert removed in text
    (copy / page).write_text(text.replace(removed, ""), "utf-8")
    assert found in check(copy)


def test_a_missing_operation_and_a_broken_link_are_missed(tmp_path: Path) -> None:
    document = {"paths": {f"/v1/new/{n}": {"get": {}} for n in range(11)}}
    assert len(undocumented_operations(DOCS, document)) == 11
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("[a](docs/b.md) [c](https://d.example) [e](#f) [g](#h-i)\n\n## H: `i`\n")
    assert broken_links(tmp_path) == ["README.md: docs/b.md", "README.md: #f"]


def test_every_test_that_a_promise_names_is_there() -> None:
    named = [text for text in code((DOCS / "reference/promises.md").read_text("utf-8")) if text.startswith("tests/")]
    assert len(named) > 10
    for each in named:
        path, _, function = each.partition("::")
        assert f"\ndef {function}(" in (ROOT / path).read_text("utf-8"), each
