"""Organizations."""

from __future__ import annotations

import asyncio

import msgspec
from litestar import Response, Router, delete, get, post
from litestar.params import FromPath, JSONBody

from ..domain.organization import Organization
from ..domain.period import format_instant, parse_instant
from ..services.accounts import Accounts
from .authentication import Authentication
from .openapi import described
from .request import HttpRequest


class NewOrganization(msgspec.Struct, forbid_unknown_fields=True):
    """An organization to add. `created_at` is RFC 3339; now when absent."""

    id: str
    name: str
    namespace: str
    created_at: str | None = None


class OrganizationBody(msgspec.Struct):
    """An organization."""

    id: str
    name: str
    namespace: str
    created_at: str


def organizations_router(accounts: Accounts, authentication: Authentication) -> Router:
    """The routes, closed over what they need."""

    @post(
        "/v1/organizations",
        operation_id="createOrganization",
        tags=["Organizations"],
        opt=described(problems=(404, 409), example={"id": "acme", "name": "Acme Inc.", "namespace": "aitronos"}),
    )
    async def create_organization(request: HttpRequest, data: JSONBody[NewOrganization]) -> Response[OrganizationBody]:
        """Adds an organization; 409 when the id is taken."""
        request.state.organization = data.id
        created_at = parse_instant(data.created_at) if data.created_at is not None else None
        added = await asyncio.to_thread(accounts.create_organization, data.id, data.name, data.namespace, created_at)
        return Response(_organization(added), status_code=201)

    @get("/v1/organizations", operation_id="listOrganizations", tags=["Organizations"])
    async def list_organizations() -> list[OrganizationBody]:
        """All organizations, by id."""
        return [_organization(each) for each in await asyncio.to_thread(accounts.ledger.organizations)]

    @get("/v1/organizations/{organization_id:str}", operation_id="getOrganization", tags=["Organizations"])
    async def get_organization(organization_id: FromPath[str]) -> OrganizationBody:
        """One organization."""
        return _organization(await asyncio.to_thread(accounts.organization, organization_id))

    @delete("/v1/organizations/{organization_id:str}", operation_id="deleteOrganization", tags=["Organizations"])
    async def delete_organization(organization_id: FromPath[str]) -> None:
        """Deletes an organization: its keys then get their contract's answer for one that is gone."""
        await asyncio.to_thread(accounts.delete_organization, organization_id)

    @post(
        "/v1/organizations/{organization_id:str}/restore",
        status_code=200,
        operation_id="restoreOrganization",
        tags=["Organizations"],
    )
    async def restore_organization(organization_id: FromPath[str]) -> OrganizationBody:
        """Takes a deletion back, while the events are still stored."""
        return _organization(await asyncio.to_thread(accounts.restore_organization, organization_id))

    return Router(
        "/",
        route_handlers=[
            create_organization,
            list_organizations,
            get_organization,
            delete_organization,
            restore_organization,
        ],
        guards=[authentication.operator_guard()],
    )


def _organization(organization: Organization) -> OrganizationBody:
    return OrganizationBody(
        organization.id, organization.name, organization.namespace, format_instant(organization.created_at)
    )
