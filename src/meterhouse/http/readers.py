"""Who may read an organization's usage: the operator, and keys of the organization itself."""

from __future__ import annotations

from dataclasses import dataclass

from ..domain.operator_key import Role
from ..domain.organization import Organization
from ..services.accounts import Accounts
from .authentication import Authentication
from .problems import Forbidden
from .request import HttpRequest


@dataclass(frozen=True, slots=True)
class Readers:
    """Finds the organization that a request reads the usage of."""

    accounts: Accounts
    authentication: Authentication

    def organization(self, request: HttpRequest, organization_id: str) -> Organization:
        """The organization. Raises `Unauthorized` without a valid key, `Forbidden` for a key of another organization or
        without a scope that reads usage, and `NotFound` for the operator where there is none."""
        caller = self.authentication.caller(request, Role.READ)
        if caller is not None:
            reading = self.accounts.policies[caller.organization.namespace].reading
            if caller.organization.id != organization_id or not caller.scopes & reading:
                raise Forbidden("this key may not read the usage of that organization")
        return self.accounts.organization(organization_id)
