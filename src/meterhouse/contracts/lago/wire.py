"""What Lago's operations have in common: errors, instants, ids."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from http import HTTPStatus
from typing import Annotated, Any

import msgspec

from ...domain.currency import DIGITS
from ...domain.period import EPOCH, FIRST_INSTANT, LAST_INSTANT, format_instant
from ..namespace_contract import Failure, NamespaceOptions, Refuse, Reply

NAME = "lago"
_IDS = uuid.UUID("7a6f7d0c-4a4b-5d0b-9a9e-6f1f3f2b1c55")
_MOST_DIGITS = 12
"""Of the seconds of an instant: a number with far more of them would take a while to be written out."""
_CODES = {422: "validation_errors"}


class LagoOptions(NamespaceOptions, frozen=True, kw_only=True):
    """What an operator may set of it."""

    currency: Annotated[
        str,
        msgspec.Meta(pattern="^[A-Z]{3}$", description="The currency of usage without prices; a code such as USD."),
    ] = "USD"

    def __post_init__(self) -> None:
        """Raises `ValueError` for what is no currency."""
        if self.currency not in DIGITS:
            raise ValueError(f"{self.currency} is not a currency in use by ISO 4217")


def refuse(failure: Failure) -> Reply:
    """A failure as Lago words it."""
    body: dict[str, Any] = {"status": failure.status, "error": HTTPStatus(failure.status).phrase}
    if failure.status == 422:
        body["error"] = "Unprocessable entity"
    body["code"] = _CODES.get(failure.status, failure.code)
    details = failure.details.get("error_details")
    body["error_details"] = details if details is not None else {"message": [failure.message]}
    return Reply(failure.status, body)


def invalid(details: Mapping[Any, object]) -> Refuse:
    """The refusal of fields, each with the codes of what is wrong."""
    return Refuse(422, "the request has fields that are not valid", error_details=details)


def instant(given: object) -> datetime | None:
    """An instant in Unix seconds, which may have decimals, as a number or a text; digits after the microsecond are cut.
    None for what is none."""
    if not isinstance(given, str | int | Decimal) or isinstance(given, bool):
        return None
    try:
        number = Decimal(str(given))
        if not number.is_finite() or number.adjusted() > _MOST_DIGITS:
            return None
        at = EPOCH + timedelta(microseconds=int(number.scaleb(6)))
    except (InvalidOperation, ValueError, OverflowError):
        return None
    return at if FIRST_INSTANT <= at < LAST_INSTANT else None


def written(at: datetime) -> str:
    """An instant with milliseconds, as Lago writes it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def written_seconds(at: datetime) -> str:
    """An instant with whole seconds."""
    return format_instant(at.replace(microsecond=0))


def lago_id(*names: str) -> str:
    """The id of something that has names: it is always the same."""
    return str(uuid.uuid5(_IDS, "\0".join(names)))
