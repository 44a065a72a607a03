"""What people and scripts see: tables for the one, JSON for the other, errors on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

out = Console()
errors = Console(stderr=True)


class Failed(Exception):
    """A command could not do its work; the message says why and what to do."""


def fail(message: str) -> None:
    """One line on standard error."""
    errors.print(f"error: {message}", style="red", markup=False, highlight=False, soft_wrap=True)


_encoder = msgspec.json.Encoder(enc_hook=lambda number: msgspec.Raw(str(number).encode()), decimal_format="number")


def print_json(value: object) -> None:
    """One JSON value on standard output, numbers of `Plain` with all their digits."""
    sys.stdout.write(msgspec.json.format(_encoder.encode(value)).decode() + "\n")


def print_table(title: str, columns: list[str], rows: Iterable[Iterable[Any]]) -> None:
    """A table; columns whose name ends in ` #` are aligned as numbers."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column.removesuffix(" #"), justify="right" if column.endswith(" #") else "left")
    for row in rows:
        table.add_row(*("—" if cell is None else str(cell) for cell in row))
    out.print(table)
