"""A seed's life: what is done to the product and told to the auditor, and every answer compared with the auditor's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from simulation import contract_answers, correcting, onepin_answers
from simulation.auditor import ANYTHING, CONTRACTS, Answer, Books, Json, Key, Organization, differences, parsed, written
from simulation.catalogs_by_hand import METERS
from simulation.happenings import TICK, ZONES, happening, spoiled, subscription
from simulation.product import Product

STEPS = 10
RESTARTED = (3, 7)
"""Of ten seeds, those that the product is restarted in: an engine takes a second to open."""
SEEDS_IN_A_CASE = 10
LONGEST = timedelta(days=540)
_FIRST = datetime(2024, 1, 1, tzinfo=UTC)
_SLOT = timedelta(days=731)

encode = msgspec.json.Encoder(decimal_format="number").encode


class Difference(Exception):
    """The product answers something else than the auditor."""


class Life:
    """One seed. It has organizations and sources of its own, and years of its own among the seeds of a case, because
    the time of storing never goes back: so a seed by itself does what it does among others."""

    def __init__(self, seed: int, product: Product):
        self.random = Random(seed)
        self.seed = seed
        self.product = product
        self.step = 0
        slot = _FIRST + _SLOT * (seed % SEEDS_IN_A_CASE)
        self.start = slot + timedelta(minutes=self.random.randint(0, 150 * 1440))
        self.books = Books(self.start)
        self.zones = self.random.sample(ZONES, 2)
        self.namespaces = self.random.sample(list(METERS), self.random.choice((1, 1, 2, 2)))
        self.planned = [
            (f"s{seed}-{namespace}-{number}", namespace)
            for namespace in self.namespaces
            for number in range(self.random.choice((1, 1, 2)))
        ]
        self.sent: dict[str, list[Json]] = {namespace: [] for namespace in self.namespaces}
        self.made: list[tuple[str, str]] = []
        self.ids = 0

    def run(self) -> None:
        """The whole life. Raises `Difference`."""
        for organization, namespace in self.planned[: max(1, len(self.planned) - 1)]:
            self._create(organization, namespace)
        doings: dict[Callable[[], None], int] = {
            self._send: 12,
            self._correct: 4,
            self._correct_badly: 2,
            self._undo: 3,
            self._subscribe: 4,
            self._make_key: 2,
            self._revoke_key: 1,
            self._delete_or_restore: 1,
            self._create_late: 1,
            self._erase: 1,
            self._move_clock: 8,
            self._fold: 1,
            self._rebuild: 1,
        }
        for self.step in range(1, STEPS + 1):
            doing = self.random.choices(list(doings), list(doings.values()))[0]
            doing()
            if self.step == STEPS // 2 and self.seed % SEEDS_IN_A_CASE in RESTARTED:
                self.product.close()
            self._read(self.random.choice(self.planned)[0])
        self.step += 1
        for organization, _ in self.planned:
            self._read(organization)

    # What is done.

    def _create(self, organization: str, namespace: str) -> None:
        created_at = self.books.now - timedelta(minutes=self.random.randint(0, 400 * 1440))
        name = f"Über {organization}"
        body = {"id": organization, "name": name, "namespace": namespace, "created_at": written(created_at)}
        self._done("POST", "/v1/organizations", body, (201, ANYTHING))
        self.books.organizations[organization] = Organization(organization, name, namespace, created_at)
        self._subscribe(organization)
        self._make_key(organization)

    def _create_late(self) -> None:
        """An organization whose events may have come before it."""
        for organization, namespace in self.planned:
            if organization not in self.books.organizations:
                self._create(organization, namespace)

    def _subscribe(self, organization: str | None = None) -> None:
        id = organization or self._living()
        if id is None or (organization is not None and self.random.random() < 0.15):
            return
        known = self.books.organizations[id]
        body = subscription(self.random, known.namespace, self.books.now)
        if known.subscription is not None and self.random.random() < 0.3:  # the same one-time grants are not given anew
            body["addons"] = known.subscription.get("addons", {})
        self._done("PUT", f"/v1/organizations/{id}/subscription", body, (200, ANYTHING))
        self.books.subscribe(known, parsed(encode(body)))

    def _make_key(self, organization: str | None = None) -> None:
        id = organization or self._living()
        if id is None:
            return
        contract = CONTRACTS[self.books.organizations[id].namespace]
        body: Json = {"user_id": self.random.choice(("ada", "ada", "bob", None))}
        if self.random.random() < 0.15:
            body["scopes"] = ["events:write"]
        elif contract == "octolens":
            body["scopes"] = [self.random.choice(("read", "write", "admin"))]
        if organization is None and self.random.random() < 0.4:
            expires_at = self.books.now + timedelta(hours=self.random.randint(1, 2000))
            body["expires_at"] = written(expires_at)
        else:
            expires_at = None
        told = self._done("POST", f"/v1/organizations/{id}/keys", body, (201, ANYTHING))
        self.books.keys[told["key"]] = Key(id, set(told["scopes"]), body["user_id"], expires_at, id=told["id"])

    def _revoke_key(self) -> None:
        found = [key for key in self.books.keys.values() if not self.books.organizations[key.organization].deleted]
        if found:
            key = self.random.choice(found)
            status = 404 if key.revoked else 204
            self._done("DELETE", f"/v1/organizations/{key.organization}/keys/{key.id}", None, (status, ANYTHING))
            key.revoked = True

    def _delete_or_restore(self) -> None:
        organization = self.random.choice([*self.books.organizations.values()])
        path = f"/v1/organizations/{organization.id}"
        if organization.deleted:
            self._done("POST", f"{path}/restore", None, (200, ANYTHING))
        else:
            self._done("DELETE", path, None, (204, ANYTHING))
        organization.deleted = not organization.deleted

    def _send(self) -> None:
        """A batch: in order and out of order, new and known, good and bad."""
        organization, namespace = self.random.choice(self.planned)
        batch = [self._event(organization, namespace) for _ in range(self.random.choice((1, 4, 9, 16)))]
        keys = [secret for secret, key in self.books.keys.items() if "events:write" in key.scopes]
        secret = self.random.choice(keys) if keys and self.random.random() < 0.5 else None
        key = self.books.caller(secret)
        text = encode(batch)
        if secret is None:
            expected = _answered(self.books.ingest(namespace, parsed(text)))
            given = self._call("POST", "/v1/events", body=text, admin=True, params={"namespace": namespace})
        else:
            headers = {"authorization": f"Bearer {secret}"}
            given = self._call("POST", "/v1/events", headers, body=text)
            if key is None or self.books.organizations[key.organization].deleted:
                expected = 401, ANYTHING
            else:
                own = self.books.organizations[key.organization].namespace
                expected = _answered(self.books.ingest(own, parsed(text), key.organization))
        self._same("POST /v1/events", expected, given)

    def _event(self, organization: str, namespace: str) -> Json:
        known = self.sent[namespace]
        kind = self.random.random()
        if known and kind < 0.2:  # a retry: at another time, perhaps, and with its members in another order
            again = {**self.random.choice(known)}
            if self.random.random() < 0.5:
                again["time"] = self._time()
            if self.random.random() < 0.3:
                again["data"] = dict(reversed(again["data"].items()))
            return again
        type, data = happening(self.random, namespace)
        if known and kind < 0.25:  # a contradiction, mostly
            return self.random.choice(known) | {"type": type, "data": data}
        if known and kind < 0.27:  # the id of another organization, mostly
            return self.random.choice(known) | {"subject": organization, "type": type, "data": data}
        self.ids += 1
        event: Json = {"specversion": "1.0", "source": f"s{self.seed}", "id": f"e{self.ids}", "type": type}
        event |= {"subject": organization, "data": data}
        if self.random.random() < 0.95:
            event["time"] = self._time()
        if kind < 0.35:
            return spoiled(self.random, namespace, event)
        known.append(event)
        return event

    def _moment(self) -> datetime:
        """Anywhere, and above all where something begins or ends."""
        now, kind = self.books.now, self.random.random()
        if kind < 0.25:
            return now - timedelta(seconds=self.random.randint(0, 7200))
        if kind < 0.4:
            return now - timedelta(minutes=self.random.randint(0, 100 * 1440))
        if kind < 0.5:
            return now + timedelta(minutes=self.random.randint(0, 40 * 1440))
        zone = ZoneInfo(self.random.choice(self.zones))
        edge = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
        edge -= timedelta(days=self.random.choice((0, 1, 6, 29, 30, 60)))
        periods = [self.books.period(each, now) for each in self.books.organizations.values()]
        ends = [end for period in periods for end in period if end is not None]
        if ends and self.random.random() < 0.5:
            edge = self.random.choice(ends)
        return edge + self.random.choice((-TICK, TICK * 0, TICK * 0, TICK, timedelta(minutes=15)))

    def _time(self) -> str:
        """A moment, as the clocks of some zone say it."""
        return self._moment().astimezone(ZoneInfo(self.random.choice(self.zones))).isoformat()

    def _correct(self) -> None:
        namespace = self.random.choice(self.namespaces)
        stored = [event for event in self.books.events.values() if event.namespace == namespace and event.counts(None)]
        picked = self.random.sample(stored, min(len(stored), self.random.choice((1, 2, 4))))
        body = self._why()
        for event in picked:
            named: Json = {"source": event.source, "id": event.id}
            if self.random.random() < 0.7:
                named["organization"] = event.subject
            if self.random.random() < 0.5:
                body.setdefault("void", []).append(named)
                continue
            change = self.random.choice(("data", "time", "type"))
            if change == "time":
                named["time"] = self._time()
            else:
                named["type"], named["data"] = happening(self.random, namespace)
            body.setdefault("amend", []).append(named)
        if self.random.random() < 0.4 or not picked:
            organization = self.random.choice([id for id, own in self.planned if own == namespace])
            body["add"] = [each for each in (self._event(organization, namespace) for _ in range(2)) if self._new(each)]
        self._post_correction(namespace, body)

    def _new(self, event: Json) -> bool:
        names = ((each, event["subject"], event["source"], event["id"]) for each in self.namespaces)
        return all(name not in self.books.events for name in names)

    def _correct_badly(self) -> None:
        """Corrections that are refused whole, each for one reason."""
        namespace = self.random.choice(self.namespaces)
        stored = [event for event in self.books.events.values() if event.namespace == namespace]
        body = self._why()
        kind = self.random.randint(0, 5)
        if not stored or kind == 0:
            self._post_correction(namespace, body)
            return
        event = self.random.choice(stored)
        named = {"source": event.source, "id": event.id, "organization": event.subject}
        voided = [each for each in stored if not each.counts(None)]
        if kind == 1:
            body["void"] = [named, named]
        elif kind == 2:
            body["void"] = [{"source": event.source, "id": "never"}]
        elif kind == 3 and voided:
            body["void"] = [{"source": voided[0].source, "id": voided[0].id, "organization": voided[0].subject}]
        elif kind == 4 and event.counts(None):
            body["amend"] = [{**named, "time": "soon"}]
        else:
            known = [each for each in self.sent[namespace] if not self._new(each)]
            body["add"] = known[:1]
        self._post_correction(namespace, body)

    def _post_correction(self, namespace: str, body: Json) -> None:
        if self.made and self.random.random() < 0.1:  # an id that is taken, with another reason or the same
            body["id"] = self.random.choice(self.made)[1]
        preview = self.random.random() < 0.2
        text = encode(body)
        expected = correcting.correct(self.books, namespace, parsed(text), preview=preview)
        self._corrected(namespace, "/v1/corrections", text, expected, preview=preview)

    def _undo(self) -> None:
        if not self.made:
            return
        namespace, undone = self.random.choice(self.made[-4:])
        body, preview = self._why(), self.random.random() < 0.1
        expected = correcting.undo(self.books, namespace, undone, body, preview=preview)
        self._corrected(namespace, f"/v1/corrections/{undone}/undo", encode(body), expected, preview=preview)

    def _why(self) -> Json:
        self.ids += 1
        return {
            "actor": "ada",
            "reason": self.random.choice(("wrong", "sent twice")),
            "id": f"s{self.seed}-c{self.ids}",
        }

    def _corrected(self, namespace: str, path: str, text: bytes, expected: Answer, *, preview: bool) -> None:
        params = {"namespace": namespace, **({"preview": "true"} if preview else {})}
        given = self._call("POST", path, body=text, admin=True, params=params)
        for _, told in (expected, given):
            for listed in ("steps", "effects"):  # in no order that is promised
                if isinstance(told.get(listed), list):
                    told[listed].sort(key=repr)
        self._same(f"POST {path}", expected, given)
        if expected[0] == 200 and not preview:
            self.made.append((namespace, given[1]["id"]))

    def _erase(self) -> None:
        organization, _ = self.random.choice(self.planned)
        known = self.books.organizations.get(organization)
        if known is None or known.deleted:
            return
        self.ids += 1
        path, value = self.random.choice(
            (("user_id", "ada"), ("model", "mini"), ("mention_id", "m5"), ("agent_id", "a1"), ("user.id", "eve"))
        )
        body = {"id": f"s{self.seed}-x{self.ids}", "organization": organization, "property": path, "value": value}
        receipt = self._done("POST", "/v1/erasures", body | {"actor": "ada", "reason": "asked"}, (200, ANYTHING))
        correcting.erase(self.books, known, path, value, receipt["replaced_by"])

    def _move_clock(self) -> None:
        now, kind = self.books.now, self.random.random()
        if kind < 0.2:
            moved = now - timedelta(seconds=self.random.randint(1, 86_400))
        elif kind < 0.4:
            moved = now + timedelta(seconds=self.random.randint(1, 7200))
        elif kind < 0.6:
            moved = now + timedelta(hours=self.random.randint(1, 24 * 40))
        elif kind < 0.7:
            moved = now + timedelta(days=self.random.choice((95, 120)))
        else:  # to where a period or a day begins, or just before
            moved = self._moment()
            moved = moved if moved > now else moved + timedelta(days=self.random.choice((1, 30, 31)))
        self.books.now = min(max(moved, self.start), self.start + LONGEST)

    def _fold(self) -> None:
        store = self.product.running(self.books.now).store
        while store.materialize(store.latest_commit()):
            pass

    def _rebuild(self) -> None:
        self._done("DELETE", "/v1/rollups", None, (202, ANYTHING))

    # What is read.

    def _read(self, organization: str) -> None:
        """The product's own endpoint, now or as of a moment, for the operator or with a key; or the contract's."""
        path = f"/v1/organizations/{organization}/usage"
        own = [secret for secret, key in self.books.keys.items() if key.organization == organization]
        secret = self.random.choice(own) if own and self.random.random() < 0.9 else self._strange_key()
        kind = self.random.random()
        if kind < 0.2:
            self._same(f"GET {path}", self.books.usage(organization, None), self._call("GET", path, admin=True))
        elif kind < 0.4:
            as_of = written(self._as_of()) or ""
            given = self._call("GET", path, admin=True, params={"as_of": as_of})
            self._same(f"GET {path}?as_of={as_of}", self.books.usage(organization, None, as_of), given)
        elif kind < 0.5:
            self._query(organization)
        elif kind < 0.6 and secret is not None:
            given = self._call("GET", path, {"authorization": f"Bearer {secret}"})
            self._same(f"GET {path} with a key", self.books.usage(organization, secret), given)
        else:
            namespace = next(own for id, own in self.planned if id == organization)
            self._read_contract(CONTRACTS[namespace], organization, secret)

    def _query(self, organization: str) -> None:
        """Some days of a meter, of the organization or of its whole namespace by organization."""
        namespace = next(own for id, own in self.planned if id == organization)
        meter = self.random.choice([meter for meter in METERS[namespace] if meter.window != "now"])
        first = self._moment().date() - timedelta(days=self.random.randrange(3))
        days = self.random.randrange(1, 40)
        as_of = written(self._as_of()) if self.random.random() < 0.3 else None
        params = {"meter": meter.slug, "from": str(first), "to": str(first + timedelta(days=days)), "window": "day"}
        params |= {"as_of": as_of} if as_of else {}
        whole = self.random.random() < 0.5
        params |= {"namespace": namespace, "group_by": "organization"} if whole else {"organization": organization}
        expected = self.books.query(namespace, None if whole else organization, meter.slug, (first, days), as_of)
        self._same(f"GET /v1/query {params}", expected, self._call("GET", "/v1/query", admin=True, params=params))

    def _as_of(self) -> datetime:
        known = [event.stored_at for event in self.books.events.values()]
        known += [said_at for event in self.books.events.values() for said_at, _ in event.words]
        moments = [
            self.books.now,
            self.books.now,
            self.start - timedelta(days=1),
            self.books.now + TICK,
            self._moment(),
        ]
        if known:
            moments += [self.random.choice(known), self.random.choice(known) - TICK, self.random.choice(known) + TICK]
        return self.random.choice(moments)

    def _strange_key(self) -> str | None:
        return self.random.choice((None, "x", *self.books.keys))

    def _read_contract(self, contract: str, organization: str, secret: str | None) -> None:
        bearer = {} if secret is None else {"authorization": f"Bearer {secret}"}
        match contract:
            case "unsiloed":
                path = self.random.choice(("/api/v1/org/get_usage", "/org/get_usage"))
                expected = contract_answers.unsiloed(self.books, secret)
                given = self._call("GET", path, {} if secret is None else {"api-key": secret})
            case "aitronos":
                path = f"/v1/analytics/usage/summary/{organization}"
                expected = contract_answers.aitronos(self.books, secret, organization)
                given = self._call("GET", path, {} if secret is None else {"x-api-key": secret})
            case "autoposting":
                path = self.random.choice(("/api-proxy/usage/summary", "/usage/summary"))
                sdk = self.random.random() < 0.5
                expected = contract_answers.autoposting(self.books, secret, sdk=sdk)
                given = self._call("GET", path, bearer | ({"x-source": "sdk"} if sdk else {}))
            case "octolens":
                path = "/api/v2/org/usage"
                expected = contract_answers.octolens(self.books, secret)
                given = self._call("GET", path, bearer)
            case _:
                query = {"range": self.random.choice(("30d", "60d", "90d")), "timezone": self.random.choice(self.zones)}
                query["activity_view"] = self.random.choice(("daily", "weekly", "monthly"))
                path = f"/api/v1/usage/summary {query}"
                view = query["range"], query["activity_view"], query["timezone"]
                expected = onepin_answers.summary(self.books, secret, *view)
                given = self._call("GET", "/api/v1/usage/summary", bearer, params=query)
        self._same(f"GET {path}", expected, given)

    # How it is compared.

    def _living(self) -> str | None:
        living = [each.id for each in self.books.organizations.values() if not each.deleted]
        return self.random.choice(living) if living else None

    def _call(self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any) -> Answer:
        cached = method != "GET" or self.random.random() < 0.7
        return self.product.call(self.books.now, method, path, headers, cached=cached, **options)

    def _done(self, method: str, path: str, body: Json, expected: Answer) -> Json:
        given = self._call(method, path, body=None if body is None else encode(body), admin=True)
        self._same(f"{method} {path}", expected, given)
        return given[1]

    def _same(self, what: str, expected: Answer, given: Answer) -> None:
        told = {"status": expected[0], "body": expected[1]}
        for difference in differences(told, {"status": given[0], "body": given[1]}):
            raise Difference(f"step {self.step}, {written(self.books.now)}, {what}: {difference}")


def _answered(report: Json) -> tuple[int, Json]:
    """A request in which every event was refused is a 422 with the report."""
    refused = (report["conflicts"] or report["rejected"]) and not (report["ingested"] or report["duplicates"])
    return (422 if refused else 200), report
