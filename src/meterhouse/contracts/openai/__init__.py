"""OpenAI: usage and costs of an organization, as its administration API tells them."""

from __future__ import annotations

from ..contract import bearer
from ..namespace_contract import NamespaceContract, Operation
from ..usage_buckets import UsageOptions
from .costs import costs
from .kinds import KINDS
from .usage import reader_of
from .wire import refuse

CONTRACT = NamespaceContract(
    name="openai",
    title="OpenAI organization usage",
    source="https://platform.openai.com/docs/api-reference/usage, and what its clients send",
    credential=bearer,
    refuse=refuse,
    options=UsageOptions(),
    operations=(
        *(
            Operation("GET", f"/v1/organization/usage/{name}", reader_of(kind), kind.summary, of_organizations=True)
            for name, kind in KINDS.items()
        ),
        Operation("GET", "/v1/organization/costs", costs, "What usage costs, day by day", of_organizations=True),
    ),
)
