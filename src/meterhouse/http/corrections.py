"""Correcting the past, for the operator alone."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Annotated, TypeVar

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath, Parameter

from ..domain.correction import MAX_STEPS, Named
from ..domain.errors import Invalid
from ..domain.event import MAX_TEXT
from ..domain.period import format_instant
from ..services.amendments import Amendment
from ..services.correction_parts import Correction, Draft
from ..services.corrections import Corrections
from ..services.named_events import EventName
from .authentication import Authentication
from .bodies import Bodies, exact, json_response
from .openapi import described
from .periods import PeriodBody, period_body
from .request import HttpRequest

_Namespace = Annotated[str, Parameter(description="The namespace of the events.")]
_Preview = Annotated[bool, Parameter(description="Only tells what would change.")]
_Word = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
OwnId = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^/\x00-\x1f\x7f]+$")]
"""An id that the operator gives: it can stand in a path."""


class NamedEvent(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An event of the namespace. `organization` may be left out while only one has an event of that source and id."""

    source: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT)]
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT)]
    organization: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT)] | None = None


class AmendmentBody(NamedEvent, forbid_unknown_fields=True):
    """An event, and what it should have said; what is absent stays as it was."""

    type: str | None = None
    time: str | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class NewUndo(msgspec.Struct, forbid_unknown_fields=True):
    """Who takes a correction back, and why. With an `id` it can be repeated safely."""

    actor: _Word
    reason: _Word
    id: OwnId | None = None


class NewCorrection(NewUndo, forbid_unknown_fields=True):
    """Who corrects what, and why. `add` has CloudEvents. With an `id` it can be repeated safely."""

    void: Annotated[list[NamedEvent], msgspec.Meta(max_length=MAX_STEPS)] = []
    amend: Annotated[list[AmendmentBody], msgspec.Meta(max_length=MAX_STEPS)] = []
    add: Annotated[list[msgspec.Raw], msgspec.Meta(max_length=MAX_STEPS)] = []


class StepBody(msgspec.Struct, omit_defaults=True):
    """What was done to one event: `void`, `restore` or `add`."""

    action: str
    source: str
    id: str
    organization: str
    type: str
    time: str
    replaced_by: Named | None = None


class ChangeBody(msgspec.Struct):
    """A meter before and after."""

    before: Decimal | None
    after: Decimal | None


class EffectBody(msgspec.Struct):
    """What became of an organization's usage in one usage period: the meters that change, none when none does."""

    organization: str
    period: PeriodBody
    meters: dict[str, ChangeBody]


class CorrectionBody(msgspec.Struct):
    """A correction. `applied` is false for a preview: then nothing was stored."""

    id: str
    namespace: str
    actor: str
    reason: str
    undoes: str | None
    at: str
    applied: bool
    steps: list[StepBody]
    effects: list[EffectBody]


_MADE = {200: CorrectionBody}
_EXAMPLE = {
    "actor": "ada@example.com",
    "reason": "the importer ran twice",
    "id": "ticket-4711",
    "void": [{"source": "importer", "id": "call-17", "organization": "acme"}],
}
_MOST_COMMAS = 50 * MAX_STEPS
_correction_body = msgspec.json.Decoder(NewCorrection)
_undo_body = msgspec.json.Decoder(NewUndo)
T = TypeVar("T")


def corrections_router(corrections: Corrections, authentication: Authentication, bodies: Bodies) -> Router:
    """All routes. Bodies are read here: the framework's own way takes numbers for binary fractions."""

    async def read(request: HttpRequest, decoder: msgspec.json.Decoder[T]) -> T:
        try:
            async with bodies.reading(request) as body:
                if body.count(b",") > _MOST_COMMAS:  # before lists are made, however small what they hold
                    raise Invalid(f"the body has more than {_MOST_COMMAS} commas: divide the correction")
                return decoder.decode(body)
        except msgspec.DecodeError as wrong:
            raise Invalid(f"the body is no correction: {wrong}") from None

    @post(
        "/v1/corrections",
        status_code=200,
        operation_id="correctEvents",
        tags=["Corrections"],
        opt=described(answers=_MADE, body=NewCorrection, example=_EXAMPLE, problems=(404, 409)),
    )
    async def correct_events(
        request: HttpRequest,
        namespace: _Namespace,
        preview: _Preview = False,
    ) -> Response[bytes]:
        """Voids events, replaces them by amended ones, and adds forgotten ones: all of it or nothing.

        Nothing stored is changed: every step is an event of its own. `effects` tells used before and after, of each
        organization and usage period with a changed event; a preview tells the same and stores nothing.
        """
        data = await read(request, _correction_body)
        draft = Draft(
            data.actor,
            data.reason,
            data.id,
            [_name(each) for each in data.void],
            [_amendment(each) for each in data.amend],
            [bytes(each) for each in data.add],
        )
        made = await asyncio.to_thread(corrections.correct, namespace, draft, preview=preview)
        return _answer(request, made, applied=not preview)

    @post(
        "/v1/corrections/{correction_id:str}/undo",
        status_code=200,
        operation_id="undoCorrection",
        tags=["Corrections"],
        opt=described(
            answers=_MADE,
            body=NewUndo,
            example={"actor": "ada@example.com", "reason": "it was right after all"},
            problems=(409,),
        ),
    )
    async def undo_correction(
        request: HttpRequest,
        correction_id: FromPath[str],
        namespace: _Namespace,
        preview: _Preview = False,
    ) -> Response[bytes]:
        """Takes back what a correction did, by another correction, which can be undone in turn."""
        data = await read(request, _undo_body)
        draft = Draft(data.actor, data.reason, data.id)
        made = await asyncio.to_thread(corrections.undo, namespace, correction_id, draft, preview=preview)
        return _answer(request, made, applied=not preview)

    @get(
        "/v1/corrections/{correction_id:str}",
        operation_id="getCorrection",
        tags=["Corrections"],
        opt=described(answers=_MADE),
    )
    async def get_correction(
        request: HttpRequest, correction_id: FromPath[str], namespace: _Namespace
    ) -> Response[bytes]:
        """A correction that was made, without its effects."""
        return _answer(request, await asyncio.to_thread(corrections.of, namespace, correction_id), applied=True)

    return Router(
        "/",
        route_handlers=[correct_events, undo_correction, get_correction],
        guards=[authentication.operator_guard()],
    )


def _answer(request: HttpRequest, made: Correction, *, applied: bool) -> Response[bytes]:
    request.state.organization = " ".join(sorted({step.event.organization for step in made.steps}))
    return json_response(_correction(made, applied=applied))


def _amendment(body: AmendmentBody) -> Amendment:
    data = None if body.data is msgspec.UNSET else bytes(body.data)
    return Amendment(_name(body), body.type, body.time, data)


def _name(body: NamedEvent) -> EventName:
    return EventName(body.source, body.id, body.organization)


def _correction(made: Correction, *, applied: bool) -> CorrectionBody:
    return CorrectionBody(
        id=made.id,
        namespace=made.namespace,
        actor=made.actor,
        reason=made.reason,
        undoes=made.undoes,
        at=format_instant(made.at),
        applied=applied,
        steps=[
            StepBody(
                action=step.type.rpartition(".")[2],
                source=step.event.source,
                id=step.event.id,
                organization=step.event.organization,
                type=step.event.type,
                time=format_instant(step.event.time),
                replaced_by=step.replaced_by,
            )
            for step in made.steps
        ],
        effects=[
            EffectBody(
                effect.organization,
                period_body(effect.period),
                {slug: ChangeBody(exact(before), exact(after)) for slug, (before, after) in effect.meters.items()},
            )
            for effect in made.effects
        ],
    )
