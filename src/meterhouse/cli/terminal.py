"""What people and scripts see: tables for the one, JSON for the other, errors on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from ..domain.quantity import json_number

_WHOLE = 10_000
"""Columns of what is no terminal: files and other programs get every text whole, whatever COLUMNS says."""

out = Console(width=None if sys.stdout.isatty() else _WHOLE)
errors = Console(stderr=True)


class Failed(Exception):
    """A command could not do its work; the message says why and what to do."""


def fail(message: str) -> None:
    """One line on standard error."""
    errors.print(f"error: {message}", style="red", markup=False, highlight=False, soft_wrap=True)


def encode_json(value: object) -> str:
    """A JSON value on one line."""
    return msgspec.json.Encoder(decimal_format="number", enc_hook=json_number).encode(value).decode()


def print_json(value: object) -> None:
    """One JSON value on standard output."""
    sys.stdout.write(msgspec.json.format(encode_json(value)) + "\n")


def draws_blocks() -> bool:
    """Whether standard output is a terminal that shows block characters."""
    return out.is_terminal and out.encoding.startswith("utf")


def print_table(title: str, columns: list[str], rows: Iterable[Iterable[Any]]) -> None:
    """A table; columns whose name ends in ` #` are aligned as numbers."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(
            column.removesuffix(" #"), justify="right" if column.endswith(" #") else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*("—" if cell is None else str(cell) for cell in row))
    out.print(table)
