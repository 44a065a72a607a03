"""Corrections, on their way into a commit: each learns where the event stands that it names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from ....domain import correction
from ....domain.event import SYSTEM_PREFIX, Event, Identity, Outcome
from ....domain.listing import EventPosition, StoredEvent
from ..engine.instants import micros


def place_corrections(
    events: Sequence[Event],
    fresh: Sequence[int],
    outcomes: list[Outcome],
    begin: EventPosition,
    find: Callable[[Sequence[Identity]], list[StoredEvent]],
) -> tuple[list[Event], list[int]]:
    """Answers which of the fresh events are stored, the first at `begin`, and their numbers.

    An event that voids or restores another of its organization gets that one's position and time among its numbers.
    The other is stored already, which `find` tells, or comes before it. Without it, the correction is refused: its
    outcome becomes `UNKNOWN_TARGET`.
    """
    named: dict[int, Identity] = {}
    for number in fresh:
        if (event := events[number]).type in correction.EFFECTIVE_TYPES:
            step = correction.step_of(event)
            named[number] = event.namespace, event.organization, step.source, step.id
    targets = {found.event.identity: found for found in find([*named.values()])}
    stored: list[Event] = []
    numbers: list[int] = []
    for number in fresh:
        event = events[number]
        if number in named:
            target = targets.get(named[number])
            if target is None or target.event.type.startswith(SYSTEM_PREFIX):
                outcomes[number] = Outcome.UNKNOWN_TARGET
                continue
            at = target.at
            where = {"commit": at.commit, "position": at.position, "time": micros(at.time)}
            event = msgspec.structs.replace(event, numbers=where)
        position = EventPosition(event.time, begin.commit, begin.position + len(stored))
        targets[event.identity] = StoredEvent(event, position, begin.time)
        stored.append(event)
        numbers.append(number)
    refused = {events[number].identity for number in named if outcomes[number] is Outcome.UNKNOWN_TARGET}
    for number, event in enumerate(events):
        if event.identity in refused:  # a repetition in the same call fares no better
            outcomes[number] = Outcome.UNKNOWN_TARGET
    return stored, numbers
