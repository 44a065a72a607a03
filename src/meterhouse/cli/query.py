"""`meterhouse query`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import App, Parameter

from .arguments import Json
from .prices import costs_text
from .target import Target, connect
from .terminal import Failed, draws_blocks, out, print_json, print_table

_LOCAL = Target()
_BLOCKS = "▁▂▃▄▅▆▇█"


def _help(text: str, name: str | None = None) -> Parameter:
    return Parameter(name=name, help=text, negative="")


def register(app: App) -> None:
    """Adds the command."""
    app.command(query)


def query(
    *meter: Annotated[str, Parameter(help="The meters to ask about.", negative="")],
    organization: Annotated[tuple[str, ...], _help("An organization to ask about; may be repeated.")] = (),
    namespace: Annotated[str | None, _help("All organizations of a namespace, instead.")] = None,
    start: Annotated[str | None, _help("An RFC 3339 instant, or a local date of the time zone.", "--from")] = None,
    end: Annotated[str | None, _help("The same, exclusive; now when absent.", "--to")] = None,
    range: Annotated[str | None, _help("Instead: current_period, previous_period, 24h, 30d, 12w, 12mo ….")] = None,
    window: Annotated[str | None, _help("minute, hour, day, week or month.")] = None,
    timezone: Annotated[str | None, _help("An IANA time zone; UTC when absent.")] = None,
    group_by: Annotated[tuple[str, ...], _help("A group-by property, or organization; may be repeated.")] = (),
    keep: Annotated[tuple[str, ...], _help("PROPERTY=TEXT keeps only that group; may be repeated.", "--filter")] = (),
    top: Annotated[int | None, _help("The most groups; 20 when absent.")] = None,
    compare: Annotated[str | None, _help("previous, or year.")] = None,
    as_of: Annotated[str | None, _help("What was known at an RFC 3339 instant.")] = None,
    costs: Annotated[bool, _help("Adds what the usage costs.")] = False,
    json: Json = False,
    target: Target = _LOCAL,
) -> None:
    """Shows usage over any span of time: by window, by group, compared with the span before."""
    single = {
        "namespace": namespace,
        "from": start,
        "to": end,
        "range": range,
        "window": window,
        "timezone": timezone,
        "top": None if top is None else str(top),
        "compare": compare,
        "as_of": as_of,
        "costs": "true" if costs else None,
    }
    several = {"meter": meter, "organization": organization, "group_by": group_by}
    asked = [(name, value) for name, value in single.items() if value is not None]
    asked += [(name, value) for name, values in several.items() for value in values]
    asked += [_filter(each) for each in keep]
    with connect(target, engine=True) as client:
        answer = client.call("GET", "/v1/query", query=tuple(asked))
    if json:
        print_json(answer)
        return
    out.print(
        f"{answer['from'] or 'the beginning'} to {answer['to'] or 'the end'}, {answer['timezone']}", soft_wrap=True
    )
    for each in answer["meters"]:
        _print_meter(answer, each)


def _filter(text: str) -> tuple[str, str]:
    path, equals, value = text.partition("=")
    if not path or not equals:
        raise Failed(f"--filter {text[:60]!r} must be like model=small")
    return f"filter.{path}", value


def _print_meter(answer: dict[str, Any], meter: dict[str, Any]) -> None:
    """A row for the total, each group and all others; or, where windows are not grouped, for each window."""
    title = f"{meter['meter']}, {meter['unit'] or meter['aggregation']}"
    compares = "compared" in answer
    if "groups" not in meter and "windows" in meter:
        rows: list[list[Any]] = [[each["label"], each["value"], *_costs(each)] for each in meter["windows"]]
        values = [each["value"] for each in meter["windows"]]
        columns = [answer["window"], "used #", *_costs_column(meter)]
        print_table(title, columns, [*rows, ["total", meter["total"], *_costs(meter)]])
        if draws_blocks():
            print_table("", [f"by {answer['window']}"], [[sparkline(values)]])
        return
    parts = [("total", meter), *((_name(each["group"]), each) for each in meter.get("groups", ()))]
    if other := meter.get("other"):
        parts.append((f"{other['groups']} {'other' if other['groups'] == 1 else 'others'}", other))
    draws = "windows" in meter and draws_blocks()
    columns = ["", "used #", "share #"] + ["previous #"] * compares
    columns += [*_costs_column(meter), *[f"by {answer['window']}"] * draws]
    print_table(
        title,
        columns,
        [
            [name, part["total"], part.get("share")]
            + ([part["previous"]] if compares else [])
            + _costs(part)
            + ([sparkline([each["value"] for each in part["windows"]])] if draws else [])
            for name, part in parts
        ],
    )


def _costs_column(meter: dict[str, Any]) -> list[str]:
    return ["costs #"] if "costs" in meter else []


def _costs(part: dict[str, Any]) -> list[str]:
    return [costs_text(part["costs"])] if "costs" in part else []


def _name(group: dict[str, str]) -> str:
    return " · ".join(text or "—" for text in group.values())


def sparkline(values: Sequence[Any]) -> str:
    """A block for each value, from the lowest to the highest, at least from 0; a space where there is none."""
    there = [value for value in values if value is not None]
    low, high = min([0, *there]), max([0, *there])
    steps = len(_BLOCKS) - 1
    return "".join(
        " " if value is None else _BLOCKS[int((value - low) * steps / (high - low)) if high > low else 0]
        for value in values
    )
