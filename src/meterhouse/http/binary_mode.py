"""CloudEvents in binary mode: the attributes are headers, the body is the data."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote

import msgspec

from ..domain.errors import Invalid
from ..services.ingest.splitting import one_value

BINARY_MODE = b"ce-"
"""What the headers of attributes begin with."""
_JSON = "application/json"


def is_binary_mode(headers: Iterable[tuple[bytes, bytes]], media_type: str) -> bool:
    """Whether a request is in binary mode: by its content type it holds no CloudEvents, by its headers it is one."""
    return not media_type.startswith("application/cloudevents") and any(
        name.lower() == BINARY_MODE + b"specversion" for name, _ in headers
    )


def structured(headers: Iterable[tuple[bytes, bytes]], media_type: str, data: bytes) -> bytes:
    """The same event as one JSON object. Raises `Invalid` when the data is not JSON, or an attribute is there twice."""
    if media_type != _JSON:
        raise Invalid(f"in binary mode data is {_JSON}; it was sent as {media_type[:60]!r}")
    event: dict[str, object] = {}
    for header, value in headers:
        name = header.lower().removeprefix(BINARY_MODE).decode("latin-1")
        if not header.lower().startswith(BINARY_MODE):
            continue
        if name in event:
            raise Invalid(f"the header ce-{name[:60]} is there twice: say it once")
        event[name] = unquote(value.decode("latin-1"), errors="replace")
    if data.strip():
        event["data"] = msgspec.Raw(one_value(data))
    return msgspec.json.encode(event)
