"""Records of contracts."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from ..domain.contract_record import ContractRecord, RecordPlace


class ContractRecords(Protocol):
    """Every method is one transaction."""

    def add_record(self, record: ContractRecord) -> None:
        """Adds a record. Raises `AlreadyExists` for a key, or an id, that another one of its place has."""
        ...

    def replace_record(self, record: ContractRecord) -> None:
        """Writes another state of the record of this id. Raises `NotFound`, and `AlreadyExists` for a key that another
        one has."""
        ...

    def record(self, place: RecordPlace, record_id: str) -> ContractRecord | None:
        """The record of this id, deleted ones too."""
        ...

    def record_by_key(self, place: RecordPlace, key: str) -> ContractRecord | None:
        """The record that has the key."""
        ...

    def records_of(self, place: RecordPlace, parent: str) -> list[ContractRecord]:
        """Those of a place that belong to something, deleted ones too, in the order of their ids."""
        ...

    def remove_records(self, place: RecordPlace, before: datetime) -> None:
        """Removes those of a place that were made before an instant, for good."""
        ...

    def records(self, place: RecordPlace) -> list[ContractRecord]:
        """All of a place, deleted ones too, in the order of their ids."""
        ...

    def records_with_key(self, contract: str, kind: str, key: str) -> list[ContractRecord]:
        """Those that have the key, of all namespaces."""
        ...
