"""Middleware for WSGI applications (Flask, Django …): counts requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .errors import MeterhouseClientError
from .meter import Meter
from .telling import tell

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]


class MeterhouseMiddleware:
    """Records an event for each request that was answered: `method`, `path`, `status`, `duration_ms`, `request_bytes`
    (as announced) and `response_bytes`. What prevents an event is told to `on_error`, or logged."""

    def __init__(
        self,
        app: App,
        *,
        meter: Meter,
        organization: Callable[[Environ], str | None],
        event_type: str = "http.request",
        on_error: Callable[[MeterhouseClientError], None] | None = None,
    ):
        """`organization` is called for each request, and may read anything of its environment; None is not counted."""
        self._app = app
        self._meter = meter
        self._organization = organization
        self._event_type = event_type
        self._on_error = on_error

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """The WSGI application."""
        organization = self._organization(environ)
        if organization is None:
            return self._app(environ, start_response)
        told = {"status": 500}

        def start(status: str, *more: Any) -> Any:
            told["status"] = int(status.split(" ", 1)[0])
            return start_response(status, *more)

        began = time.perf_counter()
        try:
            body = self._app(environ, start)
        except BaseException:
            self._record(organization, environ, told["status"], began, 0)
            raise
        return _Counted(body, lambda sent: self._record(organization, environ, told["status"], began, sent))

    def _record(self, organization: str, environ: Environ, status: int, began: float, sent: int) -> None:
        length = environ.get("CONTENT_LENGTH") or ""
        data = {
            "method": environ["REQUEST_METHOD"],
            "path": environ.get("PATH_INFO", ""),
            "status": status,
            "duration_ms": round((time.perf_counter() - began) * 1000, 3),
            "request_bytes": int(length) if length.isdigit() else 0,
            "response_bytes": sent,
        }
        try:
            self._meter.record(self._event_type, organization, data)
        except MeterhouseClientError as failure:  # the request was answered: what is wrong is not its caller's
            tell(failure, self._on_error)


class _Counted:
    """A body whose bytes are counted while it is sent; it is closed once, as the specification says."""

    def __init__(self, body: Iterable[bytes], ended: Callable[[int], None]):
        self._body = body
        self._ended = ended
        self._sent = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._body:
            self._sent += len(piece)
            yield piece

    def close(self) -> None:
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self._ended(self._sent)
