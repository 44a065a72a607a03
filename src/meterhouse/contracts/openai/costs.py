"""What usage costs, by the prices of the namespace's catalog."""

from __future__ import annotations

from datetime import timedelta

from ...domain.quantity import plain
from ..cost_buckets import read_costs
from ..namespace_contract import Call, Reply, Services
from ..usage_buckets import Width, bad_parameter, every, groups_of
from .wire import buckets_of, page_of

_DAYS = {"1d": Width(timedelta(days=1), 7, 180)}


def costs(call: Call, services: Services) -> Reply:
    """One page of days."""
    groups = groups_of(call, ("project_id", "line_item"))
    projects = every(call, "project_ids")
    by_project = "project_id" in groups or bool(projects)
    if by_project and call.organization is not None:
        raise bad_parameter("project_ids" if projects else "group_by", "costs are not told apart by project here")
    buckets = buckets_of(call, _DAYS)
    found = read_costs(call, services, buckets, by_organization=by_project, by_meter="line_item" in groups)
    results = [
        [
            {
                "object": "organization.costs.result",
                "amount": {"value": plain(amount), "currency": part.currency.lower()},
                "line_item": part.meter or None,
                "project_id": part.organization or None,
            }
            for part, amount in day.items()
            if not projects or part.organization in projects
        ]
        for day in found
    ]
    return page_of(buckets, results)
