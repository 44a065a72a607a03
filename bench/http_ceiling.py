"""What the web framework itself answers: a constant, served as `meterhouse serve` serves. A process of its own."""

from __future__ import annotations

import sys

from litestar import Litestar, get

from meterhouse.cli.listening import run
from meterhouse.cli.logs import configure_logging
from meterhouse.http.observability import Metrics, Observability
from meterhouse.services.catalogs import Catalogs
from meterhouse.settings import Settings
from meterhouse.wiring import Meterhouse

ANSWER: dict[str, str | int] = {
    "org_id": "unsiloed-0",
    "org_name": "unsiloed",
    "current_usage": 123456,
    "usage_limit": 250000,
    "remaining_quota": 126544,
    "last_billed_date": "2026-03-01",
}


@get("/constant")
async def constant() -> dict[str, str | int]:
    """The same, always."""
    return ANSWER


def serve(port: int, *, observed: bool) -> None:
    """Serves until SIGTERM, with or without what gives each request its id and its place in the metrics."""
    configure_logging(Settings().log_level)
    app = Litestar([constant], openapi_config=None, logging_config=None)
    served = Observability(app, Metrics("bench")) if observed else app
    alone = Meterhouse(
        version="bench",
        app=served,
        of_shards=None,
        peers=None,
        admin_key="",
        generated_admin_key=False,
        catalogs=Catalogs([]),
        contracts={},
        announce=lambda _url: None,
        interrupt=lambda: None,
        begin=lambda: None,
    )
    run(alone, Settings(port=port))


if __name__ == "__main__":
    serve(int(sys.argv[1]), observed=sys.argv[2] == "observed")
