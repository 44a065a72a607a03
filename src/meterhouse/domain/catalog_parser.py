"""Reading catalogs."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from decimal import Decimal
from typing import Any

from .catalog import Catalog
from .catalog_tables import TableReader
from .event import SYSTEM_PREFIX
from .limit_rule import ENFORCED, LimitMode, LimitRule, LimitWindow
from .meter import Aggregation, Meter, StateWindow, Where
from .plan import Plan
from .pool import GRANTED, Pool
from .quantity import ZERO
from .rate_card_parser import parse_rate_cards
from .telemetry_parser import parse_telemetry

_PATH = re.compile(r"[^.\0]{1,128}(\.[^.\0]{1,128}){0,4}")
_METER_KEYS = frozenset(
    (
        "slug",
        "event_type",
        "aggregation",
        "description",
        "unit",
        "value",
        "optional",
        "entity",
        "state",
        "states",
        "counted_states",
        "window",
        "group_by",
        "where",
    )
)
_KEYS = frozenset(
    ("namespace", "contract", "unmetered", "flex", "meters", "plans", "pools", "prices", "telemetry"),
)
_MOST_FILTERS = 10
_MOST_TEXTS = 100


def parse_catalog(document: dict[str, Any], origin: str) -> Catalog:
    """A catalog from decoded TOML or JSON (numbers as `Decimal` or int). `origin` is what messages call it. Raises
    `CatalogError`."""
    reader = _Reader(origin)
    reader.known_keys(document, _KEYS, "the catalog")
    namespace = reader.slug(document.get("namespace"), "namespace")
    contract = document.get("contract")
    if contract is not None:
        contract = reader.slug(contract, "contract")
    meters: dict[str, Meter] = {}
    for number, table in enumerate(reader.tables(document, "meters"), 1):
        meter = reader.meter(table, f"meter {number}")
        if meter.slug in meters:
            raise reader.error(f"two meters have the slug {meter.slug!r}; a slug names one meter")
        meters[meter.slug] = meter
    if not meters and "meters" not in document:
        raise reader.error(
            "no [[meters]]: a catalog needs at least one; write `meters = []` for one that gets them later"
        )
    pools = reader.pools(document, meters)
    reader.refuse_limits_of_nothing(document, {*meters, *pools})
    plans: dict[str, Plan] = {}
    for number, table in enumerate(reader.tables(document, "plans"), 1):
        plan = reader.plan(table, f"plan {number}", meters, pools)
        if plan.slug in plans:
            raise reader.error(f"two plans have the slug {plan.slug!r}; a slug names one plan")
        plans[plan.slug] = plan
    unmetered = frozenset(reader.names(document, "unmetered", "the catalog"))
    if read := sorted(unmetered & {meter.event_type for meter in meters.values()}):
        raise reader.error(f"unmetered names {read[0]!r}, which a meter reads; take it out of the list")
    prices = parse_rate_cards(reader.tables(document, "prices"), meters, reader.error)
    flex = reader.text(document, "flex", "the catalog") or None
    if flex is not None and flex not in meters:
        raise reader.error(f"flex: unknown meter {flex!r}; this catalog has {', '.join(sorted(meters))}")
    telemetry = parse_telemetry(reader, document)
    return Catalog(namespace, contract, meters, plans, pools, unmetered, prices, flex, telemetry)


class _Reader(TableReader):
    def meter(self, table: dict[str, Any], where: str) -> Meter:
        self.known_keys(table, _METER_KEYS, where)
        slug = self.slug(table.get("slug"), f"{where}: slug")
        where = f"meter {slug!r}"
        aggregation = self.choice(table, "aggregation", Aggregation, where)
        event_type = self.text(table, "event_type", where, None)
        if event_type.startswith(SYSTEM_PREFIX):
            raise self.error(f"{where}: event types that begin with {SYSTEM_PREFIX!r} are Meterhouse's own")
        values = self.values(table, aggregation, where)
        self.check_state_keys(table, aggregation is Aggregation.STATE_COUNT, where)
        groups = self.groups(table, where)
        meter = Meter(
            slug=slug,
            event_type=event_type,
            aggregation=aggregation,
            description=self.text(table, "description", where),
            unit=self.text(table, "unit", where),
            values=values,
            optional=table.get("optional", False),
            entity=self.text(table, "entity", where),
            state=self.text(table, "state", where),
            states=self.names(table, "states", where),
            counted_states=self.names(table, "counted_states", where),
            window=self.choice(table, "window", StateWindow, where, StateWindow.CHANGED),
            group_by=tuple(name for name, _ in groups),
            renamed=tuple((name, path) for name, path in groups if name != path),
            where=self.where(table, aggregation, where),
        )
        if unknown := set(meter.counted_states) - set(meter.states or meter.counted_states):
            raise self.error(f"{where}: counted_states names {sorted(unknown)[0]!r}, which is not in states")
        paths = () if aggregation.numeric else (*meter.values, meter.entity, meter.state)
        for path in filter(None, (*meter.group_by, *meter.group_paths, *paths)):
            if _PATH.fullmatch(path) is None:
                raise self.error(f"{where}: {path!r} is not a property path like 'model' or 'user.id'")
        return meter

    def values(self, table: dict[str, Any], aggregation: Aggregation, where: str) -> tuple[str, ...]:
        values = self.names(table, "value", where)
        if aggregation in (Aggregation.COUNT, Aggregation.STATE_COUNT):
            if values:
                raise self.error(f"{where}: {aggregation} reads no value; remove `value`")
        elif not values:
            raise self.error(f"{where}: {aggregation} needs `value`, the property it reads")
        elif len(values) > 1 and aggregation is not Aggregation.SUM:
            raise self.error(f"{where}: only SUM adds several values; name one")
        if not isinstance(table.get("optional", False), bool):
            raise self.error(f"{where}: optional must be true or false")
        if table.get("optional") and not (aggregation.numeric or aggregation is Aggregation.UNIQUE_COUNT):
            raise self.error(f"{where}: optional is about a value that may be absent; {aggregation} needs none or all")
        return values

    def groups(self, table: dict[str, Any], where: str) -> list[tuple[str, str]]:
        """The names that a meter can be grouped by, each with its path."""
        value = table.get("group_by", [])
        listed = value if isinstance(value, list) else [value]
        found = []
        for each in listed:
            if isinstance(each, dict):
                self.known_keys(each, {"name", "path"}, f"{where}, group_by")
                each = (each.get("name"), each.get("path"))  # noqa: PLW2901 - it is the same, read
            else:
                each = (each, each)  # noqa: PLW2901
            if not all(isinstance(text, str) and text for text in each):
                raise self.error(f"{where}: group_by must be a name, a table of name and path, or a list of them")
            found.append(each)
        if len({name for name, _ in found}) != len(found):
            raise self.error(f"{where}: group_by names something twice")
        return found

    def where(self, table: dict[str, Any], aggregation: Aggregation, where: str) -> Where:
        filters = table.get("where", {})
        if not isinstance(filters, dict) or len(filters) > _MOST_FILTERS:
            raise self.error(f"{where}: where must be a table of at most {_MOST_FILTERS} properties")
        if filters and aggregation is Aggregation.STATE_COUNT:
            raise self.error(f"{where}: where does not belong to STATE_COUNT; counted_states says what counts")
        for path in filters:
            if _PATH.fullmatch(path) is None:
                raise self.error(f"{where}: where names {path!r}, which is not a property path like 'user.id'")
            if not (texts := self.names(filters, path, f"{where}, where")) or len(texts) > _MOST_TEXTS:
                raise self.error(f"{where}: where {path!r} must be a text or a list of 1 to {_MOST_TEXTS} texts")
        return tuple((path, self.names(filters, path, where)) for path in sorted(filters))

    def check_state_keys(self, table: dict[str, Any], is_state: bool, where: str) -> None:
        for key in ("entity", "state"):
            if is_state != bool(table.get(key)):
                raise self.error(f"{where}: `{key}` " + ("is missing" if is_state else "belongs to STATE_COUNT only"))
        if not is_state and any(key in table for key in ("states", "counted_states", "window")):
            raise self.error(f"{where}: states, counted_states and window belong to STATE_COUNT only")

    def plan(self, table: dict[str, Any], where: str, meters: dict[str, Meter], pools: dict[str, Pool]) -> Plan:
        self.known_keys(table, {"slug", "description", "limits"}, where)
        slug = self.slug(table.get("slug"), f"{where}: slug")
        where = f"plan {slug!r}"
        limits = table.get("limits", {})
        if not isinstance(limits, dict):
            raise self.error(f"{where}: limits must be a table of meter = number")
        amounts: dict[str, Decimal] = {}
        rules: list[LimitRule] = []
        for meter, value in limits.items():
            for each in value if isinstance(value, list) else [value]:
                rule = self.rule(meter, each, where, meters, pools)
                if any(rule.same_place(known) for known in rules):
                    raise self.error(f"{where}: {meter!r} has two limits of the same property and window")
                if rule.per is None and rule.window is LimitWindow.PERIOD:
                    amounts[meter] = rule.amount or ZERO
                    rule = replace(rule, amount=None)
                rules.append(rule)
        told = tuple(rule for rule in rules if rule != LimitRule(rule.meter))
        return Plan(slug, amounts, self.text(table, "description", where), told)

    def refuse_limits_of_nothing(self, document: dict[str, Any], known: Collection[str]) -> None:
        """Names all plans at once that limit a meter or a pool which is not there."""
        limiting: dict[str, list[str]] = {}
        for plan in self.tables(document, "plans"):
            limits = plan.get("limits")
            for meter in limits if isinstance(limits, dict) else ():
                if meter not in known:
                    limiting.setdefault(meter, []).append(str(plan.get("slug")))
        for meter, plans in limiting.items():
            where = f"plan{'s' if len(plans) > 1 else ''} {', '.join(map(repr, plans))}"
            raise self.error(f"{where}: unknown meter {meter!r}; this catalog has {', '.join(sorted(known))}")

    def rule(self, slug: str, value: object, where: str, meters: dict[str, Meter], pools: dict[str, Pool]) -> LimitRule:
        """A limit: a number, or a table with more to say."""
        if not isinstance(value, dict):
            return LimitRule(slug, self.amount(slug, value, where, "limit", {*meters, *pools}))
        where = f"{where}, a limit of {slug!r}"
        self.known_keys(value, {"amount", "per", "window", "mode"}, where)
        amount = self.amount(slug, value.get("amount"), where, "limit", {*meters, *pools})
        per = self.text(value, "per", where) or None
        if per is not None and _PATH.fullmatch(per) is None:
            raise self.error(f"{where}: per is {per!r}, which is not a property path like 'team' or 'user.id'")
        window = self.choice(value, "window", LimitWindow, where, LimitWindow.PERIOD)
        rule = LimitRule(slug, amount, per, window, self.choice(value, "mode", LimitMode, where, LimitMode.HARD))
        if slug in pools:
            if per is not None:
                raise self.error(f"{where}: it is a pool, and per belongs to limits of meters")
            return rule
        if meters[slug].aggregation not in ENFORCED and rule != LimitRule(slug, amount):
            raise self.error(f"{where}: only {' and '.join(sorted(ENFORCED))} can have more than a number")
        if per is not None and per not in meters[slug].group_by:
            raise self.error(
                f"{where}: per names {per!r}, which is not in the meter's group_by: it would read every event"
            )
        return rule

    def pools(self, document: dict[str, Any], meters: dict[str, Meter]) -> dict[str, Pool]:
        tables = document.get("pools", {})
        if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
            raise self.error("pools must be written as [pools.<slug>]")
        return {slug: self.pool(self.slug(slug, "pool"), table, meters) for slug, table in tables.items()}

    def pool(self, slug: str, table: dict[str, Any], meters: dict[str, Meter]) -> Pool:
        where = f"pool {slug!r}"
        self.known_keys(table, {"rates", "unit", "description"}, where)
        if slug in meters:
            raise self.error(f"{where}: a meter has that slug; a slug names one of them")
        rates = table.get("rates")
        if not isinstance(rates, dict) or not rates:
            raise self.error(f"{where}: rates must be a table of meter = how much one unit of it takes")
        read = {meter: self.amount(meter, value, where, "rate", meters) for meter, value in rates.items()}
        for meter, rate in read.items():
            if meters[meter].aggregation not in GRANTED:
                raise self.error(f"{where}: {meter!r} is a {meters[meter].aggregation}; only COUNT and SUM add up")
            if not rate:
                raise self.error(f"{where}: the rate of {meter!r} must be more than 0")
        return Pool(slug, read, self.text(table, "unit", where), self.text(table, "description", where))
