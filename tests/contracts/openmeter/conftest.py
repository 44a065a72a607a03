"""OpenMeter's own clients, unmodified: the newer and the older one for Python, and the one for JavaScript."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count

import pytest

from support.official import OfficialClient, node_client, python_client
from support.openmeter_clients import JS, NEW, NOW, OLD, Raw, Wire, connected, metered, namespace_key
from support.server import Server, serve

_numbers = count(1)


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("openmeter"), now=NOW) as running:
        yield running


@pytest.fixture(scope="package")
def clients() -> Iterator[dict[str, OfficialClient]]:
    with ExitStack() as running:
        yield {
            NEW: running.enter_context(python_client(f"openmeter-{NEW}")),
            OLD: running.enter_context(python_client(f"openmeter-{OLD}")),
            JS: running.enter_context(node_client("openmeter-js")),
        }


@pytest.fixture(params=[NEW, OLD, JS])
def wire(request: pytest.FixtureRequest, server: Server, clients: dict[str, OfficialClient]) -> Wire:
    return connected(request.param, server, clients[request.param])


@pytest.fixture
def raw(server: Server) -> Raw:
    namespace = f"raw{next(_numbers)}"
    return metered(Raw(server, namespace, namespace_key(server, namespace)))
