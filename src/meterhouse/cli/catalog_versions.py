"""`meterhouse catalog …`: catalogs that are changed while the server runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from ..domain.catalog import CatalogError
from ..domain.catalog_version import CatalogFormat, decode_catalog
from .arguments import Json, given
from .target import Target, connect
from .terminal import Failed, encode_json, out, print_json, print_table

_LOCAL = Target()
_File = Annotated[Path, Parameter(help="A catalog, in TOML, or in JSON where its name ends in .json.")]
_Namespace = Annotated[str, Parameter(help="The catalog's namespace.")]
_Since = Annotated[
    str | None,
    Parameter(help="From when on meters whose definition is another mean what it says, an RFC 3339 instant."),
]
_Backfill = Annotated[
    tuple[str, ...],
    Parameter(negative="", help="A meter that always meant what its new definition says; may be repeated."),
]
_Reason = Annotated[str | None, Parameter(help="Is kept with the version, for people.")]

catalog = App(name="catalog", help="Catalogs, and their versions.")


def register(app: App) -> None:
    """Adds the commands."""
    app.command(catalog)


@catalog.command
def show(namespace: _Namespace, *, version: int | None = None, json: Json = False, target: Target = _LOCAL) -> None:
    """Prints the catalog of a namespace, as it was written.

    Parameters
    ----------
    version
        An earlier one; the newest when absent. 0 is the one that the server brings along.
    """
    path = f"/v1/namespaces/{namespace}/catalog" + ("" if version is None else f"/versions/{version}")
    with connect(target, engine=False) as client:
        found = client.call("GET", path)
    if json:
        print_json(found)
    else:
        out.print(found["text"].rstrip("\n"), markup=False, highlight=False, soft_wrap=True)


@catalog.command
def versions(namespace: _Namespace, *, json: Json = False, target: Target = _LOCAL) -> None:
    """Lists the newest versions of a catalog: who made them, when and why."""
    with connect(target, engine=False) as client:
        found = client.call("GET", f"/v1/namespaces/{namespace}/catalog/versions", query={"limit": "100"})
    if json:
        print_json(found)
        return
    rows = [[each[name] for name in ("version", "created_at", "actor", "restored", "reason")] for each in found]
    print_table(f"Versions of {namespace}", ["version #", "made", "by", "copy of #", "reason"], rows)


@catalog.command
def diff(
    file: _File, *, since: _Since = None, backfill: _Backfill = (), json: Json = False, target: Target = _LOCAL
) -> None:
    """Prints what a file would change, and for whom; changes nothing."""
    _print_outcome(_put(target, file, {"dry_run": "true"}, since, backfill), json=json)


@catalog.command
def apply(
    file: _File,
    *,
    since: _Since = None,
    backfill: _Backfill = (),
    onto: int | None = None,
    reason: _Reason = None,
    json: Json = False,
    target: Target = _LOCAL,
) -> None:
    """Makes a file the newest version of its namespace's catalog; the namespace may be a new one.

    Parameters
    ----------
    onto
        The version that it replaces: fails when another is the newest.
    """
    _print_outcome(_put(target, file, given(onto=onto, reason=reason), since, backfill), json=json)


@catalog.command
def rollback(
    namespace: _Namespace, version: int, *, reason: _Reason = None, json: Json = False, target: Target = _LOCAL
) -> None:
    """Makes an earlier version the newest one again, as it was.

    Parameters
    ----------
    version
        Its number; 0 is the catalog that the server brings along.
    """
    with connect(target, engine=False) as client:
        outcome = client.call(
            "POST", f"/v1/namespaces/{namespace}/catalog/rollback", {"version": version, "reason": reason}
        )
    _print_outcome(outcome, json=json)


def _put(target: Target, file: Path, query: dict[str, str], since: str | None, backfill: tuple[str, ...]) -> Any:
    written = CatalogFormat.JSON if file.suffix == ".json" else CatalogFormat.TOML
    try:
        text = file.read_text("utf-8")
        namespace = decode_catalog(text, written, str(file)).get("namespace")
    except (OSError, UnicodeDecodeError) as wrong:
        raise Failed(f"{file}: cannot be read: {wrong}") from None
    except CatalogError as wrong:
        raise Failed(str(wrong)) from None
    if not isinstance(namespace, str):
        raise Failed(f"{file}: namespace is missing: it says whose catalog this is")
    asked = [*query.items(), *given(since=since).items(), *(("backfill", meter) for meter in backfill)]
    with connect(target, engine=False) as client:
        path = f"/v1/namespaces/{namespace}/catalog"
        return client.call("PUT", path, text.encode(), query=tuple(asked), media_type=f"application/{written}")


def _print_outcome(outcome: dict[str, Any], *, json: bool) -> None:
    if json:
        print_json(outcome)
        return
    if not outcome["changes"]:
        out.print(f"nothing is different: version {outcome['version']} stays", highlight=False)
        return
    rows = []
    for change in outcome["changes"]:
        what = f"{change['kind']} {change['slug']}"
        fields = [[each["name"], _cell(each["before"]), _cell(each["after"])] for each in change["fields"]]
        rows += [[what, change["change"], *field] for field in fields or [[None, None, None]]]
    print_table("Changes", ["part", "change", "field", "before", "after"], rows)
    affected = outcome["affected"]
    if affected["count"]:
        shown = ", ".join(affected["organizations"])
        more = ", …" if affected["count"] > len(affected["organizations"]) else ""
        out.print(f"organizations: {affected['count']} ({shown}{more})", markup=False, highlight=False, soft_wrap=True)
    made = "is version" if outcome["stored"] else "nothing was stored; it would be version"
    out.print(f"{outcome['namespace']}: {made} {outcome['version']}", markup=False, highlight=False)


def _cell(value: object) -> str | None:
    """A value as it is written in JSON; a text as it is."""
    return value if value is None or isinstance(value, str) else encode_json(value)
