"""Organizations, their subscriptions and keys; and who a credential belongs to."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ..domain.errors import Invalid, NotFound
from ..domain.organization import (
    Caller,
    Key,
    KeyFormat,
    Organization,
    check_name,
    check_organization_id,
    hash_secret,
    is_organization_id,
)
from ..domain.period import Period, format_instant
from ..domain.plan import Addon, Subscription, usage_period
from ..ports.clock import Clock
from ..ports.ledger import Ledger
from .catalogs import Catalogs

EVENTS_WRITE = "events:write"
USAGE_READ = "usage:read"
_SHOWN_SECRET_CHARACTERS = 6


def subscription_in(ledger: Ledger, namespace: str, organization_id: str) -> Subscription | None:
    """The subscription of an organization of a namespace, known by the subject of an event: an organization of another
    namespace that has the same id is another one."""
    organization = ledger.organization(organization_id)
    return ledger.subscription(organization_id) if organization and organization.namespace == namespace else None


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """How the keys of a namespace look and what they may do."""

    format: KeyFormat
    default_scopes: frozenset[str]
    scopes: frozenset[str]
    """Every scope that can be given."""
    reading: frozenset[str]
    """The scopes of which any one lets a key read its organization's usage."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """The use cases around the ledger. `policies` has one entry per namespace."""

    ledger: Ledger
    catalogs: Catalogs
    policies: Mapping[str, KeyPolicy]
    clock: Clock
    random_bytes: Callable[[int], bytes]
    grace: timedelta | None = None
    """How long a deletion can be taken back; None for always."""

    def create_organization(
        self, organization_id: str, name: str, namespace: str, created_at: datetime | None = None
    ) -> Organization:
        """Adds an organization. Raises `Invalid`, `NotFound` (namespace) or `AlreadyExists`."""
        self.catalogs.get(namespace)
        check_organization_id(organization_id)
        check_name(name, "name")
        organization = Organization(organization_id, name, namespace, created_at or self.clock.now())
        self.ledger.add_organization(organization)
        return organization

    def organization(self, organization_id: str) -> Organization:
        """The organization; raises `NotFound` when there is none, or it was deleted."""
        organization = self.ledger.organization(organization_id)
        if organization is None or organization.deleted_at is not None:
            raise NotFound(f"there is no organization {organization_id[:128]!r}")
        return organization

    def delete_organization(self, organization_id: str) -> None:
        """Deletes it; raises `NotFound`. Its events stay stored for a while and its keys keep resolving."""
        self.ledger.delete_organization(self.organization(organization_id).id, self.clock.now())

    def restore_organization(self, organization_id: str) -> Organization:
        """Takes a deletion back; raises `NotFound` when there is none, or its events are gone."""
        deleted_after = self.clock.now() - self.grace if self.grace else None
        self.ledger.restore_organization(organization_id, deleted_after)
        return self.organization(organization_id)

    def subscribe(self, organization_id: str, subscription: Subscription) -> Subscription:
        """Replaces the subscription. A one-time add-on counts from its `granted_at`. Without one it counts from now,
        unless the same amount was granted in the usage period that runs.

        Raises `NotFound` for the organization, `Invalid` for an unknown plan or meter.
        """
        organization = self.organization(organization_id)
        catalog = self.catalogs.get(organization.namespace)
        if subscription.plan is not None and subscription.plan not in catalog.plans:
            known = ", ".join(sorted(catalog.plans)) or "no plans"
            raise Invalid(f"unknown plan {subscription.plan[:60]!r}; the namespace {catalog.namespace} has {known}")
        for named, having in (
            (subscription.limits, {*catalog.meters, *catalog.pools}),
            (subscription.addons, {*catalog.meters}),
        ):
            for meter in named:
                if meter not in having:
                    known = ", ".join(sorted(having))
                    raise Invalid(f"unknown meter {meter[:60]!r}; the namespace {catalog.namespace} has {known}")
        before = self.ledger.subscription(organization_id)
        known_addons = before.addons if before is not None else {}
        now = self.clock.now()
        period = usage_period(subscription, now)
        addons = {
            meter: replace(addon, granted_at=_granted_at(addon, known_addons.get(meter), period, now))
            for meter, addon in subscription.addons.items()
        }
        subscription = replace(subscription, addons=addons)
        self.ledger.put_subscription(organization_id, subscription)
        return subscription

    def subscription(self, organization_id: str) -> Subscription | None:
        """The organization's subscription, if it has one."""
        return self.ledger.subscription(organization_id)

    def create_key(
        self,
        organization_id: str,
        scopes: Iterable[str] | None = None,
        user_id: str | None = None,
        expires_at: datetime | None = None,
    ) -> tuple[Key, str]:
        """A new key and its secret, which is nowhere else.

        Raises `NotFound`; `Invalid` for an unknown scope or an expiry that has passed.
        """
        organization = self.organization(organization_id)
        if user_id is not None:
            check_name(user_id, "user_id")
        now = self.clock.now()
        if expires_at is not None and expires_at <= now:
            raise Invalid(f"expires_at {format_instant(expires_at)} is not after now, {format_instant(now)}")
        policy = self.policies[organization.namespace]
        granted = policy.default_scopes if scopes is None else frozenset(scopes)
        if unknown := granted - policy.scopes:
            known = ", ".join(sorted(policy.scopes))
            raise Invalid(f"unknown scope {sorted(unknown)[0][:60]!r}; keys of {organization.namespace} take {known}")
        secret = policy.format.mint(self.random_bytes(64))
        key = Key(
            id=str(uuid.UUID(bytes=self.random_bytes(16), version=4)),
            organization=organization_id,
            prefix=secret[: len(policy.format.prefix) + _SHOWN_SECRET_CHARACTERS],
            secret_hash=hash_secret(secret),
            scopes=granted,
            user_id=user_id,
            created_at=now,
            expires_at=expires_at,
        )
        self.ledger.add_key(key)
        return key, secret

    def keys(self, organization_id: str) -> list[Key]:
        """The organization's keys; raises `NotFound`."""
        return self.ledger.keys(self.organization(organization_id).id)

    def revoke_key(self, organization_id: str, key_id: str) -> None:
        """Ends a key at once; raises `NotFound`."""
        self.ledger.revoke_key(self.organization(organization_id).id, key_id, self.clock.now())

    def resolve(self, secret: str, namespaces: Iterable[str]) -> Caller | None:
        """Who a secret belongs to, if it is a valid key of one of these namespaces. Nothing else is told."""
        if not any(self.policies[namespace].format.matches(secret) for namespace in namespaces):
            return None
        key = self.ledger.key_by_hash(hash_secret(secret))
        if key is None or not key.valid_at(self.clock.now()):
            return None
        organization = self.organization_in(key.organization, namespaces)
        return None if organization is None else Caller(organization, key.scopes, key.user_id, key.id, key.expires_at)

    def organization_in(self, organization_id: str, namespaces: Iterable[str]) -> Organization | None:
        """The organization of any text as its id, deleted ones included, if it is in one of these namespaces."""
        if not is_organization_id(organization_id):
            return None
        organization = self.ledger.organization(organization_id)
        return organization if organization is not None and organization.namespace in namespaces else None


def _granted_at(addon: Addon, before: Addon | None, period: Period, now: datetime) -> datetime | None:
    """When a one-time add-on was made. The amount of an earlier period, named again, is a new purchase."""
    if not addon.one_time:
        return None
    if addon.granted_at is not None:
        return addon.granted_at
    granted_at = before.granted_at if before is not None and before.one_time == addon.one_time else None
    return granted_at if granted_at is not None and period.contains(granted_at) else now
