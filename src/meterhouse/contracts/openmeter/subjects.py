"""Subjects: whom events are about. They need not be made before their events."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ...domain.contract_record import ContractRecord
from ..namespace_contract import Call, Refuse, Reply, Services
from .records import ENTITLEMENTS, SUBJECTS
from .wire import bad_field, decoded, written

MAX_KEY = 512
_FIELDS = ("displayName", "metadata", "stripeCustomerId")


class _Subject(msgspec.Struct, rename="camel"):
    """What is given of a subject: what is absent stays as it is, null erases."""

    key: str
    display_name: str | msgspec.UnsetType | None = msgspec.UNSET
    metadata: dict[str, object] | msgspec.UnsetType | None = msgspec.UNSET
    stripe_customer_id: str | msgspec.UnsetType | None = msgspec.UNSET


def upsert_subjects(call: Call, services: Services) -> Reply:
    """Makes or changes several subjects."""
    given = decoded(call.body, list[_Subject])
    for subject in given:
        if not 1 <= len(subject.key) <= MAX_KEY:
            raise bad_field("key", f"must have 1 to {MAX_KEY} characters")
    return Reply(200, [shown_subject(_upsert(call, services, subject)) for subject in given])


def list_subjects(call: Call, services: Services) -> Reply:
    """All subjects that were made."""
    return Reply(200, [shown_subject(each) for each in SUBJECTS.all(call, services)])


def get_subject(call: Call, services: Services) -> Reply:
    """One subject."""
    return Reply(200, shown_subject(SUBJECTS.get(call, services, call.parameters["subject"])))


def delete_subject(call: Call, services: Services) -> Reply:
    """Deletes a subject; its events stay."""
    subject = SUBJECTS.get(call, services, call.parameters["subject"])
    if ENTITLEMENTS.of(call, services, str(subject.key)):
        raise Refuse(409, "the subject has entitlements: delete them first")
    SUBJECTS.delete(call, services, subject)
    return Reply(204)


def shown_subject(subject: ContractRecord) -> Mapping[str, object]:
    """A subject as it is answered."""
    body = {name: subject.body[name] for name in _FIELDS if subject.body.get(name) is not None}
    times = {"createdAt": written(subject.created_at), "updatedAt": written(subject.updated_at)}
    return {"id": subject.id, "key": subject.key, **body, **times}


def _upsert(call: Call, services: Services, given: _Subject) -> ContractRecord:
    told = {name: value for name, value in msgspec.to_builtins(given).items() if name != "key"}
    known = services.records.record_by_key(SUBJECTS.place(call), given.key)
    if known is None:
        return SUBJECTS.add(call, services, given.key, told)
    return SUBJECTS.change(call, services, known, {**known.body, **told}, known.key)
