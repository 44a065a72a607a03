"""What only OpenMeter's API has, kept as records of this contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...domain.contract_record import ContractRecord, RecordPlace
from ...domain.ulid import RANDOM_BYTES, ulid
from ..namespace_contract import Call, Refuse, Services

NAME = "openmeter"


@dataclass(frozen=True, slots=True)
class Kind:
    """Records of one kind."""

    name: str

    def place(self, call: Call) -> RecordPlace:
        """Where they are, for a request."""
        return RecordPlace(NAME, call.namespace, self.name)

    def all(self, call: Call, services: Services, *, deleted: bool = False) -> list[ContractRecord]:
        """All of them in the order in which they were made; those that are deleted only where they are asked for."""
        found = services.records.records(self.place(call))
        return [each for each in found if deleted or each.deleted_at is None]

    def of(self, call: Call, services: Services, parent: str) -> list[ContractRecord]:
        """Those that belong to something and are not deleted."""
        found = services.records.records_of(self.place(call), parent)
        return [each for each in found if each.deleted_at is None]

    def find(self, call: Call, services: Services, id_or_key: str) -> ContractRecord | None:
        """The one that has an id or a key and is not deleted."""
        place = self.place(call)
        found = services.records.record(place, id_or_key)
        if found is None or found.deleted_at is not None:
            found = services.records.record_by_key(place, id_or_key)
        return found

    def get(self, call: Call, services: Services, id_or_key: str) -> ContractRecord:
        """The same. Raises `Refuse` (404) where there is none."""
        found = self.find(call, services, id_or_key)
        if found is None:
            raise Refuse(404, f"there is no {self.name} {id_or_key[:128]!r}")
        return found

    def add(
        self, call: Call, services: Services, key: str | None, body: Mapping[str, Any], parent: str | None = None
    ) -> ContractRecord:
        """Makes one. Raises `AlreadyExists` for a key that is taken."""
        record_id = ulid(call.now, services.random_bytes(RANDOM_BYTES))
        place = (NAME, call.namespace, self.name, record_id, key)
        record = ContractRecord(*place, dict(body), call.now, call.now, parent)
        services.records.add_record(record)
        return record

    def change(
        self, call: Call, services: Services, record: ContractRecord, body: Mapping[str, Any], key: str | None
    ) -> ContractRecord:
        """Gives one another body and key. Raises `AlreadyExists`."""
        changed = replace(record, body=dict(body), key=key, updated_at=call.now)
        services.records.replace_record(changed)
        return changed

    def delete(self, call: Call, services: Services, record: ContractRecord) -> None:
        """Deletes one: it keeps its id, and gives up its key, which the body remembers as `key`. One that belongs to
        nothing is found by its key still: see `was_deleted`."""
        body, parent = {**record.body, "key": record.key}, record.parent or record.key
        deleted = replace(record, body=body, key=None, parent=parent, deleted_at=call.now, updated_at=call.now)
        services.records.replace_record(deleted)

    def was_deleted(self, call: Call, services: Services, id_or_key: str) -> bool:
        """Whether there was one with an id or a key that is deleted now."""
        found = services.records.record(self.place(call), id_or_key)
        return found is not None or bool(services.records.records_of(self.place(call), id_or_key))


METERS = Kind("meter")
"""Names and metadata of meters, by their slugs; what a meter means is in the catalog."""
SUBJECTS = Kind("subject")
CUSTOMERS = Kind("customer")
ATTRIBUTIONS = Kind("attribution")
"""By the key of a subject the id of the customer whose usage it is."""
FEATURES = Kind("feature")
ENTITLEMENTS = Kind("entitlement")
GRANTS = Kind("grant")
PORTAL_TOKENS = Kind("portal_token")
