"""Everything there is, on its way to another place; for the operator alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from litestar import Router, get
from litestar.exceptions import HTTPException
from litestar.params import Parameter
from litestar.response import Stream

from ..domain.export import ExportForm, Selection
from ..domain.operator_key import Role
from ..ports.chunks import Chunks
from ..ports.whole_store import WholeStore
from .authentication import Authentication
from .openapi import described
from .request import HttpRequest
from .streams import stream_response

_MEDIA_TYPES = {
    "application/x-ndjson": ExportForm.NDJSON,
    "application/vnd.apache.parquet": ExportForm.PARQUET,
}


class NotAcceptable(HTTPException):
    """The client takes nothing that there is."""

    status_code = 406


def backup_export_router(store: WholeStore, back_up: Callable[[], Chunks], authentication: Authentication) -> Router:
    """Both routes."""

    @get(
        "/v1/backup",
        operation_id="backUp",
        tags=["Moving"],
        media_type="application/x-tar",
        guards=[authentication.operator_guard(Role.ADMIN)],
        opt=described(media={"application/x-tar": "A backup."}),
    )
    async def get_backup() -> Stream:
        """A backup of this moment, as a tar stream, for `meterhouse restore`. Others read and write meanwhile."""
        return await stream_response(back_up(), "application/x-tar")

    @get(
        "/v1/export",
        operation_id="exportEvents",
        tags=["Moving"],
        media_type="application/x-ndjson",
        opt=described(media=dict.fromkeys(_MEDIA_TYPES, "Events."), problems=(406,)),
    )
    async def export_events(
        request: HttpRequest,
        namespace: Annotated[str | None, Parameter(description="Only the events of this namespace.")] = None,
        organization: Annotated[str | None, Parameter(description="Only the events with this subject.")] = None,
    ) -> Stream:
        """All events as of now, in the order in which they were stored: one CloudEvent a line, or as Parquet when
        `Accept` asks for `application/vnd.apache.parquet`."""
        media_type = request.accept.best_match([*_MEDIA_TYPES])
        if media_type is None:
            raise NotAcceptable(f"accept one of {', '.join(_MEDIA_TYPES)}")
        chunks = store.export(Selection(namespace, organization), _MEDIA_TYPES[media_type])
        return await stream_response(chunks, media_type)

    return Router("/", route_handlers=[get_backup, export_events], guards=[authentication.operator_guard()])
