"""Grants of organizations."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from ..domain.grant import Grant


class Grants(Protocol):
    """Every method is one transaction."""

    def add_grant(self, grant: Grant) -> None:
        """Stores a grant. Raises `NotFound` without its organization, `AlreadyExists` when that has one of its id."""
        ...

    def grants(self, organization_id: str) -> tuple[Grant, ...]:
        """All grants of the organization, voided and expired ones included, the oldest first. Mostly told from
        memory."""
        ...

    def void_grant(self, organization_id: str, grant_id: str, at: datetime) -> None:
        """Lets a grant end. Raises `NotFound` when the organization has no such grant, or it is voided already."""
        ...
