"""Erasing what events say of a person, for the operator alone."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from litestar import Router, get, post
from litestar.params import FromPath, JSONBody, Parameter

from ..domain.operator_key import Role
from ..domain.period import format_instant
from ..services.erasures import Erasure, Erasures, Request
from .authentication import Authentication
from .corrections import OwnId
from .openapi import described
from .request import HttpRequest

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


class NewErasure(msgspec.Struct, forbid_unknown_fields=True):
    """What to erase of an organization's events: every place where the property, a dotted path, has exactly this text.
    The `id` is one of your own: with it an erasure that was interrupted is finished, and one that was done is told."""

    id: OwnId
    organization: str
    property: _Text
    value: _Text
    actor: _Text
    reason: _Text


class ErasureBody(msgspec.Struct):
    """The receipt of an erasure: `events` were rewritten, and `keys` stood for it. It does not say what was erased."""

    id: str
    organization: str
    at: str
    property: str
    replaced_by: str
    events: int
    keys: int
    actor: str
    reason: str


_EXAMPLE = {
    "id": "request-12",
    "organization": "acme",
    "property": "user.id",
    "value": "ada@example.com",
    "actor": "privacy@example.com",
    "reason": "asked to be forgotten",
}


def erasures_router(erasures: Erasures, authentication: Authentication) -> Router:
    """Both routes."""

    @post(
        "/v1/erasures",
        status_code=200,
        operation_id="erase",
        tags=["Erasures"],
        guards=[authentication.operator_guard(Role.ADMIN)],
        opt=described(example=_EXAMPLE, problems=(404, 409)),
    )
    async def erase(request: HttpRequest, data: JSONBody[NewErasure]) -> ErasureBody:
        """Replaces a text in a property of an organization's events by a word that says nothing, in place and for good.
        Every total stays the same; what is grouped by the property is grouped by that word."""
        request.state.organization = data.organization
        wanted = Request(data.id, data.organization, data.property, data.value, data.actor, data.reason)
        return _body(await asyncio.to_thread(erasures.erase, wanted))

    @get("/v1/erasures/{erasure_id:str}", operation_id="getErasure", tags=["Erasures"])
    async def get_erasure(
        erasure_id: FromPath[str], namespace: Annotated[str, Parameter(description="Of the organization.")]
    ) -> ErasureBody:
        """The receipt of an erasure."""
        return _body(await asyncio.to_thread(erasures.of, namespace, erasure_id))

    return Router("/", route_handlers=[erase, get_erasure], guards=[authentication.operator_guard()])


def _body(erasure: Erasure) -> ErasureBody:
    receipt = erasure.receipt
    return ErasureBody(
        erasure.id,
        erasure.organization,
        format_instant(erasure.at),
        receipt.property,
        receipt.replaced_by,
        receipt.events,
        receipt.keys,
        receipt.actor,
        receipt.reason,
    )
