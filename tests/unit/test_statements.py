"""Every statement that the storage engine speaks, named and finished, beside a file with its text.

`UPDATE_STATEMENTS=1 pytest tests/unit/test_statements.py` writes the files anew; what changed is seen in the diff.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from meterhouse.domain.event_search import (
    AllOf,
    AnyOf,
    Attribute,
    Comparison,
    EventSearch,
    Moment,
    MomentTest,
    Not,
    OneOf,
    TextTest,
)
from meterhouse.domain.export import ExportForm, Selection
from meterhouse.domain.listing import EventPosition, EventQuery, PropertyMatch
from meterhouse.domain.meter import BY_ORGANIZATION, Aggregation, GroupSet, Meter, MeterQuery, StateWindow
from meterhouse.domain.retention import Redaction, RetainedFields
from meterhouse.storage import clickhouse
from meterhouse.storage.clickhouse.engine.statement import RawScan, Statement
from meterhouse.storage.clickhouse.engine.table_form import EMBEDDED, TableForm
from meterhouse.storage.clickhouse.rollups.definition import Kind, ReadPlan, RollupDefinition, SlotRange, definitions_of

FOLDER = Path(__file__).parent / "statements"
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
NOON = MIDNIGHT + timedelta(hours=12)
MODULES = {
    module.name.removeprefix(f"{clickhouse.__name__}."): importlib.import_module(module.name)
    for module in pkgutil.walk_packages(clickhouse.__path__, f"{clickhouse.__name__}.")
    if module.name.endswith("_queries")
}

TOKENS = Meter("tokens", "call", Aggregation.SUM, values=("input", "output"), group_by=("model",))
CALLS = Meter("calls", "call", Aggregation.COUNT, group_by=("model",))
LATENCY = Meter("latency", "call", Aggregation.MAX, values=("latency_ms",))
DISK = Meter("disk", "disk", Aggregation.LATEST, values=("gb",))
USERS = Meter("users", "call", Aggregation.UNIQUE_COUNT, values=("user.id",))
JOBS = Meter("jobs", "job", Aggregation.STATE_COUNT, entity="job", state="state", group_by=("queue",))
SCANS = (RawScan(7, within=((MIDNIGHT, NOON),)), RawScan(7))
SLOTS = (SlotRange(1, 70_000, 70_010), SlotRange(96, 70_080, 70_176))
APART = ReadPlan(SLOTS, (), (("acme", 70_003), ("emca", 70_090)))
AT = EventPosition(NOON, 5, 3)
FORMS = {
    "embedded": EMBEDDED,
    "on a server": TableForm(on_server=True),
    "on a cluster": TableForm(on_server=True, cluster="meterhouse"),
}


def query(*meters: Meter, **changes: Any) -> MeterQuery:
    return MeterQuery("ns", "acme", meters, changes.pop("edges", (MIDNIGHT, NOON, None)), 9, **changes)


def definition(meter: Meter, group: str = "") -> RollupDefinition:
    return definitions_of("ns", meter, group)[0]


def samples() -> dict[str, Statement]:
    """Questions whose statements show all that a statement can be."""
    read, rollup, log = (MODULES[f"read.{name}"] for name in ("measure_queries", "rollup_queries", "event_queries"))
    unique, entity = (MODULES[f"read.{name}"] for name in ("unique_queries", "entity_queries"))
    redaction = MODULES["maintenance.redaction_queries"]
    materialize = MODULES["rollups.materialize_queries"]
    listed = EventQuery("ns", "acme", "call", MIDNIGHT, NOON, 9, 50, {"model": ("a", "b")})
    kept = Redaction("ns", NOON, {"call": RetainedFields(("input", "usage.output"), ("model",))})
    whole = (MIDNIGHT, NOON)
    found: dict[str, Statement] = {
        "read.MeasureQuery": read.MeasureQuery(query(TOKENS, CALLS, group_by=("model",)), corrected=False),
        "read.MeasureQuery, corrected, filtered": read.MeasureQuery(
            query(LATENCY, DISK, USERS, filters=(("model", ("a",)),), edges=whole, most_groups=100),
            SCANS[0],
            corrected=True,
        ),
        "read.StateQuery": read.StateQuery(query(JOBS, group_by=("queue",)), corrected=True),
        "read.StateQuery, now": read.StateQuery(query(JOBS, state_window=StateWindow.NOW), corrected=False),
        "read.RollupQuery": rollup.RollupQuery(
            query(TOKENS, group_by=("model",)), definitions_of("ns", TOKENS, "model"), ReadPlan(SLOTS, ())
        ),
        "read.RollupQuery, of a namespace": rollup.RollupQuery(
            query(TOKENS, group_by=(BY_ORGANIZATION, "model"), filters=(("model", ("a", "b")),), most_groups=100),
            definitions_of("ns", TOKENS, "model"),
            APART,
        ),
        "read.TopQuery": rollup.TopQuery(
            query(TOKENS, CALLS, group_by=("model",), edges=whole),
            10,
            [definitions_of("ns", meter, "model") for meter in (TOKENS, CALLS)],
            ReadPlan(SLOTS, ()),
            SCANS,
            corrected=False,
        ),
        "read.TopQuery, of a namespace": rollup.TopQuery(
            replace(query(LATENCY, group_by=(BY_ORGANIZATION,), edges=whole), organization=None),
            10,
            [definitions_of("ns", LATENCY)],
            APART,
            [RawScan(7, slots=APART.slots_apart)],
            corrected=True,
        ),
        "read.ValuesQuery": unique.ValuesQuery(
            replace(query(USERS, group_by=(BY_ORGANIZATION,)), organization=None),
            definitions_of("ns", USERS),
            APART,
            [RawScan(7)],
            corrected=False,
        ),
        "read.DifferentValues": unique.DifferentValues(
            query(USERS, filters=(("model", ("a", "b")),), edges=whole, most_values=1_000),
            (),
            ReadPlan((), ()),
            [RawScan()],
            corrected=True,
        ),
        "read.DifferentValues, of a namespace": unique.DifferentValues(
            replace(query(USERS, group_by=(BY_ORGANIZATION,), most_groups=100), organization=None),
            definitions_of("ns", USERS),
            APART,
            [RawScan(7)],
            corrected=False,
        ),
        "read.RankedValuesQuery": unique.RankedValuesQuery(
            query(
                USERS, group_by=("model", "region"), edges=whole, without=GroupSet(("model", "region"), (("a", "b"),))
            ),
            10,
            (),
            ReadPlan((), ()),
            [RawScan()],
            corrected=False,
        ),
        "read.UniqueQuery": unique.UniqueQuery(query(USERS), definition(USERS), SLOTS, SCANS, corrected=False),
        "read.RolledUpValues": unique.RolledUpValues(query(USERS), definition(USERS), ["u1", "u2"]),
        "read.ValuesInSlots": unique.ValuesInSlots(query(USERS), definition(USERS), SLOTS, ["u1"]),
        "read.CountedStates": entity.CountedStates(query(JOBS, group_by=("queue",)), definition(JOBS), SLOTS),
        "read.FreshEntities": entity.FreshEntities(query(JOBS, group_by=("queue",)), definition(JOBS), SCANS),
        "read.RolledUpEntities": entity.RolledUpEntities(query(JOBS), definition(JOBS), ["j1"]),
        "read.FirstQuery": rollup.FirstQuery(RollupDefinition("ns", Kind.FIRST), "acme", 7),
        "read.FirstEventQuery": log.FirstEventQuery("ns", "acme"),
        "read.ListEventsQuery": log.ListEventsQuery(listed, corrected=True),
        "read.PropertyMatchQuery": log.PropertyMatchQuery(PropertyMatch("ns", "acme", "user.id", "u1"), 9, 100),
        "read.SearchEventsQuery": MODULES["read.search_queries"].SearchEventsQuery(
            EventSearch(
                "ns",
                AllOf(
                    (
                        TextTest(Attribute.ID, Comparison.LIKE, "a%"),
                        Not(OneOf(Attribute.ORGANIZATION, ("acme", "globex"))),
                        AnyOf((MomentTest(Moment.STORED_AT, Comparison.GREATER_OR_EQUAL, MIDNIGHT),)),
                    )
                ),
                50,
                (NOON, "acme", "gateway", "e1"),
            )
        ),
        "read.SearchEventsQuery, counted": MODULES["read.search_queries"].SearchEventsQuery(
            EventSearch("ns", OneOf(Attribute.TYPE, ("call",)), 1), counted=True
        ),
        "read.ExportQuery, ndjson": log.ExportQuery(Selection("ns", "acme"), ExportForm.NDJSON, 9),
        "read.ExportQuery, parquet": log.ExportQuery(Selection(None, None), ExportForm.PARQUET, 9),
        "dedup.EventsBetweenHashes": MODULES["dedup.identity_queries"].EventsBetweenHashes([(1, 2), (5, 9)]),
        "maintenance.RedactableQuery": redaction.RedactableQuery(kept),
        "maintenance.Redact": redaction.Redact(kept),
    }
    meters = {"first": None, "slots": TOKENS, "unique": USERS, "states": JOBS}
    for name, meter in meters.items():
        of = definitions_of("ns", meter, "") if meter else (RollupDefinition("ns", Kind.FIRST),)
        types = {("ns", meter.event_type)} if meter else set()
        steps = materialize.MaterializeSteps(of, types, 3, 7, large=False)
        for number, (sql, parameters) in enumerate(steps.steps):
            step = Statement()
            step.sql, step.parameters = sql, parameters
            found[f"rollups.MaterializeSteps, {name}, step {number + 1}"] = step
    return found


SAMPLES = samples()
CLAUSES = ("SELECT", "FROM", "WHERE", "GROUP BY", "HAVING", "ORDER BY", "LIMIT", "SETTINGS", "UNION ALL", "LEFT JOIN")
TOKEN = re.compile(rf"'(?:[^'\\]|\\.)*'|\b(?:{'|'.join(CLAUSES)}|AND)\b|\w+|\W")


def constants() -> Iterator[tuple[str, str]]:
    for module_name, module in MODULES.items():
        room = module_name.partition(".")[0]
        for name, value in vars(module).items():
            if not name.isupper() or name.startswith("_") or not defined_in(module, name):
                continue
            texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
            for number, text in enumerate(texts):
                if isinstance(text, str) and " " in text.strip():
                    yield f"{room}.{name}" + (f", {number + 1}" if len(texts) > 1 else ""), text


def defined_in(module: ModuleType, name: str) -> bool:
    assert module.__file__
    return f"\n{name} = " in Path(module.__file__).read_text() or f"\n{name}: " in Path(module.__file__).read_text()


def laid_out(sql: str) -> str:
    """The statement on lines of its own for each clause, indented by the parentheses around it."""
    depth, lines = 0, [""]
    for token in TOKEN.findall(" ".join(sql.split())):
        if token in CLAUSES or (token == "AND" and " BETWEEN " not in lines[-1]):
            lines.append("    " * depth + token)
        else:
            lines[-1] += token
        depth += (token == "(") - (token == ")")
    return "\n".join(line.rstrip() for line in lines if line.strip()) + "\n"


def expected_file(name: str) -> Path:
    return FOLDER / f"{name.replace(', ', ' ').replace(' ', '-')}.sql"


def made() -> dict[str, str]:
    """The statements about tables that depend on where the tables are."""
    schema, rollups = MODULES["engine.schema_queries"], MODULES["rollups.table_queries"]
    texts = {"maintenance.rewrite": MODULES["maintenance.mutation_queries"].rewrite("default")}
    for place, form in FORMS.items():
        texts[f"engine.create_events, {place}"] = schema.create_events(form)
        texts[f"rollups.replace_rollups, {place}"] = rollups.replace_rollups(form)
    return texts


def compare(name: str, text: str) -> None:
    path = expected_file(name)
    if os.environ.get("UPDATE_STATEMENTS"):
        path.write_text(text)
    assert path.exists(), f"no {path.name}: write it with UPDATE_STATEMENTS=1"
    assert text == path.read_text()


@pytest.mark.parametrize(
    ("name", "sql"), [*constants(), *made().items()], ids=lambda value: value if "\n" not in value else "sql"
)
def test_a_constant_statement_is_as_its_file_has_it(name: str, sql: str) -> None:
    compare(name, laid_out(sql))


@pytest.mark.parametrize("name", SAMPLES)
def test_a_made_statement_is_as_its_file_has_it(name: str) -> None:
    statement = SAMPLES[name]
    parameters = "".join(f"-- {each} = {value!r}\n" for each, value in statement.parameters.items())
    compare(name, parameters + laid_out(statement.sql))


def test_every_kind_of_statement_has_a_sample() -> None:
    kinds = {
        f"{module_name.partition('.')[0]}.{name}"
        for module_name, module in MODULES.items()
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Statement)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    }
    abstract = {"read.MeterStatement", "read.SlotStatement", "corrections.CorrectedStatement"}
    assert kinds - abstract == {name.partition(",")[0] for name in SAMPLES}


def test_no_file_is_left_over() -> None:
    names = [name for name, _ in constants()] + [*made(), *SAMPLES]
    assert {path.name for path in FOLDER.iterdir()} == {expected_file(name).name for name in names}
