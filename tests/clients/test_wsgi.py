"""The WSGI middleware counts requests by itself, in the frameworks that people have."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import django
import flask
import pytest
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path as route

from meterhouse_client import BufferFull
from meterhouse_client.wsgi import MeterhouseMiddleware as WsgiMiddleware
from support.recorded import Recorded


def wsgi_called(app: Any, path: str, **environ: Any) -> tuple[str, bytes]:
    """As a server that holds an application to the specification calls it."""
    asked: dict[str, Any] = {"PATH_INFO": path, "QUERY_STRING": "", "SCRIPT_NAME": "", **environ}
    setup_testing_defaults(asked)
    told: list[str] = []
    answer = validator(app)(asked, lambda status, *_: told.append(status) or (lambda _: None))  # type: ignore[func-returns-value]
    try:
        return told[0], b"".join(answer)
    finally:
        answer.close()  # type: ignore[attr-defined]


def test_a_wsgi_application() -> None:
    meter = Recorded()

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        if environ["PATH_INFO"] == "/broken":
            raise RuntimeError
        start_response("201 Created", [("Content-Type", "text/plain")])
        return iter([b"one", b"two"])

    counted = WsgiMiddleware(app, meter=meter, organization=lambda environ: environ.get("HTTP_X_ORGANIZATION"))

    assert wsgi_called(counted, "/items", HTTP_X_ORGANIZATION="acme", CONTENT_LENGTH="17")[1] == b"onetwo"
    assert wsgi_called(counted, "/items")[1] == b"onetwo"
    with pytest.raises(RuntimeError):
        wsgi_called(counted, "/broken", HTTP_X_ORGANIZATION="acme")
    [(kind, name, data), (_, _, broken)] = meter.events
    assert (kind, name, data["status"], data["path"]) == ("http.request", "acme", 201, "/items")
    assert (data["request_bytes"], data["response_bytes"], broken["status"]) == (17, 6, 500)


def flask_app() -> Any:
    app = flask.Flask("app")

    @app.route("/items/<int:number>")
    def item(number: int) -> dict[str, int]:
        return {"number": number}

    @app.post("/items")
    def add() -> str:
        return str(len(flask.request.data))

    @app.route("/rows")
    def rows() -> flask.Response:
        return flask.Response(iter(["one", "two"]))

    @app.route("/broken")
    def broken() -> str:
        raise RuntimeError

    app.logger.disabled = True
    return app


def django_app() -> Any:
    """A program has one set of settings of Django's."""

    def item(_request: Any, number: int) -> JsonResponse:
        return JsonResponse({"number": number}, json_dumps_params={"separators": (",", ":")})

    def add(request: Any) -> HttpResponse:
        return HttpResponse(str(len(request.body)))

    def rows(_request: Any) -> StreamingHttpResponse:
        return StreamingHttpResponse(iter([b"one", b"two"]))

    def broken(_request: Any) -> HttpResponse:
        raise RuntimeError

    if not settings.configured:
        settings.configure(
            ALLOWED_HOSTS=["*"],
            LOGGING_CONFIG=None,
            ROOT_URLCONF=(
                route("items/<int:number>", item),
                route("items", add),
                route("rows", rows),
                route("broken", broken),
            ),
        )
        django.setup(set_prefix=False)
    logging.getLogger("django").disabled = True
    return WSGIHandler()


@pytest.mark.parametrize("make", [flask_app, django_app])
def test_applications_of_wsgi_frameworks(make: Any) -> None:
    meter = Recorded()
    app = WsgiMiddleware(make(), meter=meter, organization=lambda environ: environ.get("HTTP_X_ORGANIZATION"))
    of_acme = {"HTTP_X_ORGANIZATION": "acme"}
    status, content = wsgi_called(app, "/items/7", **of_acme)
    assert (status, content.strip()) == ("200 OK", b'{"number":7}')
    posted = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "5", "wsgi.input": io.BytesIO(b"12345")}
    assert wsgi_called(app, "/items", **of_acme, **posted) == ("200 OK", b"5")
    assert wsgi_called(app, "/rows", **of_acme) == ("200 OK", b"onetwo")
    assert wsgi_called(app, "/nothing", **of_acme)[0].startswith("404")
    assert wsgi_called(app, "/broken", **of_acme)[0].startswith("500")
    assert wsgi_called(app, "/items/7")[0] == "200 OK"
    assert [(each["path"], each["status"]) for _, _, each in meter.events] == [
        ("/items/7", 200),
        ("/items", 200),
        ("/rows", 200),
        ("/nothing", 404),
        ("/broken", 500),
    ]
    assert [(each["method"], each["request_bytes"]) for _, _, each in meter.events[:2]] == [("GET", 0), ("POST", 5)]
    assert [each["response_bytes"] for _, _, each in meter.events[:3]] == [len(content), 1, 6]


def test_a_meter_that_is_full_fails_no_request(caplog: pytest.LogCaptureFixture) -> None:
    meter = Recorded()
    meter.fails = BufferFull("3 events wait")
    app = WsgiMiddleware(flask_app(), meter=meter, organization=lambda _: "acme")
    with caplog.at_level(logging.WARNING, "meterhouse_client"):
        assert wsgi_called(app, "/items/7")[0] == "200 OK"
    assert "usage was not recorded: BufferFull: 3 events wait" in caplog.text
