"""Correcting the past: voiding, amending and adding events by events of their own, and taking that back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import chain

import msgspec

from ..domain.correction import ADD, MAX_STEPS, RESTORE, SOURCE, STEPS, VOID, Named, Step, step_of
from ..domain.errors import AlreadyExists, Invalid, NotFound
from ..domain.event import SYSTEM_PREFIX, Event, Rejected
from ..domain.event_parser import EventParser
from ..domain.listing import StoredEvent
from ..domain.organization import Organization
from ..domain.period import Period
from ..domain.plan import usage_period
from ..domain.shards import Elsewhere, Seat
from ..ports.clock import Clock
from ..ports.event_store import EventStore
from ..ports.whole_store import WholeStore
from .accounts import subscription_in
from .amendments import amended_event
from .catalogs import Catalogs
from .correction_parts import Correction, Draft, Effect, StepTaken
from .ingest import Ingest
from .named_events import EventName, find_named
from .usage import Usage

MAX_EFFECTS = 100
"""Most usage periods of organizations that a correction tells its effects on."""


class Corrections:
    """Makes corrections one at a time. They are about events that are stored, whoever sent them."""

    def __init__(
        self,
        *,
        store: EventStore,
        log: WholeStore,
        seat: Seat,
        ingest: Ingest,
        usage: Usage,
        catalogs: Catalogs,
        clock: Clock,
        random_id: Callable[[], str],
    ):
        self._store = store
        self._log = log
        self._seat = seat
        self._ingest = ingest
        self._usage = usage
        self._catalogs = catalogs
        self._clock = clock
        self._random_id = random_id
        self._one_at_a_time = threading.Lock()

    def correct(self, namespace: str, draft: Draft, *, preview: bool) -> Correction:
        """Makes a correction, all of it or none, or only tells what it would change.

        Raises `Invalid` for one that means nothing, `NotFound` for events that are not stored, and `AlreadyExists`
        when its id, or that of an event it adds, is taken.
        """
        with self._one_at_a_time:
            correction_id = draft.id or self._random_id()
            if draft.id is not None and (made := self._made(namespace, draft.id)) is not None:
                return self._repeated(made, draft)
            steps = self._steps(namespace, correction_id, draft)
            return self._make(namespace, correction_id, draft, steps, preview=preview)

    def undo(self, namespace: str, correction_id: str, draft: Draft, *, preview: bool) -> Correction:
        """Takes back what a correction did, by another one. Raises `NotFound` when there is none of that id, and
        `Invalid` when an event is not any more as it left it."""
        with self._one_at_a_time:
            undone = self._found(namespace, correction_id)
            undo_id = draft.id or self._random_id()
            if draft.id is not None and (made := self._made(namespace, draft.id)) is not None:
                return self._repeated(made, draft)
            voided = {step.event.identity for step in undone.steps if step.type == VOID}
            stored = self._log.find([step.event.identity for step in undone.steps])
            self._check_state([each for each in stored if each.event.identity in voided], voided=True)
            self._check_state([each for each in stored if each.event.identity not in voided], voided=False)
            steps = [StepTaken(RESTORE if step.type == VOID else VOID, step.event, None) for step in undone.steps]
            return self._make(namespace, undo_id, draft, steps, undoes=correction_id, preview=preview)

    def of(self, namespace: str, correction_id: str) -> Correction:
        """A correction that was made, without its effects. Raises `NotFound`."""
        return self._found(self._catalogs.get(namespace).namespace, correction_id)

    def _steps(self, namespace: str, correction_id: str, draft: Draft) -> list[StepTaken]:
        catalog = self._catalogs.get(namespace)
        if not (count := len(draft.void) + 2 * len(draft.amend) + len(draft.add)):
            raise Invalid("nothing to correct: name events to void, to amend or to add")
        if count > MAX_STEPS:
            raise Invalid(f"{count} steps in one correction; {MAX_STEPS} are allowed, an amendment takes two")
        replaced = [amendment.replaced for amendment in draft.amend]
        stored = self._stored(namespace, [*draft.void, *replaced])
        parser = EventParser(namespace, catalog.meters_by_event_type)
        now = self._clock.now()
        added = [_parsed(parser, raw, now, f"add[{number}]") for number, raw in enumerate(draft.add)]
        amended = []
        for number, amendment in enumerate(draft.amend):
            raw = amended_event(stored[amendment.replaced], amendment, correction_id)
            amended.append(_parsed(parser, raw, now, f"amend[{number}]"))
        self._check_new([*added, *amended])
        deleted = self._usage.ledger.deleted()
        for event in added:
            if (namespace, event.organization) in deleted:
                raise Invalid(f"the organization {event.organization!r} is deleted: restore it, or add nothing to it")
        steps = [StepTaken(ADD, event, None) for event in (*added, *amended)]
        steps += [StepTaken(VOID, stored[named], None) for named in draft.void]
        steps += [
            StepTaken(VOID, stored[named], Named(event.source, event.id))
            for named, event in zip(replaced, amended, strict=True)
        ]
        return steps

    def _stored(self, namespace: str, names: Sequence[EventName]) -> dict[EventName, Event]:
        """The events that are to be voided: each is stored, counts, and is named once."""
        stored = find_named(self._log, namespace, names)
        if len({each.event.identity for each in stored.values()}) < len(names):
            raise Invalid("an event is named twice")
        for name, each in stored.items():
            if each.event.type.startswith(SYSTEM_PREFIX):
                raise Invalid(f"{name.id!r} is itself part of a correction: undo that one")
        self._check_state([*stored.values()], voided=False)
        return {name: each.event for name, each in stored.items()}

    def _check_state(self, stored: Sequence[StoredEvent], *, voided: bool) -> None:
        """Raises `Invalid` unless all of them are voided, or none."""
        now_voided = self._log.voided(stored)
        for each in stored:
            if (each.at in now_voided) is not voided:
                words = [word for word in self._log.corrections_of(each.event) if word.event.type in (VOID, RESTORE)]
                state = "is not voided" if voided else "is voided"
                by = f", by the correction {step_of(words[-1].event).correction!r}" if words else ""
                raise Invalid(f"the event {each.event.id!r} of source {each.event.source!r} {state}{by}")

    def _check_new(self, events: Sequence[Event]) -> None:
        identities = [event.identity for event in events]
        if len(set(identities)) < len(identities):
            raise Invalid("an event is added twice")
        for taken in self._log.find(identities):
            raise AlreadyExists(
                f"an event {taken.event.id!r} of source {taken.event.source!r} is stored already: amend that one"
            )

    def _make(
        self,
        namespace: str,
        correction_id: str,
        draft: Draft,
        steps: Sequence[StepTaken],
        *,
        undoes: str | None = None,
        preview: bool,
    ) -> Correction:
        self._check_shard(namespace, steps)
        now = self._clock.now()
        rows: list[Event] = [step.event for step in steps if step.type == ADD]
        for number, step in enumerate(steps):
            content = Step(
                source=step.event.source,
                id=step.event.id,
                correction=correction_id,
                steps=len(steps),
                actor=draft.actor,
                reason=draft.reason,
                replaced_by=step.replaced_by,
                undoes=undoes,
            )
            data, row_id = msgspec.json.encode(content), _row_id(correction_id, number)
            rows.append(Event(namespace, SOURCE, row_id, step.type, step.event.organization, now, data, {}))
        effects = self._effects(rows, steps)
        if not preview:
            about = {step.event.organization for step in steps}
            of_one = next(iter(about)) if len(about) == 1 else None
            ledger = self._usage.ledger  # first: no correction is made that the audit log does not have
            ledger.record_act(namespace=namespace, organization=of_one, correction=correction_id)
            self._ingest.record(rows)
        return Correction(correction_id, namespace, draft.actor, draft.reason, undoes, now, steps, effects)

    def _check_shard(self, namespace: str, steps: Sequence[StepTaken]) -> None:
        """Raises `Elsewhere`, and `Invalid` where the events are of several shards: no commit is."""
        organizations = {step.event.organization for step in steps}
        try:
            for organization in organizations:
                self._seat.check(namespace, organization)
        except Elsewhere as elsewhere:
            shards = {self._seat.shard_of(namespace, organization) for organization in organizations}
            if shards == {elsewhere.shard}:
                raise
            raise Invalid(
                "the events are of organizations that live in different shards of this server: make a correction for "
                "each organization"
            ) from None

    def _effects(self, rows: Sequence[Event], steps: Iterable[StepTaken]) -> list[Effect]:
        places: dict[tuple[str, Period], datetime] = {}
        for step in steps:
            event = step.event
            period = usage_period(subscription_in(self._usage.ledger, event.namespace, event.organization), event.time)
            if len(places) < MAX_EFFECTS:
                places.setdefault((event.organization, period), event.time)
        effects = []
        with self._store.preview(rows) as (commit, supposed):
            for (name, period), moment in places.items():
                organization = Organization(name, name, rows[0].namespace, moment)
                before, after = (
                    self._usage.reader(organization, moment, commit, measuring).used()
                    for measuring in (self._store.measure, supposed)
                )
                changed = {
                    meter.slug: (then, now)
                    for (meter, then), (_, now) in zip(before, after, strict=True)
                    if then != now
                }
                effects.append(Effect(name, period, changed))
        return effects

    def _repeated(self, made: Correction, draft: Draft) -> Correction:
        if (made.actor, made.reason) != (draft.actor, draft.reason):
            raise AlreadyExists(f"there is another correction {made.id!r}: {made.reason}")
        return made

    def _found(self, namespace: str, correction_id: str) -> Correction:
        made = self._made(namespace, correction_id)
        if made is None:
            raise NotFound(f"there is no correction {correction_id[:60]!r} in namespace {namespace!r}")
        return made

    def _made(self, namespace: str, correction_id: str) -> Correction | None:
        def rows(numbers: Iterable[int]) -> list[StoredEvent]:
            names = [(SOURCE, _row_id(correction_id, number)) for number in numbers]
            found = self._log.find_named(namespace, names) if names else []
            return [each for each in found if each.event.type in STEPS]

        if not (first := rows([0])):
            return None
        step = step_of(first[0].event)
        taken = sorted(chain(first, rows(range(1, step.steps))), key=lambda each: each.at.position)
        said = [(each.event, step_of(each.event)) for each in taken]
        identities = [(namespace, told.organization, each.source, each.id) for told, each in said]
        events = {each.event.identity: each.event for each in self._log.find(identities)}
        steps = [
            StepTaken(told.type, events[identity], each.replaced_by)
            for identity, (told, each) in zip(identities, said, strict=True)
        ]
        return Correction(correction_id, namespace, step.actor, step.reason, step.undoes, first[0].stored_at, steps)


def _row_id(correction_id: str, number: int) -> str:
    return f"{correction_id}/{number}"


def _parsed(parser: EventParser, raw: bytes, now: datetime, where: str) -> Event:
    try:
        return parser.parse(raw, now)
    except Rejected as wrong:
        raise Invalid(f"{where}: {wrong}") from None
