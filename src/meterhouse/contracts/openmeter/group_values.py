"""What a meter has usage of: its subjects, and the texts of its groups."""

from __future__ import annotations

from ...domain.meter import BY_ORGANIZATION, Meter, MeterQuery
from ..namespace_contract import Call, Reply, Services
from .meters import found_meter
from .wire import bad_field, instant

MOST_GROUPS = 10_000


def list_meter_subjects(call: Call, services: Services) -> Reply:
    """The subjects that a meter has usage of."""
    return Reply(200, _texts_of(call, services, BY_ORGANIZATION))


def list_group_values(call: Call, services: Services) -> Reply:
    """The texts of one of a meter's groups."""
    meter, _ = found_meter(call, services)
    check_group(meter, call.parameters["group"])
    return Reply(200, [text for text in _texts_of(call, services, call.parameters["group"]) if text])


def check_group(meter: Meter, name: str) -> None:
    """Raises `Refuse` for what is no group of a meter."""
    if name not in meter.group_by:
        raise bad_field("groupBy", f"invalid group by: {name[:60]}")


def _texts_of(call: Call, services: Services, by: str) -> list[str]:
    meter, _ = found_meter(call, services)
    snapshot = services.snapshots.snapshot(call.namespace, (), None)
    edges = instant("from", call.one("from")), instant("to", call.one("to"))
    asked = MeterQuery(
        namespace=call.namespace,
        organization=None,
        meters=(meter,),
        edges=edges,
        as_of_commit=snapshot.commit,
        group_by=(by,),
        most_groups=MOST_GROUPS,
    )
    return sorted({measure.group[0] for measure in snapshot.reader.measure(asked)})
