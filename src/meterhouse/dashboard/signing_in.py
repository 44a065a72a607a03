"""Signing in with a key, and signing out."""

from __future__ import annotations

import asyncio

from litestar import Response, Router, get, post
from litestar.exceptions import HTTPException

from ..http.authentication import Authentication
from ..http.problems import Forbidden, TooManyFailures, Unauthorized
from ..http.query import READS_QUERY
from ..http.request import HttpRequest
from .pages import Pages, View, form_of, query_of, redirect


def signing_in_router(pages: Pages, authentication: Authentication) -> Router:
    """The form, and what it is sent to."""
    sessions = pages.sessions

    def form(request: HttpRequest, next_path: str, wrong: HTTPException | None = None) -> Response[bytes]:
        session = pages.session(request)
        if session is None or session.key is not None:
            session = sessions.anonymous()
        told = {"wrong": wrong.detail if wrong is not None else "", "next": next_path, "section": ""}
        view = View("sign_in.html", told, wrong.status_code if wrong is not None else 200)
        response = pages.render(view, None, session)
        if wrong is not None:
            response.headers.update(wrong.headers or {})
        pages.keep(request, response, session)
        return response

    def sign_in(request: HttpRequest, fields: dict[str, str]) -> Response[bytes]:
        next_path = _local(fields.get("next", ""))
        try:
            sessions.check_form(pages.session(request), fields.get("form_token", ""))
            caller = authentication.sign_in(fields.get("key", "").strip(), request.scope)
            signed_in = sessions.signed_in(caller)
        except (Unauthorized, TooManyFailures, Forbidden) as wrong:
            return form(request, next_path, wrong)
        response = redirect(next_path)
        pages.keep(request, response, signed_in)
        return response

    def end(request: HttpRequest, fields: dict[str, str]) -> Response[bytes]:
        sessions.end(sessions.check_form(pages.session(request), fields.get("form_token", "")))
        response = redirect("/sign-in")
        pages.forget(response)
        return response

    @get("/sign-in", include_in_schema=False, opt=READS_QUERY)
    async def show(request: HttpRequest) -> Response[bytes]:
        next_path = _local(dict(query_of(request)).get("next", ""))
        if await asyncio.to_thread(sessions.viewer, pages.session(request)) is not None:
            return redirect(next_path)
        return form(request, next_path)

    @post("/sign-in", include_in_schema=False)
    async def send(request: HttpRequest) -> Response[bytes]:
        return await asyncio.to_thread(sign_in, request, await form_of(request))

    @post("/sign-out", include_in_schema=False)
    async def sign_out(request: HttpRequest) -> Response[bytes]:
        return await asyncio.to_thread(end, request, await form_of(request))

    return Router("/", route_handlers=[show, send, sign_out])


def _local(path: str) -> str:
    """A path of this server; the first page for anything else."""
    return path if path.startswith("/") and path[1:2] not in ("/", "\\") and path.isprintable() else "/"
