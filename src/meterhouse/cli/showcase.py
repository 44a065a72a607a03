"""Fills a Meterhouse with the demo, and shows what to do with it."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from shutil import which
from typing import Any

import msgspec

from ..contracts import installed
from ..contracts.contract import Contract
from ..demo import ORGANIZATIONS, DemoOrganization, year_of_events
from ..settings import Settings
from .client import Client
from .listening import base_url
from .terminal import errors, out, print_json
from .usage import print_usage

_PRICED = "helvetia-ai"
"""The organization whose catalog has prices."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One organization of the demo and a key for it."""

    organization: DemoOrganization
    contract: Contract
    secret: str

    @property
    def paths(self) -> list[str]:
        """The canonical path of each of its contract's routes."""
        return [route.paths[0].format(org_id=self.organization.id) for route in self.contract.routes]

    @property
    def header(self) -> tuple[str, str]:
        """The header that carries the key."""
        scheme = next(iter(self.contract.security.values()))
        return (
            (scheme["name"], self.secret) if scheme["type"] == "apiKey" else ("Authorization", f"Bearer {self.secret}")
        )


def fill(client: Client, now: datetime | None) -> list[Shown]:
    """Adds the five organizations with a year of events, as far as they are missing, and a new key for each."""
    known = {each["id"] for each in client.call("GET", "/v1/organizations")}
    moment = now or datetime.now(UTC)
    contracts = installed()
    shown = []
    for organization in ORGANIZATIONS:
        path = f"/v1/organizations/{organization.id}"
        with errors.status(f"filling {organization.name}"):
            if organization.id not in known:
                body = {"id": organization.id, "name": organization.name, "namespace": organization.namespace}
                client.call("POST", "/v1/organizations", {**body, "created_at": "2025-01-01T00:00:00Z"})
                client.call("PUT", f"{path}/subscription", organization.subscription)
            events = map(msgspec.json.encode, year_of_events(organization, moment))
            for report in client.send_events(organization.namespace, events):
                assert not report["errors"], report["errors"][:3]
            key = client.call("POST", f"{path}/keys", {"user_id": organization.user_id})
            shown.append(Shown(organization, contracts[organization.namespace], key["key"]))
    return shown


def print_answers(client: Client, shown: list[Shown]) -> None:
    """What each of the five summaries answers."""
    for each in shown:
        path = each.paths[0]
        out.print(f"\nGET {path}", style="bold", highlight=False)
        print_json(client.get(path, dict([each.header])))


def print_guide(client: Client, shown: list[Shown], settings: Settings, admin_key: str) -> None:
    """A curl line for each endpoint, and the usage of one organization as a table."""
    base = base_url(settings)
    out.print("\nThe dashboard:\n", highlight=False)
    _line(f"{base}/    sign in with the admin key: {admin_key}")
    out.print("\nFive organizations with a year of usage are ready. Paste any of these:\n", highlight=False)
    for each in shown:
        name, value = each.header
        for path in each.paths:
            _line(f"curl -s -H '{name}: {value}' {base}{path}")
    first: dict[str, Any] = client.call("GET", f"/v1/organizations/{shown[0].organization.id}/usage")
    out.print("\nMeterhouse's own answer, every meter at once:\n", highlight=False)
    _line(f"curl -s -H 'Authorization: Bearer {admin_key}' {base}/v1/organizations/{first['organization']}/usage")
    _line(f"METERHOUSE_ADMIN_KEY={admin_key} {_program()} usage {first['organization']} --url {base}")
    out.print("\nWhat usage costs, by model and day:\n", highlight=False)
    query = f"organization={_PRICED}&meter=neurons&range=30d&window=day&group_by=model&costs=true"
    _line(f"curl -s -H 'Authorization: Bearer {admin_key}' '{base}/v1/query?{query}'")
    out.print()
    print_usage(first)


def _program() -> str:
    """How this program is called from here."""
    if which("meterhouse") is not None:
        return "meterhouse"
    called = Path(sys.argv[0])
    return shlex.quote(str(called)) if called.name == "meterhouse" else f"{shlex.quote(sys.executable)} -m meterhouse"


def _line(text: str) -> None:
    out.print(text, markup=False, highlight=False, soft_wrap=True)
