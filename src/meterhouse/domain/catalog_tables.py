"""Tables of a catalog, read with words for whatever is wrong in them."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from .catalog import CatalogError
from .errors import Invalid
from .quantity import parse_quantity

E = TypeVar("E", bound=StrEnum)

_SLUG = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class TableReader:
    """Reads single values. Each method raises `CatalogError`, naming the origin and the place."""

    origin: str

    def error(self, message: str) -> CatalogError:
        """What is raised, with a message that says where."""
        return CatalogError(f"{self.origin}: {message}")

    def known_keys(self, table: dict[str, Any], known: set[str] | frozenset[str], where: str) -> None:
        """Refuses a key that means nothing."""
        for key in table.keys() - known:
            raise self.error(f"{where} has the key {key!r}, which is not one of {', '.join(sorted(known))}")

    def slug(self, value: object, where: str) -> str:
        """A name as namespaces, meters and plans have it."""
        if not isinstance(value, str) or _SLUG.fullmatch(value) is None:
            raise self.error(f"{where} must be a name of letters, digits, _ and -, not {value!r}")
        return value

    def text(self, table: dict[str, Any], key: str, where: str, default: str | None = "") -> str:
        """A text; without a default it must be there."""
        value = table.get(key, default)
        if not isinstance(value, str) or (default is None and not value):
            raise self.error(f"{where}: {key} must be a text" + (" that is not empty" if default is None else ""))
        return value

    def names(self, table: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
        """A name, or a list of different ones."""
        value = table.get(key, [])
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(name, str) and name for name in listed):
            raise self.error(f"{where}: {key} must be a name or a list of names")
        if len(set(listed)) != len(listed):
            raise self.error(f"{where}: {key} names something twice")
        return tuple(listed)

    def tables(self, document: dict[str, Any], key: str) -> list[dict[str, Any]]:
        """A list of tables."""
        tables = document.get(key, [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            raise self.error(f"{key} must be written as [[{key}]]")
        return tables

    def choice(self, table: dict[str, Any], key: str, choices: type[E], where: str, default: E | None = None) -> E:
        """One of some words."""
        value = table.get(key, default)
        try:
            return choices(str(value))
        except ValueError:
            raise self.error(f"{where}: {key} is {value!r}; it must be one of {', '.join(choices)}") from None

    def amount(self, meter: str, value: object, where: str, what: str, known: Collection[str]) -> Decimal:
        """A number that is not negative, of a meter or a pool that is known."""
        if meter not in known:
            raise self.error(f"{where}: unknown meter {meter!r}; this catalog has {', '.join(sorted(known))}")
        if isinstance(value, bool) or not isinstance(value, int | Decimal | (str if what == "rate" else Decimal)):
            raise self.error(f"{where}: the {what} of {meter!r} must be a number")
        try:
            number = parse_quantity(str(value))
        except Invalid as wrong:
            raise self.error(f"{where}: the {what} of {meter!r}: {wrong}") from None
        if number < 0:
            raise self.error(f"{where}: the {what} of {meter!r} must not be negative")
        return number
