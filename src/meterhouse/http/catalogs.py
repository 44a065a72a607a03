"""Catalogs that are changed while the server runs, by the operator."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from litestar import Response, Router, get, post, put
from litestar.params import FromPath, JSONBody, Parameter

from ..domain.catalog import CatalogError
from ..domain.catalog_diff import PartChange
from ..domain.catalog_version import CatalogFormat, CatalogVersion
from ..domain.operator_key import Role
from ..domain.query_parameters import instant_of
from ..services.catalog_changes import MOST_AFFECTED, CatalogChanges, CatalogDraft, CatalogOutcome
from .authentication import Authentication, operator_of
from .bodies import Bodies, json_response
from .openapi import described
from .periods import written
from .problems import UnsupportedEncoding
from .request import HttpRequest

TOML = "application/toml"
_FORMATS: Mapping[str, CatalogFormat] = {TOML: CatalogFormat.TOML, "application/json": CatalogFormat.JSON}
_MOST_VERSIONS = 100
_NUMBER = re.compile("[0-9]{1,9}", re.ASCII)

_DryRun = Annotated[bool, Parameter(description="Says what would change, and changes nothing.")]
_Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


class FieldChangeBody(msgspec.Struct):
    """A field that is another; `null` where it is not there."""

    name: str
    before: Any
    after: Any


class PartChangeBody(msgspec.Struct):
    """A meter, plan, pool or other part of a catalog that was `added`, `removed` or `changed`."""

    kind: str
    slug: str
    change: str
    fields: list[FieldChangeBody]


class AffectedBody(msgspec.Struct):
    """Organizations that have a plan, a limit, an add-on or a grant of what changes: how many, and the first of them by
    id."""

    count: int
    organizations: list[str]


class VersionBody(msgspec.Struct):
    """A version of a catalog. 0 is the one that the server brings along, or the file that was named to it: it has no
    `created_at`."""

    namespace: str
    version: int
    format: str
    created_at: str | None
    actor: str
    reason: str | None
    restored: int | None
    """The version that it is a copy of."""


class CatalogBody(VersionBody):
    """A version with its text."""

    text: str


class VersionDetailBody(CatalogBody):
    """A version with what it changed of the one before it."""

    changes: list[PartChangeBody]


class OutcomeBody(VersionBody):
    """What a change did, or would do: `stored` says which. Nothing is stored where nothing is different."""

    stored: bool
    changes: list[PartChangeBody]
    affected: AffectedBody


class Rollback(msgspec.Struct, forbid_unknown_fields=True):
    """Which version is to be the newest one again."""

    version: Annotated[int, msgspec.Meta(ge=0)]
    reason: _Reason | None = None


def catalogs_router(changes: CatalogChanges, authentication: Authentication, bodies: Bodies) -> Router:
    """The routes, closed over what they need."""
    path, admin = "/v1/namespaces/{namespace:str}/catalog", authentication.operator_guard(Role.ADMIN)

    @get(
        path,
        operation_id="getCatalog",
        tags=["Catalogs"],
        opt=described(answers={200: CatalogBody}),
    )
    async def get_catalog(namespace: FromPath[str]) -> Response[bytes]:
        """The catalog of a namespace, as it was written."""
        return json_response(_catalog(await asyncio.to_thread(changes.newest, namespace)))

    @put(
        path,
        status_code=200,
        operation_id="putCatalog",
        tags=["Catalogs"],
        guards=[admin],
        opt=described(
            answers={200: OutcomeBody},
            problems=(404, 409),
            body=dict[str, Any],
            body_lines=(TOML,),
            example={
                "namespace": "shop",
                "meters": [{"slug": "orders", "event_type": "order.placed", "aggregation": "COUNT"}],
            },
        ),
    )
    async def put_catalog(
        request: HttpRequest,
        namespace: FromPath[str],
        *,
        dry_run: _DryRun = False,
        since: Annotated[
            str | None, Parameter(description="From when on meters whose definition is another mean what it says.")
        ] = None,
        backfill: Annotated[
            list[str] | None, Parameter(description="Meters that always meant what their new definition says.")
        ] = None,
        onto: Annotated[
            int | None, Parameter(description="Replaces this version only: a 409 when another is the newest.")
        ] = None,
        reason: Annotated[str | None, Parameter(description="Is kept with the version.", max_length=512)] = None,
    ) -> Response[bytes]:
        """Makes a catalog, in TOML or JSON, the newest version of its namespace, which may be a new one. Requests that
        come after the answer are read by it, on every process.

        A meter whose definition would mean something else is refused unless `since` or `backfill` says how. The
        catalogs of files that were named to the server are changed there: a 409.
        """
        media_type = request.headers.get("content-type", TOML).partition(";")[0].strip().lower()
        if media_type not in _FORMATS:
            raise UnsupportedEncoding(f"content-type {media_type[:60]!r}; send one of {', '.join(_FORMATS)}")
        async with bodies.reading(request) as content:
            try:
                text = content.decode()
            except UnicodeDecodeError as wrong:
                raise CatalogError(f"the catalog: not UTF-8: {wrong.reason} at byte {wrong.start}") from None
        draft = CatalogDraft(
            namespace,
            _FORMATS[media_type],
            text,
            None if since is None else instant_of("since", since),
            frozenset(backfill or ()),
            onto,
            reason,
        )
        return json_response(
            _outcome(await asyncio.to_thread(changes.apply, draft, operator_of(request.scope).name, dry_run=dry_run))
        )

    @get(
        f"{path}/versions",
        operation_id="listCatalogVersions",
        tags=["Catalogs"],
        opt=described(answers={200: list[VersionBody]}),
    )
    async def list_versions(
        namespace: FromPath[str],
        before: Annotated[int | None, Parameter(description="Versions below this one.")] = None,
        limit: Annotated[int, Parameter(ge=1, le=_MOST_VERSIONS, description="The most that are told.")] = 20,
    ) -> Response[bytes]:
        """The versions of a catalog, the newest first: who made them, when and why."""
        found = await asyncio.to_thread(changes.listed, namespace, before, limit)
        return json_response([VersionBody(**_told(each)) for each in found])

    @get(
        f"{path}/versions/{{number:str}}",
        operation_id="getCatalogVersion",
        tags=["Catalogs"],
        opt=described(answers={200: VersionDetailBody}),
    )
    async def get_version(namespace: FromPath[str], number: FromPath[str]) -> Response[bytes]:
        """A version of a catalog, and what it changed of the one before it."""

        def read() -> VersionDetailBody:
            version = changes.version(namespace, int(number) if _NUMBER.fullmatch(number) else -1)
            parts = _changes(changes.changes_of(version))
            return VersionDetailBody(**_told(version), text=version.text, changes=parts)

        return json_response(await asyncio.to_thread(read))

    @post(
        f"{path}/rollback",
        status_code=200,
        operation_id="rollBackCatalog",
        tags=["Catalogs"],
        guards=[admin],
        opt=described(answers={200: OutcomeBody}, problems=(409,), example={"version": 3, "reason": "wrong limits"}),
    )
    async def roll_back(
        request: HttpRequest, namespace: FromPath[str], data: JSONBody[Rollback], dry_run: _DryRun = False
    ) -> Response[bytes]:
        """Makes an earlier version the newest one again, as it was, with what its meters meant then."""
        outcome = await asyncio.to_thread(
            changes.roll_back, namespace, data.version, operator_of(request.scope).name, data.reason, dry_run=dry_run
        )
        return json_response(_outcome(outcome))

    handlers = [get_catalog, put_catalog, list_versions, get_version, roll_back]
    return Router("/", route_handlers=handlers, guards=[authentication.operator_guard()])


def _told(version: CatalogVersion) -> dict[str, Any]:
    """The fields of a `VersionBody`."""
    return {
        "namespace": version.namespace,
        "version": version.number,
        "format": version.format.value,
        "created_at": written(version.created_at),
        "actor": version.actor,
        "reason": version.reason,
        "restored": version.restored,
    }


def _catalog(version: CatalogVersion) -> CatalogBody:
    return CatalogBody(**_told(version), text=version.text)


def _outcome(outcome: CatalogOutcome) -> OutcomeBody:
    affected = AffectedBody(outcome.affected_count, list(outcome.affected[:MOST_AFFECTED]))
    return OutcomeBody(
        **_told(outcome.version), stored=outcome.stored, changes=_changes(outcome.changes), affected=affected
    )


def _changes(changes: tuple[PartChange, ...]) -> list[PartChangeBody]:
    return [
        PartChangeBody(
            each.kind,
            each.slug,
            each.change,
            [FieldChangeBody(field.name, field.before, field.after) for field in each.fields],
        )
        for each in changes
    ]
