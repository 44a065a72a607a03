"""Records of contracts."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, delete, insert, update
from sqlalchemy.exc import IntegrityError

from ...domain.contract_record import ContractRecord, RecordPlace
from ...domain.errors import AlreadyExists, NotFound
from .database import Database, query_of, values_of
from .tables import contract_records

_RECORDS = query_of(contract_records, ContractRecord)


class SqlContractRecords(Database):
    """See `ports.ContractRecords`. What others may have changed is read anew each time."""

    def add_record(self, record: ContractRecord) -> None:
        """See `ContractRecords.add_record`."""
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(contract_records).values(values_of(record)))
                self._record(connection, namespace=record.namespace, **{record.kind: record.key or record.id})
        except IntegrityError:
            raise _taken(record) from None

    def replace_record(self, record: ContractRecord) -> None:
        """See `ContractRecords.replace_record`."""
        conditions = [*_in(record.place), contract_records.c.id == record.id]
        try:
            with self._engine.begin() as connection:
                change = update(contract_records).where(*conditions).values(values_of(record))
                if not connection.execute(change).rowcount:
                    raise NotFound(f"there is no {record.kind} {record.id[:60]!r}")
                self._record(connection, namespace=record.namespace, **{record.kind: record.key or record.id})
        except IntegrityError:
            raise _taken(record) from None

    def record(self, place: RecordPlace, record_id: str) -> ContractRecord | None:
        """See `ContractRecords.record`."""
        return self._read_one(ContractRecord, _RECORDS.where(*_in(place), contract_records.c.id == record_id))

    def record_by_key(self, place: RecordPlace, key: str) -> ContractRecord | None:
        """See `ContractRecords.record_by_key`."""
        return self._read_one(ContractRecord, _RECORDS.where(*_in(place), contract_records.c.key == key))

    def records_of(self, place: RecordPlace, parent: str) -> list[ContractRecord]:
        """See `ContractRecords.records_of`."""
        of = contract_records.c
        return self._read(ContractRecord, _RECORDS.where(*_in(place), of.parent == parent).order_by(of.id))

    def remove_records(self, place: RecordPlace, before: datetime) -> None:
        """See `ContractRecords.remove_records`."""
        with self._engine.begin() as connection:
            connection.execute(delete(contract_records).where(*_in(place), contract_records.c.created_at < before))

    def records(self, place: RecordPlace) -> list[ContractRecord]:
        """See `ContractRecords.records`."""
        return self._read(ContractRecord, _RECORDS.where(*_in(place)).order_by(contract_records.c.id))

    def records_with_key(self, contract: str, kind: str, key: str) -> list[ContractRecord]:
        """See `ContractRecords.records_with_key`."""
        of = contract_records.c
        return self._read(ContractRecord, _RECORDS.where(of.contract == contract, of.kind == kind, of.key == key))


def _in(place: RecordPlace) -> list[ColumnElement[bool]]:
    of = contract_records.c
    return [of.contract == place.contract, of.namespace == place.namespace, of.kind == place.kind]


def _taken(record: ContractRecord) -> AlreadyExists:
    return AlreadyExists(f"there is a {record.kind} {(record.key or record.id)[:60]!r} already")
