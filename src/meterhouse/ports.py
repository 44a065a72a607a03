"""What the use cases need from the outside. The docstrings are the specification; tests/conformance holds every
implementation to them. All methods may be called from many threads at once and block the calling thread."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from datetime import datetime
from decimal import Decimal
from typing import Protocol, TypeAlias

from .domain.event import Event, Identity, Outcome
from .domain.export import ExportForm, Selection
from .domain.listing import EventPage, EventQuery, Place, Saying, StoredEvent
from .domain.loss import Loss
from .domain.meter import Measure, MeterQuery, StateWindow, Top
from .domain.organization import Key, Organization
from .domain.period import Period
from .domain.plan import Subscription
from .domain.retention import Reduction

Chunks: TypeAlias = Generator[bytes, None, None]
"""Something long, piece by piece. To be closed by whoever does not read it to its end."""


class Clock(Protocol):
    """Where "now" comes from."""

    def now(self) -> datetime:
        """The present instant, in UTC."""
        ...


Measuring = Callable[[MeterQuery], list[Measure]]
"""Answers a query, as `EventStore.measure` does."""


class EventStore(Protocol):
    """Every event, once, forever."""

    def append(self, events: Sequence[Event], received_at: datetime) -> list[Outcome]:
        """Stores the events whose identity is not known yet; answers one outcome per event, in order.

        When it returns, what it calls ingested is on disk (fsync'd), all of it or, after a crash, none of it, and is
        seen by every later `measure`. Identities are compared with everything ever stored and with the earlier
        events of the same call. Repeating a call that raised is safe: nothing is counted twice. One caller at a
        time writes; readers are not blocked.

        An event of type VOID or RESTORE names another one, which is stored or comes before it in the same call, and
        decides from its commit on whether that one counts: the latest word stands. It becomes an event of the
        organization of the event it names. What contradicts a stored event is kept, once, as a CONFLICT.
        """
        ...

    def find(self, identities: Sequence[Identity]) -> list[StoredEvent]:
        """Those of the events that are stored, voided ones too, in no particular order; without their numbers."""
        ...

    def voided(self, stored: Sequence[StoredEvent]) -> set[Place]:
        """The places of those that do not count, by the latest word on them. They are of one namespace."""
        ...

    def about(self, event: Event) -> list[StoredEvent]:
        """Meterhouse's own events that name a stored one: its corrections and conflicts, in the order of storing."""
        ...

    def commit_at(self, instant: datetime) -> int:
        """The newest commit that was stored at that instant or before, 0 when there was none."""
        ...

    def latest_commit(self) -> int:
        """The number of the newest finished commit, 0 before the first. Numbers only grow, over restarts too."""
        ...

    def touched(self, namespace: str, organization: str) -> int:
        """A commit, at or after the newest one that has events of the organization: what was asked as of that one or a
        later one is still so. Told from memory; of a commit never later than `latest_commit` tells of it."""
        ...

    def measure(self, query: MeterQuery) -> list[Measure]:
        """The answer to the query, in no particular order; windows and groups without events of a meter are absent.

        Exact: sums never round. LATEST takes the event with the greatest time, among equals the last stored.
        STATE_COUNT takes each entity's latest event by the same rule, and counts the entity in the window that
        holds the moment the query's state window names (`NOW` puts every entity in window 0). Events that are voided
        as of the query's commit do not count, and are not listed by `newest` nor seen by `first_event_at`.
        """
        ...

    def top(self, query: MeterQuery, count: int) -> list[Top]:
        """The groups of a query that have most of its first meter, at most `count`, in order: among equals by the
        second meter and so on, then by name. The query is about one window and group, and about COUNT and SUM.

        Costs little more however many groups there are: only those that are answered leave the engine.
        """
        ...

    def rewrite(self, saying: Saying, rewritten: Callable[[Event], Event]) -> int:
        """Puts other data in the place of that of the events that say it now, and of contradictions that do: it is told
        each and answers what it becomes, which does not say it any more. Answers how many there were. When it returns
        nothing here says it, on disk for some minutes more at most; it can be repeated after a crash. What is
        derived from the events is made anew. Meanwhile groups may show some under one name and some under the other."""
        ...

    def remove(self, namespace: str, organization: str) -> int:
        """Removes every event of the organization but those of type REMOVAL, for good, and what is derived from them;
        answers how many there were. Its newest event is of that type, so that commit numbers go on as before, over
        restarts too. It can be repeated after a crash."""
        ...

    def reducible(self, reduction: Reduction) -> int:
        """How many events `reduce` would change."""
        ...

    def reduce(self, reduction: Reduction) -> None:
        """Removes from the data of a namespace's events before an instant, and of contradictions kept of them, all that
        is not kept. No answer to a question about what is kept changes, not even while it runs; it can be repeated
        after a crash, which leaves some events reduced and others not."""
        ...

    def supposing(self, events: Sequence[Event]) -> AbstractContextManager[tuple[int, Measuring]]:
        """The latest commit, and what `measure` would answer as of it if these events had been its last: their
        identities are new. Nothing is stored. One at a time; others wait."""
        ...

    def newest(self, query: EventQuery) -> list[StoredEvent]:
        """The first `limit` events of the query, newest first: by time, among equals the last stored first.

        With `after`, the events next to that place on its newer side, newest first all the same.
        """
        ...

    def first_event_at(self, namespace: str, organization: str) -> datetime | None:
        """The earliest `time` among the organization's events."""
        ...

    def export(self, selection: Selection, form: ExportForm) -> Chunks:
        """The selected events as of this call, in the order in which they were stored: piece by piece, in memory that
        does not grow with them. May raise after it has begun; what was given is of no use then."""
        ...

    def fold(self, settled_commit: int) -> bool:
        """Folds some of the commits up to that one into rollups; answers whether any are left. Changes no answer, only
        what it costs. Questions about earlier commits become as slow as without rollups. May raise; a call that raised
        can be repeated."""
        ...

    def interrupt(self) -> None:
        """Has what is being folded, rewritten, removed or reduced left undone, for the store will be closed: it may
        take minutes. Whoever waits for it is told by an error; it can be repeated."""
        ...

    def folded_commit(self) -> int:
        """The commit up to which everything is folded."""
        ...

    def unfolded_events(self) -> int:
        """How many events were stored after that commit."""
        ...

    def checkpoint(self) -> None:
        """Saves what spares the next start work, when enough has changed for it to pay. May raise; the next start is
        slower then, and nothing else."""
        ...

    def rebuild(self) -> None:
        """Drops everything that is derived from the events; it is there again when it is folded again."""
        ...

    def count(self) -> int:
        """How many events are stored, Meterhouse's own included."""
        ...

    def losses(self) -> list[Loss]:
        """What was lost and accepted as lost, oldest first; told from memory. None, unless the operator had to repair
        the store."""
        ...

    def check_room(self) -> None:
        """Raises `InsufficientStorage` while nothing can be stored because the disk is full; told from memory, and from
        how much room there is now."""
        ...

    def close(self) -> None:
        """Releases the folder. The store cannot be used afterwards."""
        ...


class Ledger(Protocol):
    """Organizations, their keys and subscriptions. Every method is one transaction."""

    def add_organization(self, organization: Organization) -> None:
        """Raises `AlreadyExists` when the id is taken, also by a deleted organization."""
        ...

    def organization(self, organization_id: str) -> Organization | None:
        """The organization, deleted ones included; None when there never was one of that id."""
        ...

    def organizations(self) -> list[Organization]:
        """All of them except the deleted ones, by id."""
        ...

    def delete_organization(self, organization_id: str, at: datetime) -> None:
        """Marks it deleted; its keys stay known. Raises `NotFound` when there is none, or it is deleted already."""
        ...

    def restore_organization(self, organization_id: str, deleted_after: datetime | None) -> None:
        """Takes back a deletion after that instant. Raises `NotFound` when there is none, or it is marked purged."""
        ...

    def deleted(self) -> Set[tuple[str, str]]:
        """Namespace and id of every deleted organization, purged ones included. Mostly told from memory."""
        ...

    def purgeable(self, deleted_until: datetime) -> list[Organization]:
        """The organizations that were deleted at that instant or before and are not marked purged, by id."""
        ...

    def mark_purged(self, organization_id: str, at: datetime) -> None:
        """Remembers that the events of a deleted organization are gone."""
        ...

    def put_subscription(self, organization_id: str, subscription: Subscription) -> None:
        """Replaces the organization's subscription. The organization exists."""
        ...

    def subscription(self, organization_id: str) -> Subscription | None:
        """The organization's subscription, None when it has none. Amounts come back exactly as they were put."""
        ...

    def add_key(self, key: Key) -> None:
        """Stores a key. Its organization exists; its id and hash are new."""
        ...

    def key_by_hash(self, secret_hash: str) -> Key | None:
        """The key of that hash, revoked and expired ones included."""
        ...

    def keys(self, organization_id: str) -> list[Key]:
        """The organization's keys, oldest first, revoked ones included."""
        ...

    def rename_key_user(self, organization_id: str, user_id: str, name: str) -> int:
        """Lets all keys that stand for a user of the organization stand for another name; answers how many."""
        ...

    def revoke_key(self, organization_id: str, key_id: str, at: datetime) -> None:
        """Revokes a key of that organization. Raises `NotFound` when it has no such key, or it is revoked already."""
        ...

    def changes(self) -> int:
        """A number that grows with every change of organizations, subscriptions and keys, before its call ends."""
        ...

    def changed(self, organization_id: str) -> int:
        """The number of a change, at or after the newest one of that organization, its subscription or keys: what was
        read after `changes` answered that number or a higher one is still so. Told from memory."""
        ...

    def requests(self, organization_id: str, hour: datetime) -> int:
        """How many requests of that hour are counted for the organization."""
        ...

    def count_request(self, organization_id: str, hour: datetime, limit: int) -> int | None:
        """Counts one more request of that hour and answers how many there are; None, counting nothing, when `limit`
        (1 or more) are counted already. Exact under parallel calls, and on disk when it returns. The organization
        exists. Only the hour counted last is remembered."""
        ...

    def secret(self, name: str, candidate: bytes) -> bytes:
        """The secret of that name: the one that is kept, or else `candidate`, which is kept from then on."""
        ...

    def ping(self) -> None:
        """Raises unless the database answers."""
        ...

    def close(self) -> None:
        """Releases connections."""
        ...


class UsageReader(Protocol):
    """One organization's usage at one moment: all that a contract may ask. Every answer comes from the same state
    of the store. Meters are named by slug; `filters` keep only events whose property has exactly that text."""

    @property
    def organization(self) -> Organization:
        """Whose usage it is."""
        ...

    @property
    def subscription(self) -> Subscription | None:
        """What the organization has subscribed to."""
        ...

    @property
    def now(self) -> datetime:
        """The moment of the question."""
        ...

    def period(self) -> Period:
        """The usage period that `now` lies in; all time without a subscription."""
        ...

    def limit(self, meter: str) -> Decimal | None:
        """How much of the meter may be used in the period; None when nothing limits it."""
        ...

    def total(self, meter: str, period: Period, filters: Mapping[str, str] | None = None) -> Decimal:
        """The meter over the period; 0 without events. A STATE_COUNT counts the entities in its counted states."""
        ...

    def totals(self, meters: Sequence[str], period: Period) -> list[Decimal]:
        """`total` for several meters; asked together they cost little more than one."""
        ...

    def windows(self, meters: Sequence[str], edges: Sequence[datetime]) -> list[list[Decimal]]:
        """For each meter its total in each of the adjoining windows that the n + 1 edges bound."""
        ...

    def groups(self, meters: Sequence[str], period: Period, by: str) -> list[dict[str, Decimal]]:
        """For each meter its total over the period by the text of a property; "" stands for events without it. Raises
        `TooManyGroups` for more than 10,000."""
        ...

    def top(self, meters: Sequence[str], period: Period, by: str, count: int) -> list[Top]:
        """The groups of `groups` that have most of the first meter, at most `count`, each with its total of every
        meter: among equals by the second meter and so on, then by name. For COUNT and SUM."""
        ...

    def state_windows(self, meter: str, edges: Sequence[datetime | None], by: StateWindow) -> list[dict[str, Decimal]]:
        """For each of the adjoining windows how many entities of a STATE_COUNT are in each state, of those whose change
        or creation falls in it; a first or last edge of None is open."""
        ...

    def state_groups(self, meter: str, period: Period, by: StateWindow, group: str) -> dict[str, Decimal]:
        """How many entities there are, whatever their state, by the text of a property."""
        ...

    def first_event_at(self) -> datetime | None:
        """The time of the organization's first event."""
        ...

    def events(
        self,
        event_type: str,
        period: Period,
        filters: Mapping[str, tuple[str, ...]],
        limit: int,
        cursor: str | None = None,
    ) -> EventPage:
        """A page of at most `limit` events of the period, newest first; `filters` keep those whose property has one
        of these texts. With a cursor the page next to the one it came from, of the same period and the same state of
        the store; raises `Invalid` when it came from a list of another organization, type or filters."""
        ...

    def key_users(self) -> frozenset[str]:
        """The users that the organization's keys stand for."""
        ...
