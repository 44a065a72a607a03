"""What was measured: a line each, with the target that it is held to."""

from __future__ import annotations

from typing import Literal

import msgspec
from rich.console import Console
from rich.table import Table


class Line(msgspec.Struct, omit_defaults=True):
    """One figure. With a comparator, the target is about the ratio of the two; without, about the figure itself."""

    name: str
    figure: float
    unit: str
    comparator: float | None = None
    target: float | None = None
    wanted: Literal["at least", "at most"] = "at most"
    compared_with: str = ""

    @property
    def ratio(self) -> float | None:
        """The figure by its comparator."""
        return self.figure / self.comparator if self.comparator else None

    @property
    def met(self) -> bool | None:
        """Whether the target is; None without one."""
        if self.target is None:
            return None
        measured = self.figure if self.ratio is None else self.ratio
        return measured >= self.target if self.wanted == "at least" else measured <= self.target


class Results(msgspec.Struct):
    """A whole run."""

    context: dict[str, str | int | float]
    lines: list[Line]


def to_json(results: Results) -> bytes:
    """For programs: the lines with ratio and verdict."""
    lines = [{**msgspec.to_builtins(line), "ratio": line.ratio, "met": line.met} for line in results.lines]
    return msgspec.json.format(msgspec.json.encode({"context": results.context, "lines": lines})) + b"\n"


def show(results: Results) -> None:
    """The table at the end."""
    table = Table(title=", ".join(f"{name} {_text(value)}" for name, value in results.context.items()))
    table.add_column("what")
    for column in ("figure", "beside", "ratio", "target"):
        table.add_column(column, justify="right")
    table.add_column("met")
    for line in results.lines:
        beside = f"{line.compared_with} {_text(line.comparator)}" if line.comparator else ""
        sign, times = (">=" if line.wanted == "at least" else "<="), ("x" if line.comparator else "")
        table.add_row(
            line.name,
            f"{_text(line.figure)} {line.unit}".strip(),
            beside.strip(),
            f"{line.ratio:.2f}" if line.ratio is not None else "",
            f"{sign} {_text(line.target)}{times}" if line.target is not None else "",
            {None: "", True: "yes", False: "NO"}[line.met],
        )
    judged = [line.met for line in results.lines if line.met is not None]
    if judged:
        table.caption = f"{judged.count(True)} of {len(judged)} targets met"
    Console(width=132).print(table)


def _text(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:,.2f}"
