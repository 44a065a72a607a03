"""Contracts whose credential speaks for a whole namespace: they take events, and read and change what it has.

Such a contract turns a request into what services are asked for, and words the answer. Like any other it has no SQL and
knows no web framework. All of its paths are below a prefix of its own, `/<name>`; an operator may have them at the
root, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Annotated

import msgspec

from ..domain.operator_key import Role
from ..domain.period import parse_instant
from ..ports.contract_records import ContractRecords
from ..ports.meter_reader import MeterReader
from ..ports.snapshots import Snapshots
from ..ports.whole_store import WholeStore
from ..services.accounts import Accounts
from ..services.catalog_changes import CatalogChanges
from ..services.catalogs import Catalogs
from ..services.corrections import Corrections
from ..services.grants import Grants
from ..services.ingest import Report
from ..services.usage import Usage
from ..services.usage_queries import UsageQueries


def number_between(text: str, least: int, most: int) -> int | None:
    """The whole number that a text is, if it is one from `least` to `most`."""
    digits = text.lstrip("0")
    if not text.isascii() or not text.isdigit() or len(digits) > len(str(most)):
        return None
    number = int(digits or "0")
    return number if least <= number <= most else None


def parse_sent_instant(text: str) -> datetime:
    """The instant that a text is, also where nobody has encoded the plus of its zone. Raises `Invalid`."""
    return parse_instant(text.replace(" ", "+"))


class NamespaceOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator may set of such a contract, as the environment variable METERHOUSE_<CONTRACT>_<OPTION>."""

    at_root: Annotated[
        bool, msgspec.Meta(description="Whether its paths are also there without the prefix; true or false.")
    ] = False


@dataclass(frozen=True, slots=True)
class Services:
    """What such a contract may ask for."""

    accounts: Accounts
    catalogs: Catalogs
    catalog_changes: CatalogChanges
    grants: Grants
    usage: Usage
    queries: UsageQueries
    corrections: Corrections
    snapshots: Snapshots
    store: MeterReader
    """Of the shard that is here."""
    events: WholeStore
    records: ContractRecords
    random_bytes: Callable[[int], bytes]
    options: NamespaceOptions
    """Those of the contract, as the operator set them."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request, and for whom it is made."""

    namespace: str
    actor: str
    """The name of the key."""
    organization: str | None
    """Whose key it is, where it is an organization's: then nothing of others may be told."""
    secret: str
    parameters: Mapping[str, str]
    """Those of the path, decoded."""
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    """By their names in lower case."""
    body: bytes
    request_id: str
    now: datetime

    @property
    def media_type(self) -> str:
        """What the body says it is, in lower case and without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def one(self, name: str) -> str | None:
        """The query parameter of that name, the last where there are several; None when it is absent."""
        return next((text for known, text in reversed(self.query) if known == name), None)

    def every(self, name: str) -> tuple[str, ...]:
        """All values of a query parameter."""
        return tuple(text for known, text in self.query if known == name)


@dataclass(frozen=True, slots=True)
class Reply:
    """A body that msgspec can encode, or its bytes; None for no body."""

    status: int
    body: object = None
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ingestion:
    """Events to be stored, and what is answered when they are. None of them is refused for what a meter cannot read of
    it."""

    events: tuple[bytes, ...]
    """CloudEvents in JSON."""
    reply: Callable[[Report], Reply]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request is not answered as it would like to be."""

    status: int
    code: str
    message: str
    request_id: str
    details: Mapping[str, object] = field(default_factory=dict)
    """What the contract alone knows of it."""


class Refuse(Exception):
    """Raised by an operation to answer a failure in the contract's shape."""

    def __init__(self, status: int, message: str, code: str = "", **details: object):
        super().__init__(message)
        self.status = status
        self.code = code or HTTPStatus(status).phrase.lower().replace(" ", "_")
        self.message = message
        self.details = details


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path below the prefix, with `{name}` for parameters."""

    method: str
    path: str
    handle: Callable[[Call, Services], Reply | Ingestion]
    summary: str
    role: Role | None = Role.NAMESPACE
    """What the key needs at least; None: there is no key, and no namespace."""
    of_organizations: bool = False
    """Whether keys of organizations may do it, too: see `Call.organization`."""
    guest: Callable[[str, Services, datetime], str | None] | None = None
    """For an operation that takes no operator's key: the namespace that a secret opens, if it is a valid one."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Those of every answer of it, refusals too."""


@dataclass(frozen=True, slots=True)
class NamespaceContract:
    """One published wire format of this kind."""

    name: str
    title: str
    source: str
    """What the contract was taken from."""
    operations: tuple[Operation, ...]
    refuse: Callable[[Failure], Reply]
    credential: Callable[[Mapping[str, str]], str | None]
    """The secret that the headers carry, None when there is none."""
    options: NamespaceOptions = field(default_factory=NamespaceOptions)
    """What an operator may set, or its defaults."""

    @property
    def prefix(self) -> str:
        """What all of its paths begin with."""
        return f"/{self.name}"
