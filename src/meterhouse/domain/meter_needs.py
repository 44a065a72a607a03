"""What the meters of an event type need from an event."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace
from decimal import Decimal

import msgspec

from .errors import Invalid
from .event import Rejected
from .json_reading import Property, quantity, read_text, value_at
from .meter import Meter, Where


class Needs(msgspec.Struct):
    """What leaves none of the meters of an event type in doubt."""

    numbers: tuple[str, ...] = ()
    """Paths, as all of these are."""
    optional_numbers: tuple[str, ...] = ()
    texts: tuple[tuple[str, bool, tuple[str, ...]], ...] = ()
    """Name, whether it may be absent, and the texts it may be; none for any."""
    filtered: tuple[tuple[Where, Needs], ...] = ()
    """What events need that have one of some texts at each of some paths."""

    def met(self, values: dict[str, Property], numbers: Container[str]) -> bool:
        """Whether the event surely has all of it; `numbers` are the paths of its quantities."""
        for name in self.numbers:
            if name not in numbers:
                return False
        for name in self.optional_numbers:
            if name not in numbers and value_at(values, name) is not None:
                return False
        for name, optional, known in self.texts:
            text = values.get(name)
            if text is None:
                text = value_at(values, name)
            if text is None and optional:
                continue
            if type(text) is not str or not text or (known and text not in known):
                return False
        return all(each.met(values, numbers) for where, each in self.filtered if counts_where(where, values))


NOTHING_NEEDED = Needs()


def needs_of(meters: Sequence[Meter]) -> Needs:
    """What they need, all of them together, and whatever they meant before."""
    meanings = [meaning for meter in meters for meaning in meter.meanings]
    unfiltered = [meter for meter in meanings if not meter.where]
    numeric = [meter for meter in unfiltered if meter.aggregation.numeric]
    texts: list[tuple[str, bool, tuple[str, ...]]] = []
    for meter in unfiltered:
        if not meter.aggregation.numeric:
            texts += [(name, meter.optional, meter.states if name == meter.state else ()) for name in meter.texts]
    return Needs(
        tuple({name for meter in numeric for name in meter.required_numbers}),
        tuple({name for meter in numeric if meter.optional for name in meter.values}),
        tuple(texts),
        tuple((meter.where, needs_of([replace(meter, where=())])) for meter in meanings if meter.where),
    )


def counts_where(where: Where, values: Property) -> bool:
    """Whether an event's data has, at each path, one of its texts."""
    return all(read_text(values, path) in texts for path, texts in where)


def check_meter(meter: Meter, values: dict[str, Property], numbers: dict[str, Decimal | int]) -> None:
    """Raises `Rejected` unless the meter can read what it needs from the event, or leaves it out."""
    if not counts_where(meter.where, values):
        return
    if meter.aggregation.numeric:
        for name in meter.values:
            if name in numbers:
                continue
            value = value_at(values, name)
            if value is None:
                if meter.optional:
                    continue
                raise Rejected("invalid_value", f"data.{name} is missing; the meter {meter.slug!r} needs it")
            try:
                quantity(value)
            except Invalid as wrong:
                raise Rejected("invalid_value", f"data.{name}: {wrong}") from None
            raise Rejected("invalid_value", f"data.{name} must be a number or a decimal string, not {_show(value)}")
        return
    for name in meter.texts:
        text = read_text(values, name)
        if not text and meter.optional:
            continue
        if not text:
            raise Rejected("invalid_value", f"data.{name} is missing; the meter {meter.slug!r} needs it")
        if name == meter.state and meter.states and text not in meter.states:
            known = ", ".join(meter.states)
            raise Rejected("invalid_value", f"data.{name} is {text[:60]!r}; the meter {meter.slug!r} knows {known}")


def _show(value: Property) -> str:
    return msgspec.json.encode(value)[:60].decode("utf-8", "replace")
