"""Finding organizations among very many of them."""

from __future__ import annotations

from dataclasses import dataclass

from .organization import Organization


@dataclass(frozen=True, slots=True)
class OrganizationSearch:
    """Which organizations are wanted; all that is given must hold. Deleted ones are never found."""

    text: str = ""
    """A part of the id or the name; capitals and small letters are the same."""
    namespace: str | None = None
    plan: str | None = None
    """What its subscription names."""
    ids: tuple[str, ...] | None = None
    """Only some of these."""
    offset: int = 0
    limit: int = 50


@dataclass(frozen=True, slots=True)
class FoundOrganization:
    """An organization, and the plan that its subscription names."""

    organization: Organization
    plan: str | None


@dataclass(frozen=True, slots=True)
class FoundOrganizations:
    """`limit` organizations from `offset` on, by id, and how many there are in all."""

    found: tuple[FoundOrganization, ...]
    total: int
