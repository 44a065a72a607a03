"""Tokens for the pages of customers, and what such a page asks."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import msgspec

from ...domain.contract_record import ContractRecord
from ...domain.organization import hash_secret
from ...domain.period import format_instant, parse_instant
from ..namespace_contract import Call, Refuse, Reply, Services
from .meter_queries import query_meter
from .records import NAME, PORTAL_TOKENS
from .wire import bad_field, decoded, whole_number

_LIFETIME = timedelta(hours=1)
_PREFIX = "om_portal_"
_MOST_LISTED, _LISTED = 100, 25
CROSS_ORIGIN = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET",
    "access-control-allow-headers": "authorization, content-type",
    "access-control-max-age": "600",
}
"""A page of any origin may ask with a token: there is nothing to read without one, and no cookie gives one."""


class _Token(msgspec.Struct, rename="camel"):
    subject: str
    allowed_meter_slugs: list[str] | None = None


class _Invalidation(msgspec.Struct):
    id: str | None = None
    subject: str | None = None


def create_token(call: Call, services: Services) -> Reply:
    """Makes a token with which a page may read the usage of one subject. It is told this once."""
    given = decoded(call.body, _Token)
    if not given.subject:
        raise bad_field("subject", "must not be empty")
    token = _PREFIX + secrets.token_urlsafe(32)
    body = {
        "subject": given.subject,
        "allowedMeterSlugs": given.allowed_meter_slugs,
        "expiresAt": format_instant(call.now + _LIFETIME),
    }
    services.records.remove_records(PORTAL_TOKENS.place(call), call.now - _LIFETIME)  # their time is over
    made = PORTAL_TOKENS.add(call, services, hash_secret(token), body)
    return Reply(200, {**_shown(made, call.now), "token": token})


def list_tokens(call: Call, services: Services) -> Reply:
    """The tokens that are good for something, the newest first."""
    found = [each for each in PORTAL_TOKENS.all(call, services) if not _is_over(each, call.now)]
    limit = whole_number(call, "limit", _LISTED, _MOST_LISTED)
    return Reply(200, [_shown(each, call.now) for each in reversed(found)][:limit])


def invalidate_tokens(call: Call, services: Services) -> Reply:
    """Ends a token, or all of a subject."""
    given = decoded(call.body, _Invalidation)
    if given.id is None and given.subject is None:
        raise bad_field("id", "give id or subject")
    for each in PORTAL_TOKENS.all(call, services):
        if given.id in (None, each.id) and given.subject in (None, each.body["subject"]):
            PORTAL_TOKENS.delete(call, services, each)
    return Reply(204)


def query_by_token(call: Call, services: Services) -> Reply:
    """Answers a question about a meter and the subject of the token, whoever else the question names."""
    token = _token(call.secret, services, call.now)
    if token is None:
        raise Refuse(401, "this token is not valid, or its time is over")
    allowed = token.body["allowedMeterSlugs"]
    if allowed is not None and call.parameters["meter"] not in allowed:
        raise Refuse(401, "this token is not for that meter")
    kept = [pair for pair in call.query if pair[0] not in ("subject", "filterCustomerId")]
    asked = replace(call, query=(*kept, ("subject", token.body["subject"])))
    return query_meter(asked, services)


def preflight(_call: Call, _services: Services) -> Reply:
    """Lets a browser ask."""
    return Reply(204)


def namespace_of_token(secret: str, services: Services, now: datetime) -> str | None:
    """The namespace whose usage a token reads; None for one that is not valid."""
    token = _token(secret, services, now)
    return None if token is None else token.namespace


def _token(secret: str, services: Services, now: datetime) -> ContractRecord | None:
    if not secret.startswith(_PREFIX):
        return None
    found = services.records.records_with_key(NAME, PORTAL_TOKENS.name, hash_secret(secret))
    return next((each for each in found if not _is_over(each, now)), None)


def _is_over(token: ContractRecord, now: datetime) -> bool:
    return now >= parse_instant(token.body["expiresAt"])


def _shown(token: ContractRecord, now: datetime) -> Mapping[str, object]:
    shown = {
        "id": token.id,
        "subject": token.body["subject"],
        "expiresAt": token.body["expiresAt"],
        "expired": _is_over(token, now),
        "createdAt": format_instant(token.created_at),
    }
    slugs = token.body["allowedMeterSlugs"]
    return shown if slugs is None else {**shown, "allowedMeterSlugs": slugs}
