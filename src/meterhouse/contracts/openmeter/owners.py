"""Whose an entitlement is: a customer's, or that of a subject without one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...domain.contract_record import ContractRecord
from ..namespace_contract import Call, Refuse, Services
from .customers import subjects_of
from .records import ATTRIBUTIONS, CUSTOMERS, ENTITLEMENTS, SUBJECTS


@dataclass(frozen=True, slots=True)
class Owner:
    """Whoever has entitlements."""

    id: str
    """The id of a customer, or the key of a subject without one."""
    subjects: tuple[str, ...]
    """Whose usage is theirs."""
    customer: ContractRecord | None

    @property
    def shown(self) -> Mapping[str, object]:
        """Whose an entitlement is, as it is answered."""
        if self.customer is None:
            return {"subjectKey": self.id}
        key = {"customerKey": self.customer.key} if self.customer.key is not None else {}
        return {"subjectKey": self.subjects[0], "customerId": self.id, **key}


def owner_of_path(call: Call, services: Services) -> Owner:
    """The customer or the subject that a path names. Raises `Refuse`: 404, or 412 for a subject that is deleted."""
    if "customer" in call.parameters:
        return owner_of_customer(CUSTOMERS.get(call, services, call.parameters["customer"]))
    key = call.parameters["subject"]
    subject = SUBJECTS.find(call, services, key)
    found = find_owner(call, services, key if subject is None else subject.key or key)
    if subject is None and found.customer is None:
        if SUBJECTS.was_deleted(call, services, key):
            raise Refuse(412, f"the subject {key[:128]!r} is deleted")
        raise Refuse(404, f"there is no subject {key[:128]!r}: make it, or a customer that it belongs to")
    return found


def owner_of_customer(customer: ContractRecord) -> Owner:
    """The customer itself."""
    return Owner(customer.id, subjects_of(customer), customer)


def find_owner(call: Call, services: Services, subject: str) -> Owner:
    """Whoever has the usage of a subject."""
    held = ATTRIBUTIONS.find(call, services, subject)
    customer = services.records.record_by_key(CUSTOMERS.place(call), subject)
    if held is not None:
        customer = CUSTOMERS.find(call, services, held.body["customer"])
    return Owner(subject, (subject,), None) if customer is None else owner_of_customer(customer)


def owner_of_id(call: Call, services: Services, owner_id: str) -> Owner:
    """The owner that an entitlement names."""
    customer = services.records.record(CUSTOMERS.place(call), owner_id)
    return Owner(owner_id, (owner_id,), None) if customer is None else owner_of_customer(customer)


def entitlements_of(call: Call, services: Services, owner: Owner) -> list[ContractRecord]:
    """All entitlements of an owner, those that its subjects had before they were a customer's included."""
    owners = dict.fromkeys((owner.id, *owner.subjects))
    return [each for owner_id in owners for each in ENTITLEMENTS.of(call, services, owner_id)]


def find_entitlement_of(call: Call, services: Services, owner: Owner, wanted: str) -> ContractRecord | None:
    """The entitlement of an owner that has an id, or is to the feature of a key or an id."""
    for each in entitlements_of(call, services, owner):
        if wanted in (each.id, each.body["featureKey"], each.body["featureId"]):
            return each
    return None


def get_entitlement_of(call: Call, services: Services, owner: Owner, wanted: str) -> ContractRecord:
    """The same. Raises `Refuse` (404) where there is none."""
    found = find_entitlement_of(call, services, owner, wanted)
    if found is None:
        raise Refuse(404, f"there is no entitlement {wanted[:128]!r}")
    return found
