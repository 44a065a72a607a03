"""Anthropic: usage and cost reports of an organization, as its administration API tells them."""

from __future__ import annotations

from ..namespace_contract import NamespaceContract, Operation
from ..usage_buckets import UsageOptions
from .reports import cost_report, usage_report
from .wire import credential, refuse

CONTRACT = NamespaceContract(
    name="anthropic",
    title="Anthropic usage and cost reports",
    source="https://docs.anthropic.com/en/api/admin-api/usage-cost, and what its clients send",
    credential=credential,
    refuse=refuse,
    options=UsageOptions(),
    operations=(
        Operation(
            "GET",
            "/v1/organizations/usage_report/messages",
            usage_report,
            "Tokens of messages, in buckets",
            of_organizations=True,
        ),
        Operation(
            "GET", "/v1/organizations/cost_report", cost_report, "What usage costs, day by day", of_organizations=True
        ),
    ),
)
