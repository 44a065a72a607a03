"""What every page has: who looks at it, its headers, and what is shown instead when something is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, quote, urlencode

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Response
from litestar.datastructures import Cookie
from litestar.exceptions import HTTPException
from litestar.plugins.jinja import JinjaTemplateEngine

from ..domain.errors import MeterhouseError, NotFound
from ..domain.operator_key import Operator, Role
from ..domain.organization import Organization
from ..http import problems
from ..http.authentication import begin_act
from ..http.problems import Forbidden
from ..http.request import HttpRequest, is_https
from ..services.accounts import Accounts
from .assets import CHARTS, Assets
from .formats import FILTERS
from .sessions import COOKIE, LIFETIME, Session, Sessions, Viewer

_TEMPLATES = Path(__file__).parent / "templates"
_MAX_FORM = 16_384
_MAX_PARAMETERS = 200
_SEEN_EVERY_S = 60
LIVE = "x-meterhouse-live"
"""The header that a page sends when it asks for its numbers by itself: that keeps no session from idling out."""


@dataclass(frozen=True, slots=True)
class View:
    """A page to render. `frames` are the origins whose pages may show it in a frame, `pictures` those that it may load
    pictures from."""

    template: str
    context: Mapping[str, Any]
    status: int = 200
    frames: Sequence[str] = ()
    pictures: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Visit:
    """A request for a page, by somebody who has signed in. `query` has what was filled in."""

    viewer: Viewer
    session: Session
    path: str
    query: Sequence[tuple[str, str]]

    def given(self, name: str) -> str:
        """A parameter of the query; empty when there is none."""
        return next((value for key, value in self.query if key == name), "")

    def for_operator(self, role: Role = Role.READ) -> Operator:
        """Who it is. Raises `Forbidden` for everybody but operators, and for an operator without the role."""
        if (operator := self.viewer.operator) is None:
            raise Forbidden("this page is for the operator; an organization's key shows that organization")
        if not operator.role.may(role):
            raise Forbidden(f"this needs an operator key with the role {role}")
        return operator

    def organization(self, accounts: Accounts, organization_id: str) -> Organization:
        """An organization that the viewer may see; raises `NotFound` for all others, whether or not they exist."""
        if not self.viewer.may_see(organization_id):
            raise NotFound(f"there is no organization {organization_id[:128]!r}")
        return accounts.organization(organization_id)

    def number(self, name: str, most: int) -> int:
        """A parameter that is a number from 0 on; 0 when it is none."""
        text = self.given(name)
        return min(int(text), most) if text.isascii() and text.isdigit() and len(text) < 10 else 0


Answer: TypeAlias = "View | Response[bytes]"


class Pages:
    """Renders them."""

    def __init__(self, sessions: Sessions, assets: Assets):
        environment = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            auto_reload=False,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters.update(FILTERS)
        environment.globals.update(asset=assets.path, charts=assets.path(CHARTS))
        self._engine = JinjaTemplateEngine.from_environment(environment)
        self.sessions = sessions

    async def show(self, request: HttpRequest, make: Callable[[Visit], Answer]) -> Response[bytes]:
        """The page that `make` makes, in another thread, for whoever has signed in; all others are asked to."""
        return await asyncio.to_thread(self._show, request, make)

    async def receive(self, request: HttpRequest, act: Callable[[Visit, Mapping[str, str]], Answer]) -> Response[bytes]:
        """What `act` makes, in another thread, of a form that the operator has sent from a page of ours."""
        return await asyncio.to_thread(self._receive, request, await form_of(request), act)

    def _receive(
        self, request: HttpRequest, fields: dict[str, str], act: Callable[[Visit, Mapping[str, str]], Answer]
    ) -> Response[bytes]:
        session = self.sessions.check_form(self.session(request), fields.pop("form_token", ""))
        viewer = self.sessions.viewer(session)
        if viewer is None:
            return redirect("/sign-in")
        visit = Visit(viewer, session, request.url.path, ())
        operator = visit.for_operator(Role.OPERATE)
        begin_act(request.scope, operator, request.scope["path_template"], self.sessions.clock)
        made = act(visit, fields)
        return made if isinstance(made, Response) else self.render(made, viewer, session)

    def session(self, request: HttpRequest) -> Session | None:
        """The session of a request."""
        return self.sessions.read(request.cookies.get(COOKIE))

    def _show(self, request: HttpRequest, make: Callable[[Visit], Answer]) -> Response[bytes]:
        session = self.session(request)
        viewer = self.sessions.viewer(session)
        if session is None or viewer is None:
            return redirect(f"/sign-in?next={quote(_place(request), safe='')}")
        made = make(Visit(viewer, session, request.url.path, query_of(request)))
        response = made if isinstance(made, Response) else self.render(made, viewer, session)
        now_s = int(self.sessions.anonymous().seen_s)
        if LIVE not in request.headers and now_s - session.seen_s >= _SEEN_EVERY_S:
            self.keep(request, response, session)
        return response

    def looking(self, request: HttpRequest) -> tuple[Viewer | None, Session | None]:
        """Who looks at a page that is for anybody."""
        session = self.session(request)
        return self.sessions.viewer(session), session

    def render(self, view: View, viewer: Viewer | None = None, session: Session | None = None) -> Response[bytes]:
        """A page as an answer."""
        token = self.sessions.form_token(session) if session is not None else ""
        template = self._engine.get_template(view.template)
        content = template.render({"viewer": viewer, "form_token": token, **view.context}).encode()
        headers = _headers(view.frames, view.pictures)
        return Response(content, status_code=view.status, media_type="text/html", headers=headers)

    def keep(self, request: HttpRequest, response: Response[bytes], session: Session) -> None:
        """Gives the browser the session."""
        lifetime = int(LIFETIME.total_seconds())
        value = self.sessions.cookie(session)
        secure = is_https(request)
        response.set_cookie(
            Cookie(COOKIE, value=value, max_age=lifetime, httponly=True, samesite="strict", secure=secure, path="/")
        )

    def forget(self, response: Response[bytes]) -> None:
        """Takes the session from the browser."""
        response.set_cookie(Cookie(COOKIE, value="", max_age=0, httponly=True, samesite="strict", path="/"))

    def refused(self, request: HttpRequest, error: Exception) -> Response[bytes]:
        """What is shown instead of a page: the words of the API's problem."""
        session = self.session(request)
        return self.render(_refusal(request, error), self.sessions.viewer(session), session)

    def refused_in_frame(self, request: HttpRequest, error: Exception) -> Response[bytes]:
        """The same where nobody signs in, in a frame of any page: it has nothing to hide and nothing to click."""
        return self.render(replace(_refusal(request, error), frames=("*",)))


def _refusal(request: HttpRequest, error: Exception) -> View:
    if isinstance(error, MeterhouseError):
        told = problems.meterhouse_error(request, error)
    elif isinstance(error, HTTPException):
        told = problems.http_error(request, error)
    else:
        told = problems.unexpected_error(request, error)
    problem = msgspec.json.decode(told.content, type=problems.Problem)
    return View("error.html", {"problem": problem, "section": ""}, problem.status)


def redirect(path: str) -> Response[bytes]:
    """Sends the browser to another page, with GET."""
    return Response(b"", status_code=303, headers={"Location": path, **_headers((), ())})


def download(content: bytes, media_type: str, name: str) -> Response[bytes]:
    """A file to be saved. `name` must be plain."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Referrer-Policy": "no-referrer"}
    return Response(content, media_type=media_type, headers=headers)


def query_of(request: HttpRequest) -> list[tuple[str, str]]:
    """What was filled in of the query: a form sends empty fields as well. An empty filter is for events without the
    property."""
    text = request.scope["query_string"].decode("latin-1")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        raise problems.TooLarge(f"the query has more than {_MAX_PARAMETERS} parameters") from None
    return [(name, value) for name, value in pairs if value.strip() or name.startswith("filter.")]


def linked(path: str, query: Sequence[tuple[str, str]], **changed: str) -> str:
    """A path with a query, some of whose parameters are others; an empty one is left out."""
    kept = [(name, value) for name, value in query if name not in changed]
    pairs = [*kept, *((name, value) for name, value in changed.items() if value)]
    return f"{path}?{urlencode(pairs)}" if pairs else path


async def form_of(request: HttpRequest) -> dict[str, str]:
    """The fields of a form that was sent. Raises `TooLarge`."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_FORM:
            raise problems.TooLarge(f"the form has more than {_MAX_FORM} bytes")
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=50))


def _place(request: HttpRequest) -> str:
    query = request.scope["query_string"].decode("latin-1")
    return f"{quote(request.url.path)}?{query}" if query else quote(request.url.path)


def _headers(frames: Sequence[str], pictures: Sequence[str]) -> dict[str, str]:
    """Nothing runs, loads or is framed but what is ours, or named."""
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": " ".join(("'self'", *pictures)),
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": " ".join(frames) or "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        **({} if frames else {"X-Frame-Options": "DENY"}),
    }
