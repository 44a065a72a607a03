"""A catalog of one's own with all eight aggregations."""

from __future__ import annotations

CATALOG = """
namespace = "acme"

[[meters]]
slug = "calls"
event_type = "call"
aggregation = "COUNT"

[[meters]]
slug = "tokens"
event_type = "call"
aggregation = "SUM"
value = ["input", "output"]

[[meters]]
slug = "fastest"
event_type = "call"
aggregation = "MIN"
value = "latency_ms"

[[meters]]
slug = "slowest"
event_type = "call"
aggregation = "MAX"
value = "latency_ms"

[[meters]]
slug = "mean"
event_type = "call"
aggregation = "AVG"
value = "latency_ms"

[[meters]]
slug = "people"
event_type = "call"
aggregation = "UNIQUE_COUNT"
value = "user.id"

[[meters]]
slug = "stored_gb"
event_type = "disk"
aggregation = "LATEST"
value = "gb"

[[meters]]
slug = "jobs"
event_type = "job"
aggregation = "STATE_COUNT"
entity = "job"
state = "state"
counted_states = ["running", "waiting"]
window = "now"

[[plans]]
slug = "Team"
limits = { tokens = 100, jobs = 3, stored_gb = 2.5 }
"""
