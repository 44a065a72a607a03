"""Alert rules, what they have raised, and webhook endpoints with their deliveries, by namespace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import TypeVar
from urllib.parse import quote

from litestar import Response, Router, get, post
from litestar.params import FromPath

from ..domain.alert_rule import Basis
from ..domain.errors import Invalid, MeterhouseError
from ..domain.webhook import EventType
from ..http.query import READS_QUERY
from ..http.request import HttpRequest
from ..http.subscriptions import read_amount
from ..ports.alerts import AlertSearch
from ..ports.webhooks import DeliverySearch
from ..services.alerts import AlertRules, RuleDraft
from ..services.webhooks import EndpointDraft, EndpointState, Webhooks
from .pages import Answer, Pages, View, Visit, redirect

_SHOWN_ALERTS = 50
_SHOWN_DELIVERIES = 20
_OVERLAP = timedelta(days=1)

W = TypeVar("W", Basis, EventType)


@dataclass(frozen=True, slots=True)
class AlertPages:
    """For the operator."""

    pages: Pages
    rules: AlertRules
    webhooks: Webhooks
    wake: Callable[[], None]
    """Is called when there is something to deliver."""

    def router(self) -> Router:
        """The page of each namespace, and its forms."""

        @get("/alerts", include_in_schema=False, opt=READS_QUERY)
        async def first(request: HttpRequest) -> Response[bytes]:
            return await self.pages.show(request, self._first)

        @get("/alerts/{namespace:str}", include_in_schema=False, opt=READS_QUERY)
        async def show(request: HttpRequest, namespace: FromPath[str]) -> Response[bytes]:
            return await self.pages.show(request, lambda visit: self._page(visit, namespace))

        @post("/alerts/{namespace:str}/rules", include_in_schema=False)
        async def change_rules(request: HttpRequest, namespace: FromPath[str]) -> Response[bytes]:
            return await self.pages.receive(request, lambda visit, form: self._act(visit, namespace, form, self._rule))

        @post("/alerts/{namespace:str}/endpoints", include_in_schema=False)
        async def change_endpoints(request: HttpRequest, namespace: FromPath[str]) -> Response[bytes]:
            return await self.pages.receive(
                request, lambda visit, form: self._act(visit, namespace, form, self._endpoint)
            )

        return Router("/", route_handlers=[first, show, change_rules, change_endpoints])

    def _first(self, visit: Visit) -> Answer:
        visit.for_operator()
        namespace = next(iter(self.rules.accounts.catalogs)).namespace
        return redirect(f"/alerts/{quote(namespace, safe='')}")

    def _act(
        self,
        visit: Visit,
        namespace: str,
        form: Mapping[str, str],
        act: Callable[[str, Mapping[str, str]], EndpointState | None],
    ) -> Answer:
        """Does what a form asks for, and shows the page again; with what was wrong, or a secret that was made."""
        try:
            made = act(namespace, form)
        except MeterhouseError as wrong:
            return self._page(visit, namespace, wrong=str(wrong))
        if made is not None and made.secret is not None:
            return self._page(visit, namespace, made=made)
        return redirect(f"/alerts/{quote(namespace, safe='')}")

    def _rule(self, namespace: str, form: Mapping[str, str]) -> None:
        rule_id = _given(form, "id")
        if form.get("action") == "remove":
            self.rules.delete(namespace, rule_id)
            return
        try:
            amount = Decimal(_given(form, "threshold"))
        except InvalidOperation:
            raise Invalid("threshold: must be a number") from None
        draft = RuleDraft(
            _given(form, "meter"),
            _word(Basis, "basis", _given(form, "basis")),
            read_amount(amount, "threshold"),
            form.get("organization", "").strip() or None,
            "tell_resolved" in form,
        )
        self.rules.put(namespace, rule_id, draft)

    def _endpoint(self, namespace: str, form: Mapping[str, str]) -> EndpointState | None:
        webhooks, endpoint_id, action = self.webhooks, _given(form, "id"), form.get("action", "")
        if action == "add":
            kinds = frozenset(_word(EventType, "event_types", each) for each in form.get("event_types", "").split())
            return webhooks.put(namespace, endpoint_id, EndpointDraft(_given(form, "url"), kinds))
        if action == "rotate":
            return webhooks.rotate(namespace, endpoint_id, _OVERLAP)
        if action == "remove":
            webhooks.delete(namespace, endpoint_id)
        elif action in ("enable", "disable"):
            known = webhooks.get(namespace, endpoint_id)
            draft = EndpointDraft(known.url, known.event_types, enabled=action == "enable")
            webhooks.put(namespace, endpoint_id, draft)
        elif action == "test":
            webhooks.test(namespace, endpoint_id)
        elif action == "send-again":
            number = _given(form, "delivery")
            if not number.isascii() or not number.isdigit() or len(number) > 18:
                raise Invalid("delivery: must be the number of one")
            webhooks.send_again(namespace, int(number))
        else:
            raise Invalid(f"action: {action[:40]!r} is not known")
        self.wake()
        return None

    def _page(self, visit: Visit, namespace: str, *, wrong: str = "", made: EndpointState | None = None) -> Answer:
        visit.for_operator()
        catalogs = self.rules.accounts.catalogs
        catalog = catalogs.get(namespace)
        endpoints = self.webhooks.of(namespace)
        told = {
            "section": "alerts",
            "namespace": namespace,
            "namespaces": [each.namespace for each in catalogs],
            "slugs": [*catalog.meters, *catalog.pools],
            "bases": [*Basis],
            "types": [each for each in EventType if each is not EventType.TEST],
            "rules": [(rule, self.rules.problem(rule)) for rule in self.rules.of(namespace)],
            "alerts": self.rules.alerts(AlertSearch(namespace, limit=_SHOWN_ALERTS)),
            "endpoints": [
                (each, self.webhooks.deliveries(DeliverySearch(namespace, each.id, limit=_SHOWN_DELIVERIES)))
                for each in endpoints
            ],
            "wrong": wrong,
            "made": made,
        }
        return View("alerts.html", told, 400 if wrong else 200)


def _given(form: Mapping[str, str], name: str) -> str:
    if not (text := form.get(name, "").strip()):
        raise Invalid(f"{name}: must be filled in")
    return text


def _word(kind: type[W], name: str, text: str) -> W:
    try:
        return kind(text)
    except ValueError:
        raise Invalid(f"{name}: {text[:40]!r} is none of {', '.join(kind)}") from None
