"""Stylesheets, scripts and pictures, each at a path that has the hash of its content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import structlog
from litestar import Response, Router, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from ..http.request import HttpRequest

_FOLDER = Path(__file__).parent / "static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
CHARTS = "uplot.js"
"""The charting library; see docs/decisions/0021-dashboard.md."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is served."""

    path: str
    content: bytes
    media_type: str


class Assets:
    """All of them, read once: they are small."""

    def __init__(self) -> None:
        files = [*_FOLDER.glob("*.*"), *(_FOLDER / "vendor").glob("*.*")]
        self._by_name = {file.name: _asset(file) for file in files if file.suffix in _TYPES}
        if CHARTS not in self._by_name:
            _log.warning(
                "the dashboard has tables and no charts: the charting library was not fetched when this checkout was "
                "set up; install the package again, with the npm registry within reach",
                missing=str(_FOLDER / "vendor" / CHARTS),
            )

    def path(self, name: str) -> str | None:
        """Where a file is served; None when there is none."""
        asset = self._by_name.get(name)
        return asset.path if asset is not None else None

    def router(self) -> Router:
        """The route."""
        by_path = {asset.path: asset for asset in self._by_name.values()}

        @get("/assets/{digest:str}/{name:str}", include_in_schema=False, sync_to_thread=False)
        def asset(request: HttpRequest, digest: FromPath[str], name: FromPath[str]) -> Response[bytes]:
            found = by_path.get(f"/assets/{digest}/{name}")
            if found is None:
                raise NotFoundException("no such file")
            request.state.never_changes = True
            return Response(found.content, media_type=found.media_type)

        return Router("/", route_handlers=[asset])


def _asset(file: Path) -> Asset:
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:12]
    return Asset(f"/assets/{digest}/{file.name}", content, _TYPES[file.suffix])
