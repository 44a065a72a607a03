"""A client that a mainstream generator makes from the OpenAPI document compiles, and works."""

from __future__ import annotations

import compileall
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.server import ADMIN_KEY, Server, event

CALLS = """
import json, sys
from meterhouse_client import AuthenticatedClient
from meterhouse_client.api.events import send_events
from meterhouse_client.api.keys import create_key
from meterhouse_client.api.organizations import create_organization, get_organization
from meterhouse_client.api.subscriptions import put_subscription
from meterhouse_client.api.usage import check_quota, get_usage, list_metered_events, query_usage
from meterhouse_client.models import EventBody, EventBodyDataType0, NewKey, NewOrganization, SubscriptionBody

url, key, organization = sys.argv[1:]
client = AuthenticatedClient(url, key)
made = create_organization.sync(client=client, body=NewOrganization(id="generated", name="G", namespace="aitronos"))
subscription = SubscriptionBody(plan=None, anchor="2026-03-01", interval="P1M")
put = put_subscription.sync("generated", client=client, body=subscription)
minted = create_key.sync("generated", client=client, body=NewKey(scopes=["usage:read"]))
usage = get_usage.sync(organization, client=client)
about = {"meter": ["neurons"], "organization": [organization]}
answer = query_usage.sync(client=client, **about, group_by=["model"], window="day")
listed = list_metered_events.sync(organization, client=client, meter="neurons")
missing = get_organization.sync("nobody", client=client)
refused = check_quota.sync_detailed(organization, "neurons", client=client, amount="1")
data = EventBodyDataType0.from_dict({"model": "a", "neurons": 1, "synapses": 1, "cost": "0.1"})
event = EventBody("e-1", "generated", "ai.request", "generated", "1.0", data=data)
sent = send_events.sync(client=client, namespace="aitronos", body=event)
print(json.dumps({
    "sent": sent.ingested,
    "made": made.id,
    "anchor": put.anchor,
    "key": minted.key,
    "used": usage.meters["neurons"].used,
    "groups": [[each.group["model"], each.total] for each in answer.meters[0].groups],
    "windows": len(answer.meters[0].windows),
    "events": [each.value for each in listed.events],
    "missing": [missing.status, missing.code],
    "refused": int(refused.status_code),
}))
"""


@pytest.fixture(scope="module")
def generated(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated")
    document = folder / "openapi.json"
    document.write_bytes(server.http.get("/openapi.json").content)
    generator = str(Path(sys.executable).with_name("openapi-python-client"))
    command = [generator, "generate", "--path", str(document), "--output-path", str(folder / "client")]
    environment = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    made = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert made.returncode == 0, made.stderr
    # What this generator does not know are bodies that are not JSON, and answers that are files.
    assert [line.split()[2:4] for line in made.stderr.splitlines() if line.startswith("WARNING")] == [
        ["PUT", "/v1/namespaces/{namespace}/catalog"],
        ["POST", "/v1/events"],
        ["GET", "/v1/backup"],
        ["GET", "/v1/export"],
        ["GET", "/v1/migration/ledger"],
    ], made.stderr
    return folder / "client"


def test_it_compiles_and_works(server: Server, generated: Path) -> None:
    assert compileall.compile_dir(generated, quiet=2)
    organization = server.organization("aitronos", {"plan": None, "anchor": "2026-03-01", "interval": "P1M"})
    data = {"model": "small", "neurons": 3, "synapses": 1, "cost": "0.5"}
    server.send("aitronos", [event("ai.request", organization, data, at="2026-03-02T00:00:00Z")])
    command = [sys.executable, "-c", CALLS, str(server.http.base_url).rstrip("/"), ADMIN_KEY, organization]
    environment = {**os.environ, "PYTHONPATH": str(generated)}
    called = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert called.returncode == 0, called.stderr
    told = json.loads(called.stdout)
    assert told.pop("key").startswith("oak_prod_")
    assert told == {
        "sent": 1,
        "made": "generated",
        "anchor": "2026-03-01T00:00:00Z",
        "used": 3,
        "groups": [["small", 3]],
        "windows": 31,
        "events": [3],
        "missing": [404, "not_found"],
        "refused": 402,
    }
