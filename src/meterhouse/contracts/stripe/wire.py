"""What all of Stripe's operations have in common: credentials, forms, errors, lists."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec

from ...domain.errors import Invalid
from ..contract import bearer
from ..namespace_contract import Call, Failure, Refuse, Reply, number_between
from ..unix_seconds import parse_seconds

T = TypeVar("T")
NAME = "stripe"
_MOST_FIELDS = 200
_LISTED, _MOST_LISTED = 10, 100
CODES = frozenset({"resource_missing", "parameter_missing", "parameter_unknown", "parameter_invalid_integer"})
"""Those of Stripe's that are told; other failures have none."""
_IGNORED = ("expand",)
"""Parameters of every operation: there is nothing to expand."""


class Error(msgspec.Struct, omit_defaults=True):
    """What is wrong."""

    type: str
    message: str
    code: str | None = None
    param: str | None = None


class ErrorBody(msgspec.Struct):
    """The body of a failure."""

    error: Error


def credential(headers: Mapping[str, str]) -> str | None:
    """A bearer token, or the user of a basic authentication."""
    scheme, _, text = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return bearer(headers)
    try:
        return base64.b64decode(text.strip(), validate=True).decode().partition(":")[0] or None
    except (binascii.Error, UnicodeDecodeError):
        return None


def refuse(failure: Failure) -> Reply:
    """A failure as Stripe words it."""
    param = failure.details.get("param")
    error = Error(
        "api_error" if failure.status >= 500 else "invalid_request_error",
        failure.message,
        failure.code if failure.code in CODES else None,
        param if isinstance(param, str) else None,
    )
    return Reply(failure.status, ErrorBody(error), headers={"request-id": failure.request_id})


def bad_parameter(name: str, message: str, code: str | None = None) -> Refuse:
    """The refusal of a parameter."""
    return Refuse(400, message, code or "", param=name)


def missing(what: str, name: str) -> Refuse:
    """The refusal of something that is not there."""
    return Refuse(404, f"No such {what}: '{name[:100]}'", "resource_missing", param="id")


class Form:
    """The fields of a form, or of a query: each has to be known, and those that are needed have to be there."""

    def __init__(self, pairs: Sequence[tuple[str, str]]):
        self._fields = dict(pairs)
        self._unread = set(self._fields)

    @classmethod
    def of_body(cls, call: Call) -> Form:
        """The form of a request. Raises `Refuse`."""
        if call.media_type not in ("application/x-www-form-urlencoded", ""):
            raise Refuse(400, f"content-type {call.media_type[:60]!r}: send application/x-www-form-urlencoded")
        try:
            pairs = parse_qsl(call.body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except (UnicodeDecodeError, ValueError):
            raise Refuse(400, f"the body is no form of at most {_MOST_FIELDS} fields in UTF-8") from None
        return cls(pairs)

    def get(self, name: str) -> str | None:
        """A field; None when it is absent."""
        self._unread.discard(name)
        return self._fields.get(name)

    def need(self, name: str) -> str:
        """A field that must be there. Raises `Refuse`."""
        text = self.get(name)
        if not text:
            raise bad_parameter(name, f"Missing required param: {name}.", "parameter_missing")
        return text

    def choice(self, name: str, known: Sequence[str]) -> str:
        """A field that is one of some words, the first where it is absent. Raises `Refuse`."""
        text = self.get(name) or known[0]
        if text not in known:
            raise bad_parameter(name, f"Invalid {name}: must be one of {', '.join(known)}")
        return text

    def object_of(self, name: str) -> dict[str, str]:
        """The texts of an object, `name[key]=text`. Raises `Refuse` for objects in it."""
        found = {}
        for field in [each for each in self._fields if each.startswith(f"{name}[")]:
            key = field[len(name) + 1 : -1]
            if not field.endswith("]") or not key or "[" in key or "]" in key:
                raise bad_parameter(field[:100], f"Invalid {name}: it is a flat object of texts")
            found[key] = self.get(field) or ""
        return found

    def refuse_others(self) -> None:
        """Raises `Refuse` for a field that nothing has read."""
        for name in sorted(self._unread):
            if name.partition("[")[0] not in _IGNORED:
                raise bad_parameter(name[:100], f"Received unknown parameter: {name[:100]}", "parameter_unknown")


def instant(name: str, text: str) -> datetime:
    """An instant in Unix seconds. Raises `Refuse`."""
    try:
        return parse_seconds(text)
    except Invalid:
        raise bad_parameter(name, f"Invalid timestamp: {text[:40]}", "parameter_invalid_integer") from None


def page(form: Form, items: Sequence[T], id_of: Callable[[T], str]) -> tuple[list[T], bool]:
    """Those of a list that a page has, and whether there are more. Raises `Refuse`."""
    limit = number_between(form.get("limit") or str(_LISTED), 1, _MOST_LISTED)
    after = form.get("starting_after")
    form.refuse_others()
    if limit is None:
        raise bad_parameter("limit", f"Invalid limit: must be a number from 1 to {_MOST_LISTED}")
    begin = 0
    if after is not None:
        ids = [id_of(each) for each in items]
        if after not in ids:
            raise bad_parameter("starting_after", f"No such object: '{after[:100]}'", "resource_missing")
        begin = ids.index(after) + 1
    shown = items[begin : begin + limit]
    return [*shown], begin + len(shown) < len(items)


def listed(url: str, shown: Sequence[object], *, more: bool) -> Reply:
    """A page of a list."""
    return Reply(200, {"object": "list", "url": url, "has_more": more, "data": shown})
