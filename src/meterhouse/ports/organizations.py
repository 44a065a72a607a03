"""Organizations and what they have subscribed to."""

from __future__ import annotations

from collections.abc import Set
from datetime import datetime
from typing import Protocol

from ..domain.directory import FoundOrganizations, OrganizationSearch
from ..domain.organization import Organization
from ..domain.plan import Subscription


class Organizations(Protocol):
    """Every method is one transaction."""

    def add_organization(self, organization: Organization) -> None:
        """Raises `AlreadyExists` when the id is taken, also by a deleted organization."""
        ...

    def organization(self, organization_id: str) -> Organization | None:
        """The organization, deleted ones included; None when there never was one of that id."""
        ...

    def organizations(self) -> list[Organization]:
        """All of them except the deleted ones, by id."""
        ...

    def find_organizations(self, search: OrganizationSearch) -> FoundOrganizations:
        """Those that a search is for, by id. The cost is that of the page, and of counting."""
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
