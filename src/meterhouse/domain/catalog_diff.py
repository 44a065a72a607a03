"""What one catalog has and another has not, in the words in which they are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

Document: TypeAlias = Mapping[str, Any]
"""A catalog as it is decoded, that can be used."""


class ChangeKind(StrEnum):
    """What became of a part of a catalog."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field that is another; None where it is not there."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class PartChange:
    """A meter, plan or pool that is another. Fields that belong to none of them belong to the namespace."""

    kind: str
    slug: str
    change: ChangeKind
    fields: tuple[FieldChange, ...] = ()


def differences(before: Document | None, after: Document) -> tuple[PartChange, ...]:
    """What changes from one to the other: the namespace's own fields first, then all parts by kind and slug."""
    old, new = _parts(before or {}), _parts(after)
    found = []
    for kind, slug in sorted({*old, *new}, key=lambda part: (part[0] != "namespace", part)):
        was, becomes = old.get((kind, slug)), new.get((kind, slug))
        if was is None:
            found.append(PartChange(kind, slug, ChangeKind.ADDED))
        elif becomes is None:
            found.append(PartChange(kind, slug, ChangeKind.REMOVED))
        elif fields := tuple(_fields(was, becomes)):
            found.append(PartChange(kind, slug, ChangeKind.CHANGED, fields))
    return tuple(found)


def _parts(document: Document) -> dict[tuple[str, str], Document]:
    """All parts, by kind and slug: `meters` and the like are lists of tables that have one, `pools` a table of them."""
    own: dict[str, Any] = {}
    parts: dict[tuple[str, str], Document] = {}
    for name, value in document.items():
        kind = name.removesuffix("s")
        if isinstance(value, list) and value and all(isinstance(each, dict) and "slug" in each for each in value):
            parts |= {(kind, each["slug"]): each for each in value}
        elif isinstance(value, dict):
            parts |= {(kind, slug): each for slug, each in value.items()}
        else:
            own[name] = value
    return {("namespace", str(own["namespace"])): own, **parts} if own else parts


def _fields(before: Document, after: Document) -> Iterator[FieldChange]:
    old, new = dict(_flat(before, "")), dict(_flat(after, ""))
    for name in (*old, *(name for name in new if name not in old)):
        if old.get(name) != new.get(name):
            yield FieldChange(name, old.get(name), new.get(name))


def _flat(table: Document, path: str) -> Iterator[tuple[str, Any]]:
    """Fields by their paths: those of a table in it one by one, lists as they are."""
    for key, value in table.items():
        name = f"{path}.{key}" if path else str(key)
        if isinstance(value, dict):
            yield from _flat(value, name)
        else:
            yield name, value
