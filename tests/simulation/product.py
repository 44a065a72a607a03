"""The product under simulation: the whole application in this process, on a folder that outlives its restarts."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime
from importlib import resources
from pathlib import Path

from simulation.auditor import Json, parsed
from support.twins import ADMIN_KEY, Twins, twins_at

_BUILT_IN = resources.files("meterhouse") / "catalogs"
CATALOGS = (*(Path(str(each)) for each in _BUILT_IN.iterdir() if each.name.endswith(".toml")),)
EIGHT = Path(__file__).with_name("eight.toml")


class Product:
    """Opened on demand, so that a restart is a close."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._open = ExitStack()
        self._twins: Twins | None = None

    def running(self, now: datetime) -> Twins:
        """The product at an instant."""
        if self._twins is None:
            opened = twins_at(self._folder, now, catalog_files=(*CATALOGS, EIGHT))
            self._twins = self._open.enter_context(opened)
        self._twins.clock.instant = now
        return self._twins

    def close(self) -> None:
        self._twins = None
        self._open.close()

    def call(
        self,
        now: datetime,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        *,
        admin: bool = False,
        cached: bool = True,
        params: dict[str, str] | None = None,
    ) -> tuple[int, Json]:
        """A request at an instant, to the application that keeps answers or to the one that does not."""
        sent = {"content-type": "application/json", **(headers or {})}
        if admin:
            sent["authorization"] = f"Bearer {ADMIN_KEY}"
        twins = self.running(now)
        client = twins.cached if cached else twins.plain
        answer = client.request(method, path, headers=sent, content=body, params=params)
        return answer.status_code, parsed(answer.content) if answer.content else None
