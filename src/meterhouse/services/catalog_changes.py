"""Changing catalogs while the server runs: every version is kept, and a meter's meaning never changes unsaid."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from ..domain.catalog import Catalog, CatalogError
from ..domain.catalog_diff import ChangeKind, Document, PartChange, differences
from ..domain.catalog_version import MAX_CATALOG_BYTES, CatalogFormat, CatalogVersion, decode_catalog
from ..domain.errors import AlreadyExists, Invalid, NotFound
from ..domain.meter import Aggregation, Meter, redefined
from ..domain.period import format_instant
from ..ports.catalog_versions import CatalogVersions
from ..ports.clock import Clock
from .catalogs import Catalogs, ReadCatalog

MOST_AFFECTED = 100
"""The most organizations that are named; all are counted."""
_WHOLE = (Aggregation.UNIQUE_COUNT, Aggregation.STATE_COUNT)
"""Aggregations of which parts do not tell what they have in common."""
_TOLD_ONLY = frozenset({"description", "unit"})


class CatalogOfFile(AlreadyExists):
    """The catalog is that of a file, which was named to the server."""

    code = "catalog_of_file"


class CatalogChanged(AlreadyExists):
    """The newest version is another than the one that was to be replaced."""

    code = "catalog_changed"


@dataclass(frozen=True, slots=True)
class CatalogDraft:
    """A catalog that is to be a namespace's newest version."""

    namespace: str
    format: CatalogFormat
    text: str
    since: datetime | None = None
    """From when on meters whose definition is another mean what it says."""
    backfill: frozenset[str] = frozenset()
    """Meters that always meant what the definition says: their whole history is counted anew."""
    onto: int | None = None
    """The number of the version that it replaces, if no other may be replaced."""
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class CatalogOutcome:
    """What a draft changes, or would change."""

    version: CatalogVersion
    stored: bool
    """False of a dry run, and where nothing is different."""
    changes: tuple[PartChange, ...]
    affected: Sequence[str]
    """Organizations whose limits, grants or own prices are about what changes: the first of them by id."""
    affected_count: int


@dataclass(frozen=True, slots=True)
class CatalogChanges:
    """The use cases around versions of catalogs."""

    catalogs: Catalogs
    versions: CatalogVersions
    read: ReadCatalog
    clock: Clock

    def newest(self, namespace: str) -> CatalogVersion:
        """The version that is in use. Raises `NotFound`."""
        self.catalogs.get(namespace)
        return self.version(namespace, self._number(namespace))

    def version(self, namespace: str, number: int) -> CatalogVersion:
        """A version; 0 is the catalog that the server brings along. Raises `NotFound`."""
        found = self.versions.catalog_version(namespace, number) if number else self._base(namespace)
        if found is None:
            raise NotFound(f"the catalog of {namespace[:60]!r} has no such version: look at its list of versions")
        return found

    def listed(self, namespace: str, before: int | None, limit: int) -> list[CatalogVersion]:
        """The newest versions below a number, or of all; the one that the server brings along is the last. Raises
        `NotFound`."""
        self.catalogs.get(namespace)
        first = self._number(namespace) + 1 if before is None else before
        found = self.versions.catalog_versions(namespace, first, limit)
        base = self._base(namespace)
        return [*found, base] if base is not None and len(found) < limit and first > 0 else found

    def apply(self, draft: CatalogDraft, actor: str, *, dry_run: bool = False) -> CatalogOutcome:
        """Stores a draft as the newest version, or says what that would do. The same catalog again changes nothing.

        Raises `CatalogError` for one that cannot be used, `Invalid` for a meter that would mean something else without
        a word, `CatalogOfFile` and `CatalogChanged`.
        """
        number = self._changeable(draft.namespace, draft.onto)
        if len(draft.text.encode()) > MAX_CATALOG_BYTES:
            raise CatalogError(f"the catalog is larger than {MAX_CATALOG_BYTES} bytes")
        version = CatalogVersion(
            draft.namespace, number + 1, draft.format, draft.text, self.clock.now(), actor, draft.reason
        )
        catalog = self.read(replace(version, number=0))
        if catalog.namespace != draft.namespace:
            raise CatalogError(
                f"the catalog's namespace is {catalog.namespace!r}, and this is the one of {draft.namespace[:60]!r}"
            )
        current = self.catalogs.find(draft.namespace)
        if current is not None and not differences(
            _document(newest := self.newest(draft.namespace)), _document(version)
        ):
            return CatalogOutcome(newest, stored=False, changes=(), affected=(), affected_count=0)
        self._refuse_other_contract(current, catalog)
        meters = self._meanings(draft, current.meters if current is not None else {}, catalog.meters)
        version = replace(version, earlier={slug: meter.earlier for slug, meter in meters.items() if meter.earlier})
        return self._outcome(version, current, dry_run=dry_run)

    def roll_back(
        self, namespace: str, number: int, actor: str, reason: str | None, *, dry_run: bool = False
    ) -> CatalogOutcome:
        """Makes an earlier version the newest one again, as it was: with what its meters meant. Raises `NotFound`,
        `CatalogOfFile` and `CatalogError`."""
        newest = self._changeable(namespace, None)
        version = replace(
            self.version(namespace, number),
            number=newest + 1,
            created_at=self.clock.now(),
            actor=actor,
            reason=reason,
            restored=number,
        )
        current = self.catalogs.get(namespace)
        self._refuse_other_contract(current, self.read(version))
        return self._outcome(version, current, dry_run=dry_run)

    def changes_of(self, version: CatalogVersion) -> tuple[PartChange, ...]:
        """What a version changed of the one before it."""
        before: CatalogVersion | None = None
        if version.number == 1:
            before = self._base(version.namespace)
        elif version.number:
            before = self.version(version.namespace, version.number - 1)
        return differences(_document(before) if before is not None else None, _document(version))

    def _outcome(self, version: CatalogVersion, current: Catalog | None, *, dry_run: bool) -> CatalogOutcome:
        before = self.newest(version.namespace) if current is not None else None
        changes = differences(_document(before) if before is not None else None, _document(version))
        if before is not None and not changes and before.earlier == version.earlier:
            return CatalogOutcome(before, stored=False, changes=(), affected=(), affected_count=0)
        affected = self._affected(version.namespace, changes)
        if not dry_run:
            self.versions.add_catalog_version(version)
        return CatalogOutcome(version, not dry_run, changes, affected[:MOST_AFFECTED], len(affected))

    def _number(self, namespace: str) -> int:
        """The number of the version that is in use."""
        base = self.catalogs.bases.get(namespace)
        return 0 if base is not None and base.file is not None else self.versions.newest_catalogs().get(namespace, 0)

    def _changeable(self, namespace: str, onto: int | None) -> int:
        """The number of the version to be replaced. Raises `CatalogOfFile` and `CatalogChanged`."""
        base = self.catalogs.bases.get(namespace)
        if base is not None and base.file is not None:
            raise CatalogOfFile(
                f"the catalog of {namespace!r} is the file {base.file}, which was named to the server (--catalog, "
                "METERHOUSE_CATALOGS): change the file, and start the server again"
            )
        number = self._number(namespace)
        if onto not in (None, number):
            raise CatalogChanged(
                f"the newest version of the catalog of {namespace[:60]!r} is {number}, not {onto}: look at what changed"
            )
        return number

    def _base(self, namespace: str) -> CatalogVersion | None:
        base = self.catalogs.bases.get(namespace)
        if base is None:
            return None
        brought_by = "Meterhouse" if base.file is None else base.file
        return CatalogVersion(namespace, 0, CatalogFormat.TOML, base.text, None, brought_by)

    def _meanings(
        self, draft: CatalogDraft, before: Mapping[str, Meter], after: Mapping[str, Meter]
    ) -> dict[str, Meter]:
        """The meters with what they meant before."""
        changed = {slug for slug in before.keys() & after.keys() if before[slug].meaning != after[slug].meaning}
        if strangers := sorted(draft.backfill - changed):
            raise Invalid(f"backfill: the meaning of {strangers[0][:60]!r} does not change")
        if draft.since is not None and not changed - draft.backfill:
            raise Invalid("since: no meter's meaning changes; leave it out")
        meters = {}
        for slug, meter in after.items():
            if slug in changed:
                meters[slug] = self._redefined(draft, before[slug], meter)
            else:
                meters[slug] = replace(meter, earlier=before[slug].earlier) if slug in before else meter
        return meters

    def _redefined(self, draft: CatalogDraft, before: Meter, after: Meter) -> Meter:
        slug, since = after.slug, draft.since
        if slug in draft.backfill:
            return after
        if since is None:
            raise Invalid(
                f"the meter {slug!r} would mean something else. Say from when on, `since=<instant>`, or have its whole "
                f"history counted anew, `backfill={slug}`; or leave it as it is and add a meter of another name"
            )
        if since < (now := self.clock.now()):
            raise Invalid(
                f"since: {format_instant(since)} has passed, now is {format_instant(now)}; what was answered of the "
                f"past changes with `backfill={slug}` only"
            )
        alike = (before.event_type, before.aggregation) == (after.event_type, after.aggregation)
        if not alike or after.aggregation in _WHOLE:
            raise Invalid(
                f"since: what {slug!r} meant and would mean cannot be put together in one period. That takes the same "
                f"event_type and aggregation, and none of {', '.join(_WHOLE)}: add a meter of another name, or have "
                f"its history counted anew, `backfill={slug}`"
            )
        return redefined(after, before, since)

    @staticmethod
    def _refuse_other_contract(current: Catalog | None, catalog: Catalog) -> None:
        if current is not None and current.contract != catalog.contract:
            raise CatalogError(
                f"the contract of {catalog.namespace!r} is {current.contract!r} and cannot become {catalog.contract!r}:"
                " keys that organizations have would no longer be read; use another namespace"
            )

    def _affected(self, namespace: str, changes: Collection[PartChange]) -> list[str]:
        """Organizations that have a plan, a limit, an add-on or a grant of what changes, by id."""
        touched = {(each.kind, each.slug) for each in changes if _matters(each)}
        if not touched:
            return []
        found = {
            organization
            for organization, subscription in self.versions.subscriptions_in(namespace).items()
            if ("plan", subscription.plan) in touched
            or any(
                (kind, slug) in touched
                for slug in (*subscription.limits, *subscription.addons)
                for kind in ("meter", "pool")
            )
        }
        for slug, having in self.versions.granted_in(namespace).items():
            if ("meter", slug) in touched or ("pool", slug) in touched:
                found |= having
        return sorted(found)


def _matters(change: PartChange) -> bool:
    """Whether what organizations may use, or how it is counted, can be another."""
    if change.change is ChangeKind.CHANGED:
        return any(field.name not in _TOLD_ONLY for field in change.fields)
    return change.change is ChangeKind.REMOVED


def _document(version: CatalogVersion) -> Document:
    return decode_catalog(version.text, version.format, "the catalog")
