"""Who may send events, and of whom: an operator those of a namespace, an organization its own."""

from __future__ import annotations

from dataclasses import dataclass

from ..domain.errors import Invalid
from ..domain.operator_key import Role
from ..services.accounts import EVENTS_WRITE
from .authentication import Authentication, operator_of, refuse_other_namespace
from .problems import Forbidden
from .request import HttpRequest


@dataclass(frozen=True, slots=True)
class Senders:
    """Finds out what a request may send."""

    authentication: Authentication

    async def namespace_of(self, request: HttpRequest, named: str | None) -> tuple[str, str | None]:
        """The namespace whose events may be sent, the one that the request names if it names one; and the only
        organization whose events they may be. Raises `Unauthorized`, `Forbidden`, and `Invalid` where neither the
        request nor its key says the namespace."""
        caller = await self.authentication.caller_of(request, Role.INGEST)
        if caller is not None:
            organization = caller.organization
            if EVENTS_WRITE not in caller.scopes:
                raise Forbidden(f"this key lacks the scope {EVENTS_WRITE}")
            if named not in (None, organization.namespace):
                raise Forbidden("this key belongs to another namespace")
            return organization.namespace, organization.id
        namespace = named or operator_of(request.scope).namespace
        if namespace is None:
            raise Invalid(f"name the namespace of the events: POST {request.url.path}?namespace=…")
        refuse_other_namespace(request, namespace)
        return namespace, None
