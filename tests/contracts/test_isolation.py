"""What a caller is told depends on the caller's own rights alone: not on whether somebody else is there, nor on what
they used. Asked of the real server with every kind of credential, good and bad, for every kind of organization."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
from hypothesis import event as note
from hypothesis import given, settings
from hypothesis import strategies as st

from meterhouse.contracts import installed
from support.depth import by_depth
from support.documents import NOT_ALLOWED
from support.server import Server, altered, event

CONTRACTS = installed()
OWNERS = ("first", "second")
ASKED = (*OWNERS, "gone", "another contract's", "never there", "no such id")
"""The organizations that a request names; a deleted one and two that never were among them."""
CURSORS = ("none", *OWNERS, "forged")
AT = "2026-03-14T12:00:00Z"
SECRETS_THAT_ARE_BAD = ("expired", "revoked", "truncated", "lengthened", "changed", "never minted", "none")
KINDS = ("valid", "no scope", *SECRETS_THAT_ARE_BAD)
SUBSCRIPTION = {"plan": None, "anchor": "2026-03-01", "interval": "P1M"}
_VARYING = {"date", "x-request-id", "x-ratelimit-remaining"}


@dataclass(frozen=True)
class Secret:
    """What is sent as a credential, and the id of the key that it is or was."""

    text: str | None
    key_id: str = "no key"


@dataclass
class Organization:
    """One of a contract, with a credential of every kind."""

    contract: str
    id: str
    secrets: dict[str, Secret] = field(default_factory=dict)
    twins: dict[str, Secret] = field(default_factory=dict)
    """Other keys with the rights of some of these; what they are answered is what should be answered."""
    cursor: str = "none"


@dataclass(frozen=True)
class Question:
    """A request for one route, which may name an organization and a cursor."""

    contract: str
    path: str
    scheme: Mapping[str, str]
    asked: str | None
    cursor: str


@dataclass(frozen=True)
class Answered:
    """All of an answer but what differs from one answer to the next in any case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str
    remaining: int | None = field(compare=False)


def read(answer: httpx.Response, secret: Secret) -> Answered:
    headers = tuple(sorted((name, value) for name, value in answer.headers.items() if name not in _VARYING))
    body = answer.text.replace(answer.headers["x-request-id"], "<id>").replace(secret.key_id, "<key>")
    remaining = answer.headers.get("x-ratelimit-remaining")
    return Answered(answer.status_code, headers, body, None if remaining is None else int(remaining))


@dataclass
class World:
    """Two organizations of each contract that used different amounts, and one that is deleted."""

    server: Server
    organizations: dict[tuple[str, str], Organization]
    remaining: dict[str, int] = field(default_factory=dict)
    """By organization, what its last answer said of its rate limit."""

    def put(self, question: Question, secret: Secret) -> Answered:
        headers = {}
        if secret.text is not None and question.scheme["type"] == "http":
            headers["authorization"] = f"Bearer {secret.text}"
        elif secret.text is not None:
            headers[question.scheme["name"]] = secret.text
        query = {}
        asked = None if question.asked is None else self.id_of(question.contract, question.asked)
        if asked is not None:
            # OnePin reads the header; a parameter of that name is read by nobody.
            headers["x-workspace-id"] = query["org_id"] = asked
        if question.cursor != "none":
            query["cursor"] = self.cursor_of(question.cursor)
        answer = self.server.http.get(question.path.format(org_id=asked), params=query, headers=headers)
        return read(answer, secret)

    def id_of(self, contract: str, asked: str) -> str:
        """The id that a request names."""
        if asked == "another contract's":
            other = next(name for name in CONTRACTS if name != contract)
            return self.organizations[other, "first"].id
        known = self.organizations.get((contract, asked))
        return known.id if known is not None else {"never there": "org-never-there"}.get(asked, "!")

    def cursor_of(self, owner: str) -> str:
        known = self.organizations.get(("onepin", owner))
        return known.cursor if known is not None else "forged"

    def account(self, organization: str, answer: Answered) -> None:
        """Holds the rate limit to what was answered: one less after each answer, whatever was refused in between."""
        if answer.remaining is not None:
            assert answer.remaining == self.remaining.get(organization, answer.remaining + 1) - 1
            self.remaining[organization] = answer.remaining


def usage_of(contract: str, organization: str, amount: int) -> list[dict[str, Any]]:
    """Events that make an organization's answer its own, on every route."""
    user, run = {"user_id": "ada"}, {"run_id": f"run-{amount}"}
    activity = {"action": "workflow_run", "kind": "completed", "user": {"id": "ada", "name": f"Ada {amount}"}}
    activity |= {"resource": {"type": "workflow", "id": f"w-{amount}", "name": "W"}}
    kinds: dict[str, list[tuple[str, dict[str, Any]]]] = {
        "autoposting": [("credit.used", {"amount": amount})],
        "aitronos": [("ai.request", {"model": "m", "neurons": amount, "synapses": amount, "cost": amount})],
        "unsiloed": [("credit.used", {"amount": amount})],
        "onepin": [
            ("line.generated", {**run, **user, "locale": "de", "characters": amount, "credits": amount}),
            ("workspace.activity", activity),
            ("workspace.activity", activity),
        ],
        "octolens": [("mention.found", {"mention_id": f"m-{n}", "keyword_id": "k"}) for n in range(amount)],
    }
    return [event(kind, organization, data, at=AT) for kind, data in kinds[contract]]


def with_secrets(server: Server, contract: str, organization: str) -> Organization:
    """A key of every kind, and twins of those that are answered by their rights."""

    def mint(**fields: Any) -> Secret:
        made = server.admin("POST", f"/v1/organizations/{organization}/keys", {"user_id": "ada", **fields})
        assert made.status_code == 201, made.text
        return Secret(made.json()["key"], made.json()["id"])

    made = Organization(contract, organization)
    for secrets in (made.secrets, made.twins):
        secrets["valid"], secrets["no scope"] = mint(), mint(scopes=["events:write"])
    expired = server.expired_key(organization, user_id="ada")
    made.secrets["expired"] = Secret(expired["key"], expired["id"])
    made.secrets["revoked"] = mint()
    revoked = made.secrets["revoked"].key_id
    assert server.admin("DELETE", f"/v1/organizations/{organization}/keys/{revoked}").status_code == 204
    text = str(made.secrets["valid"].text)
    made.secrets["truncated"] = Secret(text[:-1])
    made.secrets["lengthened"] = Secret(text + text[-1])
    made.secrets["changed"] = Secret(altered(text))
    made.secrets["never minted"] = Secret(text[:-20] + "0" * 20)
    made.secrets["none"] = Secret(None)
    return made


@pytest.fixture(scope="module")
def world(server: Server) -> World:
    made = World(server, {})
    for contract in CONTRACTS:
        for owner, amount in (("first", 3), ("second", 5), ("gone", 7)):
            # The same name and the same creation: nothing but use tells them apart.
            known = server.organization(contract, SUBSCRIPTION, name="Same")
            assert server.send(contract, usage_of(contract, known, amount))["rejected"] == 0
            made.organizations[contract, owner] = with_secrets(server, contract, known)
    for owner in OWNERS:
        onepin = made.organizations["onepin", owner]
        headers = {"authorization": f"Bearer {onepin.secrets['valid'].text}"}
        page = server.http.get("/api/v1/usage/activity", params={"limit": "1"}, headers=headers).json()
        onepin.cursor = page["pagination"]["next"]
        assert onepin.cursor
    for contract in CONTRACTS:
        gone = made.organizations[contract, "gone"].id
        assert server.admin("DELETE", f"/v1/organizations/{gone}").status_code == 204
    return made


ENDPOINTS = [(name, path) for name in CONTRACTS for route in CONTRACTS[name].routes for path in route.paths]


@dataclass(frozen=True)
class Attempt:
    """Who asks what: a credential of a kind, of an organization of a contract that need not be the route's own."""

    question: Question
    holder: tuple[str, str]
    kind: str


@st.composite
def attempts(draw: st.DrawFn) -> Attempt:
    name, path = draw(st.sampled_from(ENDPOINTS))
    scheme = draw(st.sampled_from(sorted(CONTRACTS[name].security.values(), key=str)))
    asked = st.sampled_from(OWNERS) | st.sampled_from(ASKED)
    if "{org_id}" not in path:
        asked |= st.none()
    cursor = draw(st.sampled_from(CURSORS)) if path.endswith("/activity") else "none"
    question = Question(name, path, scheme, draw(asked), cursor)
    holder = draw(st.just(name) | st.just(name) | st.sampled_from(sorted(CONTRACTS)))
    owner = draw(st.sampled_from(OWNERS) | st.sampled_from((*OWNERS, "gone")))
    return Attempt(question, (holder, owner), draw(st.just("valid") | st.sampled_from(KINDS)))


def expected(world: World, attempt: Attempt) -> tuple[str, Answered]:
    """Why something is answered, and what: as another request is that nothing but rights can have shaped."""
    question, kind, holder = attempt.question, attempt.kind, world.organizations[attempt.holder]
    owner = attempt.holder[1]
    never = "never there"
    plain = replace(question, asked=never if "{org_id}" in question.path else None, cursor="none")
    if kind == "none":
        return "no credential", world.put(plain, Secret(None))
    if holder.contract != question.contract or kind in SECRETS_THAT_ARE_BAD:
        return "bad credential", world.put(plain, Secret("x"))
    twin = holder.twins[kind]
    if owner == "gone":
        return "gone", world.put(plain, twin)
    own = replace(question, asked=owner)
    names_another = question.asked not in (None, owner) and question.contract in ("aitronos", "onepin")
    if kind == "no scope" and not question.path.endswith("/whoami"):
        return "no scope", world.put(replace(own, cursor="none"), twin)
    if names_another:
        return "another organization", world.put(replace(question, asked=never, cursor="none"), twin)
    if question.cursor not in ("none", owner):
        return "bad cursor", world.put(replace(own, cursor="forged"), twin)
    return "own", world.put(own, twin)


STATUSES = {
    "no credential": {401},
    "bad credential": {401},
    "gone": {401, 403, 404},
    "no scope": {403},
    "another organization": {403},
    "bad cursor": {422},
    "own": {200},
}


@settings(max_examples=by_depth(120, 600, 6_000), deadline=None)
@given(attempt=attempts())
def test_an_answer_is_shaped_by_the_callers_own_rights_alone(world: World, attempt: Attempt) -> None:
    holder = world.organizations[attempt.holder]
    answer = world.put(attempt.question, holder.secrets[attempt.kind])
    world.account(holder.id, answer)
    why, reference = expected(world, attempt)
    world.account(holder.id, reference)
    note(why)
    assert answer == reference, why
    assert answer.status in STATUSES[why], why


@pytest.mark.parametrize("name", CONTRACTS)
def test_own_answers_differ_by_what_was_used(world: World, name: str) -> None:
    """Else the property above would compare nothing."""
    for route in CONTRACTS[name].routes:
        told = {}
        for owner in OWNERS:
            holder = world.organizations[name, owner]
            scheme = next(iter(CONTRACTS[name].security.values()))
            question = Question(name, route.paths[0], scheme, owner, "none")
            answer = world.put(question, holder.secrets["valid"])
            world.account(holder.id, answer)
            assert answer.status == 200
            told[owner] = answer.body.replace(holder.id, "<organization>")
        if not route.paths[0].endswith("/whoami"):
            assert told["first"] != told["second"]


def test_aitronos_denies_the_others_the_deleted_and_the_unknown_in_the_same_words(world: World) -> None:
    scheme = CONTRACTS["aitronos"].security["apiKey"]
    secret = world.organizations["aitronos", "first"].secrets["valid"]
    told = {
        asked: world.put(Question("aitronos", "/v1/analytics/usage/summary/{org_id}", scheme, asked, "none"), secret)
        for asked in ASKED
    }
    assert told.pop("first").status == 200
    assert {answer.status for answer in told.values()} == {403}
    assert len(set(told.values())) == 1


def test_onepin_denies_the_workspaces_of_others_in_the_same_words(world: World) -> None:
    scheme = CONTRACTS["onepin"].security["bearer"]
    secret = world.organizations["onepin", "first"].secrets["valid"]
    for route in CONTRACTS["onepin"].routes:
        told = {asked: world.put(Question("onepin", route.paths[0], scheme, asked, "none"), secret) for asked in ASKED}
        assert told.pop("first").status == 200
        assert {answer.status for answer in told.values()} == {403}
        assert len(set(told.values())) == 1


@pytest.mark.parametrize("name", [name for name in CONTRACTS if CONTRACTS[name].options.requests_per_hour])
def test_what_is_refused_uses_up_no_request(world: World, name: str) -> None:
    holder, path = world.organizations[name, "first"], CONTRACTS[name].routes[0].paths[0]
    for scheme in CONTRACTS[name].security.values():
        question = Question(name, path, scheme, None, "none")
        before = world.put(question, holder.secrets["valid"])
        world.account(holder.id, before)
        for kind in KINDS:
            if kind != "valid":
                assert world.put(question, holder.secrets[kind]).status in {401, 403}, kind
        not_allowed, _ = NOT_ALLOWED.get(name, (405, "GET"))
        for method in ("HEAD", "POST", "OPTIONS"):
            headers = {"authorization": f"Bearer {holder.secrets['valid'].text}"}
            assert world.server.http.request(method, path, headers=headers).status_code == not_allowed
        world.account(holder.id, world.put(question, holder.secrets["valid"]))


def test_our_own_usage_endpoint_tells_no_more(world: World) -> None:
    for name in CONTRACTS:
        holder = world.organizations[name, "first"]
        for kind in KINDS:
            told = {}
            for asked in ASKED:
                text = holder.secrets[kind].text
                headers = {"authorization": f"Bearer {text}"} if text else {}
                path = f"/v1/organizations/{world.id_of(name, asked)}/usage"
                told[asked] = read(world.server.http.get(path, headers=headers), holder.secrets[kind])
            if kind == "valid":
                assert told.pop("first").status == 200
            assert {answer.status for answer in told.values()} == {403 if kind in ("valid", "no scope") else 401}
            assert len(set(told.values())) == 1, (name, kind)
