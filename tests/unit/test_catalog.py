import re
import tomllib
from datetime import UTC, datetime
from decimal import Decimal
from importlib.resources import files

import pytest

from meterhouse.domain.catalog import Catalog, CatalogError
from meterhouse.domain.catalog_parser import parse_catalog
from meterhouse.domain.meter import Aggregation, Meter, StateWindow, redefined
from meterhouse.domain.pool import Pool

METERS = {
    "autoposting": {
        "credits": ("credit.used", Aggregation.SUM, ("amount",), ()),
        "posts": ("post.state", Aggregation.STATE_COUNT, (), ("source",)),
        "clips_uploaded": ("clip.uploaded", Aggregation.COUNT, (), ()),
        "clips_rendered": ("clip.rendered", Aggregation.COUNT, (), ()),
        "agent_runs": ("agent.run", Aggregation.COUNT, (), ()),
        "agent_posts_generated": ("agent.run", Aggregation.SUM, ("posts_generated",), ()),
        "agents": ("agent.run", Aggregation.UNIQUE_COUNT, ("agent_id",), ()),
        "ai_tokens": ("ai.usage", Aggregation.SUM, ("input_tokens", "output_tokens"), ("model",)),
        "ai_input_tokens": ("ai.usage", Aggregation.SUM, ("input_tokens",), ("model",)),
        "ai_output_tokens": ("ai.usage", Aggregation.SUM, ("output_tokens",), ("model",)),
        "ai_requests": ("ai.usage", Aggregation.COUNT, (), ("model",)),
        "ai_cost": ("ai.usage", Aggregation.SUM, ("cost",), ("model",)),
    },
    "aitronos": {
        "requests": ("ai.request", Aggregation.COUNT, (), ("model",)),
        "neurons": ("ai.request", Aggregation.SUM, ("neurons",), ("model",)),
        "synapses": ("ai.request", Aggregation.SUM, ("synapses",), ("model",)),
        "cost": ("ai.request", Aggregation.SUM, ("cost",), ("model",)),
    },
    "unsiloed": {"credits": ("credit.used", Aggregation.SUM, ("amount",), ("operation",))},
    "onepin": {
        "credits": ("line.generated", Aggregation.SUM, ("credits",), ("user_id", "locale")),
        "lines": ("line.generated", Aggregation.COUNT, (), ("locale",)),
        "characters": ("line.generated", Aggregation.SUM, ("characters",), ("locale",)),
        "corrected_words": ("line.generated", Aggregation.SUM, ("corrected_words",), ("locale",)),
        "audio_ms": ("audio.delivered", Aggregation.SUM, ("audio_ms",), ()),
        "runs": ("run.state", Aggregation.STATE_COUNT, (), ("user_id",)),
    },
    "octolens": {
        "mentions": ("mention.found", Aggregation.UNIQUE_COUNT, ("mention_id",), ()),
        "keywords": ("keyword.state", Aggregation.STATE_COUNT, (), ()),
    },
}

SOUND = """
namespace = "demo"
[[meters]]
slug = "calls"
event_type = "call"
aggregation = "COUNT"
[[plans]]
slug = "Pro"
limits = { calls = 10 }
"""


def parse(text: str) -> Catalog:
    return parse_catalog(tomllib.loads(text, parse_float=Decimal), "demo.toml")


def meter(lines: str) -> Meter:
    """A catalog's only meter, with those lines."""
    text = f'namespace = "demo"\n[[meters]]\nslug = "m"\nevent_type = "e"\n{lines}\n'
    return parse(text).meters["m"]


def plan(lines: str) -> Catalog:
    return parse(f"{SOUND}[[plans]]\n{lines}\n")


def built_in(name: str) -> str:
    return (files("meterhouse.catalogs") / f"{name}.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", METERS)
def test_the_built_in_catalogs(name: str) -> None:
    catalog = parse(built_in(name))
    assert (catalog.namespace, catalog.contract) == (name, name)
    found = {
        slug: (meter.event_type, meter.aggregation, meter.values, meter.group_by)
        for slug, meter in catalog.meters.items()
    }
    assert found == METERS[name]
    assert all(meter.description and meter.unit for meter in catalog.meters.values())
    assert "\n" not in "".join(meter.description for meter in catalog.meters.values())
    assert len(catalog.plans) >= 2
    assert all(plan.limits for plan in catalog.plans.values())
    assert [line[:2] for line in built_in(name).splitlines()[:3]] == ["# ", "# ", "na"]


def test_there_are_exactly_five_built_in_catalogs() -> None:
    names = {file.name for file in files("meterhouse.catalogs").iterdir() if file.name.endswith(".toml")}
    assert names == {f"{name}.toml" for name in METERS}


def test_the_built_in_states() -> None:
    posts = parse(built_in("autoposting")).meters["posts"]
    assert (posts.entity, posts.state, posts.window) == ("post_id", "state", StateWindow.CHANGED)
    assert posts.states == ("draft", "scheduled", "publishing", "published", "partial", "failed", "archived")
    assert posts.counted_states == ("published",)
    runs = parse(built_in("onepin")).meters["runs"]
    assert (runs.entity, runs.state, runs.window) == ("run_id", "state", StateWindow.CREATED)
    assert runs.states == ("pending", "running", "completed", "failed", "cancelled", "paused")
    keywords = parse(built_in("octolens")).meters["keywords"]
    assert (keywords.entity, keywords.state, keywords.window) == ("keyword_id", "state", StateWindow.NOW)
    assert keywords.states == ("active", "paused", "deleted")
    assert keywords.counted_states == ("active", "paused")


def test_only_what_may_be_absent_is_optional() -> None:
    optional = {
        f"{name}.{meter.slug}" for name in METERS for meter in parse(built_in(name)).meters.values() if meter.optional
    }
    assert optional == {
        "autoposting.agent_posts_generated",
        "autoposting.agents",
        "autoposting.ai_cost",
        "onepin.corrected_words",
    }


def test_the_plans_of_octolens_limit_both_meters() -> None:
    plans = parse(built_in("octolens")).plans
    assert list(plans) == ["Free_trial", "Pro_v3", "Enterprise"]
    assert all(plan.limits.keys() == {"mentions", "keywords"} for plan in plans.values())


def test_a_small_catalog() -> None:
    catalog = parse(SOUND)
    assert (catalog.namespace, catalog.contract) == ("demo", None)
    assert catalog.meters == {"calls": Meter("calls", "call", Aggregation.COUNT)}
    assert catalog.plans["Pro"].limits == {"calls": Decimal(10)}


def test_one_name_needs_no_list() -> None:
    assert meter('aggregation = "SUM"\nvalue = "a"\ngroup_by = "user.id"') == Meter(
        "m", "e", Aggregation.SUM, values=("a",), group_by=("user.id",)
    )


def test_a_group_may_have_another_name_than_its_property() -> None:
    grouped = meter('aggregation = "COUNT"\ngroup_by = ["model", { name = "region", path = "geo.region" }]')
    assert (grouped.group_by, grouped.renamed) == (("model", "region"), (("region", "geo.region"),))
    assert (grouped.group_paths, grouped.path_of("model")) == (("model", "geo.region"), "model")
    for wrong, told in (
        ('[{ name = "a" }]', "a table of name and path"),
        ('[{ name = "a", path = "b", at = "c" }]', "the key 'at'"),
        ('["a", { name = "a", path = "b" }]', "names something twice"),
        ('[{ name = "a", path = "b..c" }]', "'b..c' is not a property path"),
        ("[1]", "a table of name and path"),
    ):
        with pytest.raises(CatalogError, match=re.escape(told)):
            meter(f'aggregation = "COUNT"\ngroup_by = {wrong}')


def test_filters_are_in_the_order_of_their_paths() -> None:
    filtered = meter('aggregation = "COUNT"\nwhere = { z = "1", "user.tier" = ["free", "paid"] }')
    assert filtered.where == (("user.tier", ("free", "paid")), ("z", ("1",)))


def test_what_a_meter_meant_is_told_by_time() -> None:
    first, second, third = (Meter("m", "e", Aggregation.SUM, values=(name,)) for name in "abc")
    days = [datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 9)]
    changed = redefined(third, redefined(second, first, days[2]), days[5])
    assert [changed.meant_at(day).values for day in days] == [("a",)] * 2 + [("b",)] * 3 + [("c",)] * 3
    # What is said of an earlier time takes the place of what was said of it.
    again = redefined(first, changed, days[4])
    assert [again.meant_at(day).values for day in days] == [("a",)] * 2 + [("b",)] * 2 + [("a",)] * 4
    assert [meaning.values for meaning in again.meanings] == [("a",), ("a",), ("b",)]


def test_limits_are_exact() -> None:
    limits = plan('slug = "Big"\nlimits = { calls = 12345678901234567890.123456789 }').plans["Big"].limits
    assert limits == {"calls": Decimal("12345678901234567890.123456789")}
    assert plan('slug = "None"\nlimits = { calls = 0 }').plans["None"].limits == {"calls": 0}


@pytest.mark.parametrize(
    ("lines", "place", "message"),
    [
        ("", "meter 'm'", "aggregation is None"),
        ('aggregation = "count"', "meter 'm'", "aggregation is 'count'; it must be one of COUNT, SUM"),
        ("aggregation = []", "meter 'm'", "aggregation is []"),
        ('aggregation = "COUNT"\ncolour = "red"', "meter 1", "'colour'"),
        ('aggregation = "COUNT"\nvalue = "a"', "meter 'm'", "COUNT reads no value"),
        ('aggregation = "SUM"', "meter 'm'", "SUM needs `value`"),
        ('aggregation = "UNIQUE_COUNT"\nvalue = []', "meter 'm'", "UNIQUE_COUNT needs `value`"),
        ('aggregation = "MAX"\nvalue = ["a", "b"]', "meter 'm'", "only SUM adds several values"),
        ('aggregation = "SUM"\nvalue = ["a", "a"]', "meter 'm'", "value names something twice"),
        ('aggregation = "SUM"\nvalue = ""', "meter 'm'", "value must be a name or a list of names"),
        ('aggregation = "SUM"\nvalue = 1', "meter 'm'", "value must be a name or a list of names"),
        ('aggregation = "SUM"\nvalue = ["a", 1]', "meter 'm'", "value must be a name or a list of names"),
        ('aggregation = "SUM"\nvalue = "a"\noptional = "yes"', "meter 'm'", "optional must be true or false"),
        ('aggregation = "COUNT"\nentity = "a"', "meter 'm'", "`entity` belongs to STATE_COUNT only"),
        ('aggregation = "COUNT"\nstate = "a"', "meter 'm'", "`state` belongs to STATE_COUNT only"),
        ('aggregation = "COUNT"\nstates = ["a"]', "meter 'm'", "belong to STATE_COUNT only"),
        ('aggregation = "COUNT"\nwindow = "now"', "meter 'm'", "belong to STATE_COUNT only"),
        ('aggregation = "STATE_COUNT"\nstate = "s"', "meter 'm'", "`entity` is missing"),
        ('aggregation = "STATE_COUNT"\nentity = "e"', "meter 'm'", "`state` is missing"),
        ('aggregation = "STATE_COUNT"\nentity = 5\nstate = "s"', "meter 'm'", "entity must be a text"),
        ('aggregation = "STATE_COUNT"\nentity = "e"\nstate = "s"\nvalue = "v"', "meter 'm'", "reads no value"),
        (
            'aggregation = "STATE_COUNT"\nentity = "e"\nstate = "s"\nwindow = "ever"',
            "meter 'm'",
            "it must be one of changed, created, now",
        ),
        (
            'aggregation = "STATE_COUNT"\nentity = "e"\nstate = "s"\nstates = ["a"]\ncounted_states = ["b"]',
            "meter 'm'",
            "counted_states names 'b'",
        ),
        ('aggregation = "STATE_COUNT"\nentity = "a..b"\nstate = "s"', "meter 'm'", "'a..b' is not a property path"),
        ('aggregation = "UNIQUE_COUNT"\nvalue = ".a"', "meter 'm'", "'.a' is not a property path"),
        ('aggregation = "COUNT"\ngroup_by = "a.b.c.d.e.f"', "meter 'm'", "'a.b.c.d.e.f' is not a property path"),
        ('aggregation = "COUNT"\ngroup_by = ["a", "a"]', "meter 'm'", "group_by names something twice"),
        ('aggregation = "COUNT"\ndescription = 1', "meter 'm'", "description must be a text"),
        ('aggregation = "COUNT"\nunit = []', "meter 'm'", "unit must be a text"),
        ('aggregation = "COUNT"\nwhere = "ok"', "meter 'm'", "where must be a table"),
        ('aggregation = "COUNT"\nwhere = { status = 200 }', "meter 'm', where", "status must be a name or a list"),
        ('aggregation = "COUNT"\nwhere = { status = [] }', "meter 'm'", "a list of 1 to 100 texts"),
        ('aggregation = "COUNT"\nwhere = { "a..b" = "x" }', "meter 'm'", "'a..b', which is not a property path"),
        (
            'aggregation = "STATE_COUNT"\nentity = "e"\nstate = "s"\nwhere = { a = "b" }',
            "meter 'm'",
            "where does not belong to STATE_COUNT",
        ),
    ],
)
def test_what_is_wrong_with_a_meter_is_said_with_its_place(lines: str, place: str, message: str) -> None:
    with pytest.raises(CatalogError) as wrong:
        meter(lines)
    assert str(wrong.value).startswith(f"demo.toml: {place}")
    assert message in str(wrong.value)


@pytest.mark.parametrize(
    ("lines", "place", "message"),
    [
        ("", "plan 2: slug", "must be a name"),
        ('slug = "a b"', "plan 2: slug", "'a b'"),
        ('slug = "Max"\nprice = 5', "plan 2", "'price'"),
        ('slug = "Max"\nlimits = 5', "plan 'Max'", "limits must be a table"),
        ('slug = "Max"\nlimits = { talks = 5 }', "plan 'Max'", "unknown meter 'talks'; this catalog has calls"),
        ('slug = "Max"\nlimits = { calls = "5" }', "plan 'Max'", "the limit of 'calls' must be a number"),
        ('slug = "Max"\nlimits = { calls = true }', "plan 'Max'", "the limit of 'calls' must be a number"),
        ('slug = "Max"\nlimits = { calls = nan }', "plan 'Max'", "the limit of 'calls'"),
        ('slug = "Max"\nlimits = { calls = inf }', "plan 'Max'", "the limit of 'calls'"),
        ('slug = "Max"\nlimits = { calls = -1 }', "plan 'Max'", "the limit of 'calls' must not be negative"),
        ('slug = "Max"\nlimits = { calls = 1e38 }', "plan 'Max'", "the limit of 'calls'"),
        ('slug = "Max"\ndescription = 1', "plan 'Max'", "description must be a text"),
    ],
)
def test_what_is_wrong_with_a_plan_is_said_with_its_place(lines: str, place: str, message: str) -> None:
    with pytest.raises(CatalogError) as wrong:
        plan(lines)
    assert str(wrong.value).startswith(f"demo.toml: {place}")
    assert message in str(wrong.value)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('namespace = "demo"', "", "namespace must be a name"),
        ('namespace = "demo"', "namespace = 1", "namespace must be a name"),
        ('namespace = "demo"', 'namespace = "a/b"', "namespace must be a name"),
        ('namespace = "demo"', 'namespace = "démo"', "namespace must be a name"),
        ('namespace = "demo"', f'namespace = "{"x" * 65}"', "namespace must be a name"),
        ('namespace = "demo"', 'namespace = "demo"\ncontract = ""', "contract must be a name"),
        ('namespace = "demo"', 'namespace = "demo"\ncontract = 5', "contract must be a name"),
        ('namespace = "demo"', 'namespace = "demo"\ncolour = "red"', "the catalog has the key 'colour'"),
        (
            'namespace = "demo"',
            'namespace = "demo"\nunmetered = [5]',
            "unmetered must be a name or a list",
        ),
        (
            'namespace = "demo"',
            'namespace = "demo"\nunmetered = ["call"]',
            "names 'call', which a meter reads",
        ),
        ('namespace = "demo"', 'namespace = "demo"\nflex = "calling"', "flex: unknown meter 'calling'"),
        ('namespace = "demo"', 'namespace = "demo"\nflex = 1', "flex must be a text"),
        ('slug = "calls"', "", "meter 1: slug must be a name"),
        ('slug = "calls"', 'slug = "1st"', "meter 1: slug must be a name"),
        ('event_type = "call"', "", "meter 'calls': event_type must be a text that is not empty"),
        ('event_type = "call"', 'event_type = ""', "meter 'calls': event_type must be a text that is not empty"),
        ("[[meters]]", "[meters]", "meters must be written as [[meters]]"),
        ("[[plans]]", "[plans]", "plans must be written as [[plans]]"),
    ],
)
def test_what_is_wrong_with_a_catalog_is_said_with_its_place(before: str, after: str, message: str) -> None:
    with pytest.raises(CatalogError) as wrong:
        parse(SOUND.replace(before, after, 1))
    assert str(wrong.value).startswith("demo.toml: ")
    assert message in str(wrong.value)


def test_some_types_are_expected_though_no_meter_reads_them() -> None:
    catalog = parse(SOUND.replace('namespace = "demo"', 'namespace = "demo"\nunmetered = ["seen", "heard"]', 1))
    assert catalog.expected_types == {"seen", "heard", *catalog.meters_by_event_type}


def test_a_catalog_needs_a_meter() -> None:
    with pytest.raises(CatalogError, match=r"demo\.toml: no \[\[meters\]\]"):
        parse('namespace = "demo"')
    with pytest.raises(CatalogError, match=r"demo\.toml: meters must be written as"):
        parse('namespace = "demo"\nmeters = [1]')


def test_a_slug_names_one_meter_and_one_plan() -> None:
    again = '[[meters]]\nslug = "calls"\nevent_type = "other"\naggregation = "COUNT"\n'
    with pytest.raises(CatalogError, match=r"demo\.toml: two meters have the slug 'calls'"):
        parse(SOUND + again)
    with pytest.raises(CatalogError, match=r"demo\.toml: two plans have the slug 'Pro'"):
        plan('slug = "Pro"')


def test_a_pool_has_the_rates_of_its_meters() -> None:
    pool = """
[pools.credits]
unit = "credits"
rates = { calls = "0.001" }
"""
    assert parse(SOUND + pool).pools == {"credits": Pool("credits", {"calls": Decimal("0.001")}, "credits")}
    assert parse(SOUND).pools == {}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("[[pools]]", "pools must be written as"),
        ("pools = 1", "pools must be written as"),
        ("[pools]\ncredits = 1", "pools must be written as"),
        ("[pools.credits]", "pool 'credits': rates must be a table"),
        ("[pools.credits]\nrates = {}", "pool 'credits': rates must be a table"),
        ("[pools.credits]\nrates = 1", "pool 'credits': rates must be a table"),
        ("[pools.credits]\nrates = { texts = 1 }", "pool 'credits': unknown meter 'texts'; this catalog has calls"),
        ("[pools.credits]\nrates = { calls = true }", "the rate of 'calls' must be a number"),
        ('[pools.credits]\nrates = { calls = "lots" }', "the rate of 'calls': 'lots' is not a decimal number"),
        ("[pools.credits]\nrates = { calls = 0 }", "the rate of 'calls' must be more than 0"),
        ("[pools.credits]\nrates = { calls = -1 }", "the rate of 'calls' must not be negative"),
        ("[pools.credits]\nrates = { calls = 1 }\ncolour = 1", "pool 'credits' has the key 'colour'"),
        ("[pools.calls]\nrates = { calls = 1 }", "pool 'calls': a meter has that slug"),
        ('[pools."a b"]\nrates = { calls = 1 }', "pool must be a name"),
    ],
)
def test_a_pool_that_is_none_is_named(lines: str, message: str) -> None:
    # What is of the catalog itself comes before its tables.
    text = f"{lines}\n{SOUND}" if lines.startswith("pools") else f"{SOUND}\n{lines}"
    with pytest.raises(CatalogError, match=re.escape(message)):
        parse(text)


def test_a_pool_is_of_what_adds_up() -> None:
    largest = """
[[meters]]
slug = "largest"
event_type = "call"
aggregation = "MAX"
value = "size"
[pools.credits]
rates = { largest = 1 }
"""
    with pytest.raises(CatalogError, match="pool 'credits': 'largest' is a MAX; only COUNT and SUM add up"):
        parse(SOUND + largest)
