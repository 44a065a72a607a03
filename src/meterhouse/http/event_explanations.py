"""Why an event counts, or does not; for the operator alone."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Annotated
from urllib.parse import unquote

import msgspec
from litestar import Response, Router, get
from litestar.params import FromPath, Parameter

from ..domain.json_reading import as_received
from ..domain.period import format_instant
from ..services.event_explanations import CorrectionRecord, EventExplanations, MeterStory, Story
from ..services.named_events import EventName
from .authentication import Authentication
from .bodies import exact, json_response
from .openapi import described
from .periods import PeriodBody, period_body
from .request import HttpRequest


class MeterStoryBody(msgspec.Struct):
    """What the event is to a meter: `value` of a COUNT is 1, `text` is what a UNIQUE_COUNT tells apart or the state of
    `entity`; `groups` are what the meter can be broken down by. `not_counted_because` is null when it counts."""

    meter: str
    aggregation: str
    value: Decimal | None
    text: str | None
    entity: str | None
    groups: dict[str, str]
    not_counted_because: str | None


class WordBody(msgspec.Struct):
    """What a correction said of the event: `void`, `restore` or `add`."""

    action: str
    at: str
    correction: str
    actor: str
    reason: str
    replaced_by: str | None
    undoes: str | None


class ConflictBody(msgspec.Struct):
    """A delivery with the same identity that says something else. It was not taken: the first one stands."""

    at: str
    type: str
    organization: str
    time: str
    data: msgspec.Raw


class StoryBody(msgspec.Struct):
    """An event's whole story. `state` is `counted`, `voided` or `unmatched`, and `because` says why it is not counted.
    Later deliveries with the same content were answered as duplicates and left no trace."""

    namespace: str
    source: str
    id: str
    state: str
    because: str | None
    organization: str
    known_organization: bool
    type: str
    time: str
    data: msgspec.Raw
    received_at: str
    commit: int
    position: int
    period: PeriodBody
    meters: list[MeterStoryBody]
    corrections: list[WordBody]
    conflicts: list[ConflictBody]


def stories_router(stories: EventExplanations, authentication: Authentication) -> Router:
    """The route."""

    @get(
        "/v1/namespaces/{namespace:str}/events/{event:path}",
        operation_id="getEvent",
        tags=["Events"],
        opt=described(answers={200: StoryBody}),
    )
    async def get_event(
        request: HttpRequest,
        namespace: FromPath[str],
        event: Annotated[str, Parameter(description="The source, a slash, and the id, each percent-encoded.")],
        organization: Annotated[
            str | None, Parameter(description="May be left out while only one has an event of that source and id.")
        ] = None,
    ) -> Response[bytes]:
        """An event's whole story: when it was received, in which commit, what it is to each meter and in which usage
        period, what corrections and contradicting deliveries there were. Without it, 404."""
        source, event_id = _named(request.scope.get("raw_path") or b"", event)
        story = await asyncio.to_thread(stories.of, namespace, EventName(source, event_id, organization))
        return json_response(story_body(story))

    return Router("/", route_handlers=[get_event], guards=[authentication.operator_guard()])


def _named(raw_path: bytes, decoded: str) -> tuple[str, str]:
    """Source and id. A source often has slashes itself: sent as they are, the id is what follows the last."""
    parts = raw_path.decode("ascii", "replace").partition("?")[0].split("/")
    if len(parts) < 7:
        source, _, event_id = decoded.strip("/").rpartition("/")
        return source, event_id
    return unquote("/".join(parts[5:-1])), unquote(parts[-1])


def story_body(story: Story) -> StoryBody:
    """All there is to tell of an event, in words."""
    stored, event, voided = story.stored, story.stored.event, story.voided
    counted = [each for each in story.meters if not each.reading.reason]
    if voided is not None:
        state, because = (
            "voided",
            f"{voided.step.actor} voided it by the correction {voided.step.correction}: {voided.step.reason}",
        )
    elif counted and not story.known_organization:
        state = "unmatched"
        because = f"there is no organization {event.organization!r} in the namespace; it counts as soon as there is"
    elif counted:
        state, because = "counted", None
    elif story.meters:
        state, because = "unmatched", "; ".join(f"{each.meter.slug}: {each.reading.reason}" for each in story.meters)
    else:
        state = "unmatched"
        because = f"no meter of the namespace reads the type {event.type!r}; there are {', '.join(story.known_types)}"
    return StoryBody(
        namespace=event.namespace,
        source=event.source,
        id=event.id,
        state=state,
        because=because,
        organization=event.organization,
        known_organization=story.known_organization,
        type=event.type,
        time=format_instant(event.time),
        data=msgspec.Raw(as_received(event.data)),
        received_at=format_instant(stored.stored_at),
        commit=stored.at.commit,
        position=stored.at.position,
        period=period_body(story.period),
        meters=[_meter(each) for each in story.meters],
        corrections=[_word(each) for each in story.words],
        conflicts=[
            ConflictBody(
                at=format_instant(each.at),
                type=each.delivery.type,
                organization=each.delivery.subject,
                time=each.delivery.time,
                data=msgspec.Raw(as_received(bytes(each.delivery.data))),
            )
            for each in story.contradictions
        ],
    )


def _meter(story: MeterStory) -> MeterStoryBody:
    reading = story.reading
    return MeterStoryBody(
        meter=story.meter.slug,
        aggregation=story.meter.aggregation,
        value=exact(reading.value),
        text=reading.text or None,
        entity=reading.entity or None,
        groups=story.groups,
        not_counted_because=reading.reason or None,
    )


def _word(word: CorrectionRecord) -> WordBody:
    step = word.step
    return WordBody(
        action=word.type.rpartition(".")[2],
        at=format_instant(word.at),
        correction=step.correction,
        actor=step.actor,
        reason=step.reason,
        replaced_by=step.replaced_by.id if step.replaced_by else None,
        undoes=step.undoes,
    )
