"""Customers, and the subjects whose usage is theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ...domain.contract_record import ContractRecord
from ...domain.errors import AlreadyExists
from ..namespace_contract import Call, Refuse, Reply, Services
from .records import ATTRIBUTIONS, CUSTOMERS, ENTITLEMENTS
from .wire import bad_field, decoded, flag, page, written

MAX_KEY = 256
_MOST_SUBJECTS = 1_000


class _UsageAttribution(msgspec.Struct, rename="camel"):
    subject_keys: list[str] = []


class _Customer(msgspec.Struct, rename="camel"):
    """What is given of a customer."""

    name: str
    key: str | None = None
    description: str | None = None
    metadata: dict[str, str] | None = None
    usage_attribution: _UsageAttribution | None = None
    primary_email: str | None = None
    currency: str | None = None
    billing_address: dict[str, Any] | None = None

    @property
    def subjects(self) -> list[str]:
        """The keys of its subjects."""
        return self.usage_attribution.subject_keys if self.usage_attribution is not None else []


def create_customer(call: Call, services: Services) -> Reply:
    """Makes a customer."""
    given = _checked(decoded(call.body, _Customer))
    _refuse_taken_key(call, services, given.key, None)
    _refuse_taken(call, services, given.subjects, None)
    customer = CUSTOMERS.add(call, services, given.key, _body(given))
    try:
        _attribute(call, services, customer, given.subjects)
    except Refuse:
        CUSTOMERS.delete(call, services, customer)
        raise
    # An old client takes 200 for success, and nothing else; all others take 201.
    return Reply(200 if is_old_client(call) else 201, shown_customer(customer))


def list_customers(call: Call, services: Services) -> Reply:
    """Customers page by page."""
    found = CUSTOMERS.all(call, services, deleted=flag(call, "includeDeleted"))
    for name in ("key", "name", "primaryEmail"):
        if part := call.one(name):
            found = [each for each in found if part.lower() in str(_field(each, name) or "").lower()]
    if part := call.one("subject"):
        found = [each for each in found if any(part.lower() in key.lower() for key in each.body["subjectKeys"])]
    if call.one("order") == "DESC":
        found.reverse()
    return page(call, [shown_customer(each) for each in found])


def get_customer(call: Call, services: Services) -> Reply:
    """One customer."""
    return Reply(200, shown_customer(CUSTOMERS.get(call, services, call.parameters["customer"])))


def replace_customer(call: Call, services: Services) -> Reply:
    """Replaces all that is given of a customer."""
    customer = CUSTOMERS.get(call, services, call.parameters["customer"])
    given = _checked(decoded(call.body, _Customer))
    _refuse_taken_key(call, services, given.key, customer)
    _refuse_taken(call, services, given.subjects, customer)
    before = set(customer.body["subjectKeys"])
    made = _attribute(call, services, customer, [key for key in given.subjects if key not in before])
    try:
        changed = CUSTOMERS.change(call, services, customer, _body(given), given.key)
    except AlreadyExists:
        _release_all(call, services, made)
        raise
    for key in before - set(given.subjects):
        _release(call, services, key)
    return Reply(200, shown_customer(changed))


def delete_customer(call: Call, services: Services) -> Reply:
    """Deletes a customer; its events stay, and its subjects are free for another one."""
    customer = CUSTOMERS.get(call, services, call.parameters["customer"])
    if ENTITLEMENTS.of(call, services, customer.id):
        raise Refuse(409, "the customer has entitlements: delete them first")
    for key in customer.body["subjectKeys"]:
        _release(call, services, key)
    CUSTOMERS.delete(call, services, customer)
    return Reply(200 if is_old_client(call) else 204, shown_customer(customer) if is_old_client(call) else None)


def shown_customer(customer: ContractRecord) -> Mapping[str, object]:
    """A customer as it is answered."""
    body = dict(customer.body)
    subjects = body.pop("subjectKeys")
    shown = {
        "id": customer.id,
        "key": customer.key if customer.deleted_at is None else body.pop("key", None),
        **body,
        "usageAttribution": {"subjectKeys": subjects},
        "createdAt": written(customer.created_at),
        "updatedAt": written(customer.updated_at),
        "deletedAt": written(customer.deleted_at),
    }
    return {name: value for name, value in shown.items() if value is not None}


def subjects_of(customer: ContractRecord) -> tuple[str, ...]:
    """The subjects whose usage is a customer's: its key, and those that are attributed to it."""
    own = (customer.key,) if customer.key is not None else ()
    return tuple(dict.fromkeys((*own, *customer.body["subjectKeys"])))


def customers_of_subjects(call: Call, services: Services, subjects: Iterable[str]) -> dict[str, str]:
    """By the keys of some subjects the ids of the customers whose usage is theirs, where there is one."""
    found = {}
    for subject in subjects:
        held = services.records.record_by_key(ATTRIBUTIONS.place(call), subject)
        customer = services.records.record_by_key(CUSTOMERS.place(call), subject) if held is None else None
        if held is not None:
            found[subject] = held.body["customer"]
        elif customer is not None:
            found[subject] = customer.id
    return found


def is_old_client(call: Call) -> bool:
    """Whether the request is from the older Python client, which takes other statuses for success."""
    return call.headers.get("user-agent", "").startswith("azsdk-python-")


def _checked(given: _Customer) -> _Customer:
    if not given.name:
        raise bad_field("name", "must not be empty")
    if given.key is not None and not 1 <= len(given.key) <= MAX_KEY:
        raise bad_field("key", f"must have 1 to {MAX_KEY} characters")
    subjects = given.subjects
    if given.key is None and not subjects:
        raise bad_field("key", "give a key, or usageAttribution.subjectKeys")
    if len(subjects) > _MOST_SUBJECTS or len(set(subjects)) != len(subjects) or not all(subjects):
        raise bad_field("usageAttribution.subjectKeys", f"must be at most {_MOST_SUBJECTS} different keys")
    return given


def _body(given: _Customer) -> dict[str, Any]:
    body = {name: value for name, value in msgspec.to_builtins(given).items() if value is not None}
    body.pop("key", None)
    body.pop("usageAttribution", None)
    return body | {"subjectKeys": given.subjects}


def _field(customer: ContractRecord, name: str) -> object:
    return customer.key if name == "key" else customer.body.get(name)


def _refuse_taken_key(call: Call, services: Services, key: str | None, own: ContractRecord | None) -> None:
    if key is None:
        return
    holder, held = CUSTOMERS.find(call, services, key), ATTRIBUTIONS.find(call, services, key)
    for other in (holder.id if holder is not None else None, held.body["customer"] if held is not None else None):
        if other is not None and (own is None or other != own.id):
            raise Refuse(409, f"the key {key!r} is another customer's", conflictingEntityId=other)


def _refuse_taken(call: Call, services: Services, subjects: Sequence[str], own: ContractRecord | None) -> None:
    for key in subjects:
        holder = customers_of_subjects(call, services, [key]).get(key)
        if holder is not None and (own is None or holder != own.id):
            raise Refuse(409, f"the subject {key!r} belongs to another customer", conflictingEntityId=holder)


def _attribute(
    call: Call, services: Services, customer: ContractRecord, subjects: Sequence[str]
) -> list[ContractRecord]:
    """Makes subjects a customer's. Raises `Refuse` where another request was faster with one of them: then all of them
    are as they were."""
    made: list[ContractRecord] = []
    for key in subjects:
        try:
            made.append(ATTRIBUTIONS.add(call, services, key, {"customer": customer.id}))
        except AlreadyExists:
            _release_all(call, services, made)
            raise Refuse(409, f"the subject {key!r} belongs to another customer") from None
    return made


def _release_all(call: Call, services: Services, attributions: Iterable[ContractRecord]) -> None:
    for each in attributions:
        ATTRIBUTIONS.delete(call, services, each)


def _release(call: Call, services: Services, subject: str) -> None:
    if (held := ATTRIBUTIONS.find(call, services, subject)) is not None:
        ATTRIBUTIONS.delete(call, services, held)
