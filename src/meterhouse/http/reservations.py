"""Is there room, hold it for me, here is what I used."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, TypeVar

import msgspec
from litestar import Response, Router, delete, get, post
from litestar.params import FromPath

from ..domain.decision import Decision
from ..domain.errors import Invalid
from ..domain.event import Event
from ..domain.operator_key import Role
from ..domain.organization import Organization
from ..domain.period import format_instant
from ..domain.reservation import Reservation
from ..services.accounts import EVENTS_WRITE, Accounts
from ..services.enforcement import Enforcement, QuotaExceeded
from ..services.reservations import Reservations
from .authentication import Authentication, refuse_other_namespace
from .bodies import encode_body, exact
from .corrections import OwnId
from .openapi import described
from .problems import Forbidden
from .quota_refusals import LimitBody, QuotaProblem, QuotaRefusals, limit_body
from .request import HttpRequest

_Meter = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
B = TypeVar("B")
_PATH = "/v1/organizations/{organization_id:str}"


class QuotaQuestion(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How much of which meter. `for` has the properties that limits tell apart by: `{"team": "blue"}`."""

    meter: _Meter
    amount: Decimal = Decimal(1)
    properties: dict[str, str] = msgspec.field(default_factory=dict, name="for")


class NewReservation(QuotaQuestion, forbid_unknown_fields=True, kw_only=True):
    """What to hold, and for how long. With an `id` of your own it can be repeated safely."""

    id: OwnId | None = None
    expires_in_seconds: int = 300


class ReservationUse(msgspec.Struct, forbid_unknown_fields=True):
    """The CloudEvent that uses what is reserved; `amount` is what it must come to, to be sure."""

    event: msgspec.Raw
    amount: Decimal | None = None


class QuotaAnswer(msgspec.Struct):
    """Whether there is room. `exceeded` has the limits without it, also those that only say so."""

    allowed: bool
    left: Decimal | None
    limits: list[LimitBody]
    exceeded: list[LimitBody]


class ReservationBody(msgspec.Struct):
    """What is held, until when."""

    id: str
    meter: str
    amount: Decimal | None
    properties: dict[str, str] = msgspec.field(name="for")
    created_at: str
    expires_at: str


class ReservationEnd(msgspec.Struct):
    """Which event has used a reservation."""

    id: str
    source: str
    event: str


_question = msgspec.json.Decoder(QuotaQuestion)
_reservation = msgspec.json.Decoder(NewReservation)
_use = msgspec.json.Decoder(ReservationUse)
_QUESTION = {"meter": "credits", "amount": 3, "for": {"team": "blue"}}


class ReservationEndpoints:
    """For whoever may send an organization's events."""

    def __init__(
        self,
        reservations: Reservations,
        enforcement: Enforcement,
        accounts: Accounts,
        refusals: QuotaRefusals,
        authentication: Authentication,
    ):
        self._reservations = reservations
        self._enforcement = enforcement
        self._accounts = accounts
        self._refusals = refusals
        self._authentication = authentication

    def check_at_once(self, organization_id: str, content: bytes) -> bytes | None:
        """The answer to the operator's question, where memory has it. Raises whatever is wrong with it."""
        asked = _question.decode(content)
        organization = self._accounts.organization(organization_id)
        decision = self._reservations.check_at_once(organization, asked.meter, asked.amount, asked.properties)
        return encode_body(answer_of(decision)) if decision is not None else None

    def router(self) -> Router:
        """The routes."""

        @post(
            f"{_PATH}/check",
            status_code=200,
            operation_id="checkLimits",
            tags=["Limits"],
            opt=described(body=QuotaQuestion, example=_QUESTION, answers={200: QuotaAnswer}, problems=(404,)),
        )
        async def check(request: HttpRequest, organization_id: FromPath[str]) -> Response[bytes]:
            """Whether there is room for an amount, limit by limit, with everything that was acknowledged before and
            what is reserved. Nothing is held: who wants to be sure reserves."""
            body = await request.body()
            return await asyncio.to_thread(self._check, request, organization_id, body)

        @post(
            f"{_PATH}/reservations",
            status_code=201,
            operation_id="reserve",
            tags=["Limits"],
            opt=described(
                body=NewReservation,
                example={**_QUESTION, "id": "job-17", "expires_in_seconds": 60},
                answers={201: ReservationBody, 402: QuotaProblem},
                own_words=(402,),
                problems=(404, 409),
            ),
        )
        async def reserve(request: HttpRequest, organization_id: FromPath[str]) -> Response[bytes]:
            """Holds an amount until it is used, released, or its time is over; 402 names the hard limit that has no
            room in `limit`, as `check` tells it, or says it in the words of the organization's contract, to be passed
            on. However many ask at once, no hard limit grants more than it has."""
            body = await request.body()
            organization, pending = await asyncio.to_thread(self._reserve, request, organization_id, body)
            try:
                return _json(_body(await asyncio.wrap_future(pending)), 201)
            except QuotaExceeded as refused:
                return self._refusals.response(request, organization.namespace, refused)

        @get(f"{_PATH}/reservations", operation_id="listReservations", tags=["Limits"])
        async def open_reservations(request: HttpRequest, organization_id: FromPath[str]) -> list[ReservationBody]:
            """The open ones, by when they end."""
            return await asyncio.to_thread(self._open, request, organization_id)

        @post(
            f"{_PATH}/reservations/{{reservation_id:str}}/commit",
            status_code=200,
            operation_id="commitReservation",
            tags=["Limits"],
            opt=described(body=ReservationUse, answers={200: ReservationEnd}, problems=(404, 409)),
        )
        async def commit(
            request: HttpRequest, organization_id: FromPath[str], reservation_id: FromPath[str]
        ) -> Response[bytes]:
            """Stores the event that uses what is reserved, and lets go of the rest, in one step. It can be repeated
            with the same event; 409 when the reservation has ended otherwise, or the event is not what was reserved."""
            body = await request.body()
            pending = await asyncio.to_thread(self._commit, request, organization_id, reservation_id, body)
            event = await asyncio.wrap_future(pending)
            return _json(ReservationEnd(reservation_id, event.source, event.id))

        @delete(f"{_PATH}/reservations/{{reservation_id:str}}", operation_id="releaseReservation", tags=["Limits"])
        async def release(request: HttpRequest, organization_id: FromPath[str], reservation_id: FromPath[str]) -> None:
            """Lets go of what is reserved; nothing happens where that is so already."""
            await asyncio.wrap_future(await asyncio.to_thread(self._release, request, organization_id, reservation_id))

        return Router("/", route_handlers=[check, reserve, open_reservations, commit, release])

    def _organization(self, request: HttpRequest, organization_id: str) -> Organization:
        caller = self._authentication.caller(request, Role.INGEST)
        if caller is not None and (caller.organization.id != organization_id or EVENTS_WRITE not in caller.scopes):
            raise Forbidden(f"this needs the admin key, or a key of that organization with the scope {EVENTS_WRITE}")
        organization = self._accounts.organization(organization_id)
        refuse_other_namespace(request, organization.namespace)
        return organization

    def _check(self, request: HttpRequest, organization_id: str, content: bytes) -> Response[bytes]:
        organization = self._organization(request, organization_id)
        asked = _read(_question, content)
        decision = self._reservations.check(organization, asked.meter, asked.amount, asked.properties)
        return _json(answer_of(decision))

    def _reserve(
        self, request: HttpRequest, organization_id: str, content: bytes
    ) -> tuple[Organization, Future[Reservation]]:
        organization = self._organization(request, organization_id)
        asked = _read(_reservation, content)
        pending = self._reservations.reserve(
            organization,
            asked.meter,
            asked.amount,
            asked.properties,
            reservation_id=asked.id,
            expires_in=timedelta(seconds=min(max(asked.expires_in_seconds, 0), 10**6)),
        )
        return organization, pending

    def _open(self, request: HttpRequest, organization_id: str) -> list[ReservationBody]:
        organization = self._organization(request, organization_id)
        return [_body(each) for each in self._enforcement.open_reservations(organization)]

    def _commit(self, request: HttpRequest, organization_id: str, reservation_id: str, content: bytes) -> Future[Event]:
        organization = self._organization(request, organization_id)
        used = _read(_use, content)
        return self._reservations.commit(organization, reservation_id, bytes(used.event), used.amount)

    def _release(self, request: HttpRequest, organization_id: str, reservation_id: str) -> Future[None]:
        return self._reservations.release(self._organization(request, organization_id), reservation_id)


def answer_of(decision: Decision) -> QuotaAnswer:
    """A decision as it is answered."""
    return QuotaAnswer(
        decision.refused_by is None,
        exact(decision.left),
        [limit_body(each) for each in decision.limits],
        [limit_body(each) for each in decision.exceeded],
    )


def _json(body: object, status: int = 200) -> Response[bytes]:
    return Response(encode_body(body), status_code=status, media_type="application/json")


def _body(reservation: Reservation) -> ReservationBody:
    return ReservationBody(
        reservation.id,
        reservation.meter,
        exact(reservation.amount),
        dict(reservation.properties),
        format_instant(reservation.created_at),
        format_instant(reservation.expires_at),
    )


def _read(decoder: msgspec.json.Decoder[B], content: bytes) -> B:
    try:
        return decoder.decode(content)
    except msgspec.ValidationError as wrong:
        raise Invalid(f"the body: {wrong}") from None
    except msgspec.DecodeError:
        raise Invalid("the body is no JSON") from None
