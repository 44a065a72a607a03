"""The contracts' OpenAPI documents: they are valid, the server answers as they say, and where it did not we would see.

Every test that asks a server is part of this: `contracts.documents` holds each answer to its document.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from jsonschema import Draft202012Validator
from schemathesis.checks import max_response_time
from schemathesis.specs.openapi.checks import positive_data_acceptance, unsupported_method
from schemathesis.specs.openapi.definitions import OPENAPI_31

from meterhouse.contracts import installed
from meterhouse.http.contracts import encode_body
from meterhouse.http.documents import contract_openapi
from support.documents import NOT_ALLOWED, Undocumented, documents_of, formats, read_json, validator
from support.server import Server

CONTRACTS = installed()
DOCUMENTS = {name: contract_openapi(contract, "0") for name, contract in CONTRACTS.items()}
REQUEST_ID = "5b0c3c5e-6f0e-4e0e-9d1b-0e1a2b3c4d5e"
RATE_LIMIT = {"x-ratelimit-limit": "500", "x-ratelimit-remaining": "499", "x-ratelimit-reset": "1773579600"}
each_contract = pytest.mark.parametrize("name", CONTRACTS)


def responses_of(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in document["paths"].values():
        yield from item["get"]["responses"].values()


def references_of(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references_of(value)
    elif isinstance(part, list):
        for value in part:
            yield from references_of(value)


class TestTheDocument:
    @each_contract
    def test_is_a_valid_openapi_document(self, name: str) -> None:
        assert [error.message for error in Draft202012Validator(OPENAPI_31).iter_errors(DOCUMENTS[name])] == []

    @each_contract
    def test_has_valid_schemas_only(self, name: str) -> None:
        document = DOCUMENTS[name]
        bodies = [response["content"]["application/json"]["schema"] for response in responses_of(document)]
        headers = [header["schema"] for response in responses_of(document) for header in response["headers"].values()]
        parameters = [
            parameter["schema"] for item in document["paths"].values() for parameter in item["get"]["parameters"]
        ]
        for schema in (*document["components"]["schemas"].values(), *bodies, *headers, *parameters):
            Draft202012Validator.check_schema(schema)

    @each_contract
    def test_refers_to_what_it_has_and_has_what_it_refers_to(self, name: str) -> None:
        schemas = {f"#/components/schemas/{schema}" for schema in DOCUMENTS[name]["components"]["schemas"]}
        assert set(references_of(DOCUMENTS[name])) == schemas

    @each_contract
    def test_names_each_operation_once(self, name: str) -> None:
        ids = Counter(item["get"]["operationId"] for item in DOCUMENTS[name]["paths"].values())
        assert {operation_id: count for operation_id, count in ids.items() if count > 1} == {}

    @each_contract
    def test_documents_every_part_of_its_paths(self, name: str) -> None:
        for path, item in DOCUMENTS[name]["paths"].items():
            wanted = {part[1:-1] for part in path.split("/") if part.startswith("{")}
            assert {found["name"] for found in item["get"]["parameters"] if found["in"] == "path"} == wanted

    @each_contract
    def test_shows_examples_that_are_as_it_says(self, name: str) -> None:
        document, shown = DOCUMENTS[name], 0
        for response in responses_of(document):
            content = response["content"]["application/json"]
            examples = [content["example"]] if "example" in content else []
            examples += [example["value"] for example in content.get("examples", {}).values()]
            for example in examples:
                # As it travels: what was a decimal in the type is exact digits in the example.
                body = read_json(json.dumps(example).encode())
                assert [error.message for error in validator(content["schema"], document).iter_errors(body)] == []
                shown += 1
        assert shown >= 7 * len(document["paths"])

    @each_contract
    def test_is_the_one_that_the_server_hands_out(self, server: Server, name: str) -> None:
        served = server.http.get(f"/docs/contracts/{name}").json()
        assert {**served, "info": {}} == {**DOCUMENTS[name], "info": {}}

    def test_says_which_headers_a_limited_contract_sends_and_only_those(self) -> None:
        for name, document in DOCUMENTS.items():
            for item in document["paths"].values():
                responses = item["get"]["responses"]
                limit = set(RATE_LIMIT) if CONTRACTS[name].options.requests_per_hour else set()
                assert {header.lower() for header in responses["200"]["headers"]} == limit
                assert {header.lower() for header in responses["429"]["headers"]} == limit | {"retry-after"}


@dataclass
class Answered:
    """An answer that is as documented, to be tampered with."""

    method: str
    path: str
    status: int
    headers: dict[str, str]
    body: Any

    def ask(self) -> httpx.Response:
        """Asks through a client that has the hook."""
        body = self.body if isinstance(self.body, bytes) else encode_body(self.body)

        def answer(_request: httpx.Request) -> httpx.Response:
            return httpx.Response(self.status, headers=self.headers, content=body)

        hooks = {"response": [documents_of().hook]}
        with httpx.Client(transport=httpx.MockTransport(answer), base_url="http://test", event_hooks=hooks) as http:
            return http.request(self.method, self.path)


def answered(name: str, *, method: str = "GET", status: int = 200) -> Answered:
    """As the document's own example has it."""
    path, item = next(iter(DOCUMENTS[name]["paths"].items()))
    content = item["get"]["responses"][str(200 if method != "GET" else status)]["content"]["application/json"]
    body = content["example"] if status == 200 else next(iter(content["examples"].values()))["value"]
    headers = {"content-type": "application/json", "x-request-id": REQUEST_ID, **RATE_LIMIT, "retry-after": "7"}
    return Answered(method, path.format(org_id="org_abc123"), status, headers, copy.deepcopy(body))


def set_at(body: Any, path: str, value: object) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        body = body[int(parent) if parent.isdigit() else parent]
    body[last] = value


def change(path: str, value: object) -> Callable[[Answered], None]:
    return lambda answer: set_at(answer.body, path, value)


def drop(path: str) -> Callable[[Answered], None]:
    def tamper(answer: Answered) -> None:
        *parents, last = path.split(".")
        body = answer.body
        for parent in parents:
            body = body[int(parent) if parent.isdigit() else parent]
        del body[last]

    return tamper


def text(written: bytes, instead_of: bytes) -> Callable[[Answered], None]:
    def tamper(answer: Answered) -> None:
        answer.body = encode_body(answer.body)
        assert instead_of in answer.body
        answer.body = answer.body.replace(instead_of, written, 1)

    return tamper


def header(name: str, value: str | None) -> Callable[[Answered], None]:
    def tamper(answer: Answered) -> None:
        answer.headers.pop(name, None)
        if value is not None:
            answer.headers[name] = value

    return tamper


def status(code: int) -> Callable[[Answered], None]:
    return lambda answer: setattr(answer, "status", code)


class TestAnAnswerThatIsNotAsDocumentedIsRefused:
    @each_contract
    def test_and_one_that_is_passes(self, name: str) -> None:
        for answer in (answered(name), answered(name, status=401), answered(name, status=500)):
            assert answer.ask().status_code == answer.status

    @pytest.mark.parametrize(
        ("name", "tamper", "words"),
        [
            ("autoposting", change("data.posts.published", "42"), "$.data.posts.published"),
            ("autoposting", change("data.posts.published", 42.5), "$.data.posts.published"),
            ("autoposting", change("success", False), "$.success"),
            ("autoposting", change("data.period.end", "2026-03-31"), "is not a 'date-time'"),
            ("autoposting", change("data.period.end", "2026-02-31T00:00:00Z"), "is not a 'date-time'"),
            ("autoposting", drop("data.credits.remaining"), "'remaining' is a required property"),
            ("autoposting", change("data.credits.reserved", 1), "'reserved' was unexpected"),
            ("autoposting", header("x-ratelimit-remaining", None), "x-ratelimit-remaining is missing"),
            ("autoposting", header("x-ratelimit-reset", "soon"), "x-ratelimit-reset"),
            ("autoposting", header("x-request-id", None), "x-request-id"),
            ("autoposting", header("x-request-id", "7"), "x-request-id"),
            ("autoposting", header("content-type", "application/problem+json"), "content type"),
            ("autoposting", status(404), "none of"),
            ("autoposting", status(204), "none of"),
            ("autoposting", text(b"", b"}}"), "no JSON"),
            ("autoposting", text(b'"success":true,"success":true', b'"success":true'), "twice"),
            ("aitronos", change("totalCost", "37500.0"), "$.totalCost"),
            ("aitronos", change("totalRequests", 15000.0), "$.totalRequests"),
            ("aitronos", text(b'"totalCost":NaN', b'"totalCost":37500.0'), "no JSON number"),
            ("aitronos", change("timeRange.end", "15.03.2026"), "is not a 'date'"),
            ("aitronos", change("timeRange.period", "month"), "$.timeRange.period"),
            ("aitronos", change("topModels.0.provider", "x"), "$.topModels[0]"),
            ("unsiloed", change("remaining_quota", None), "$.remaining_quota"),
            ("unsiloed", change("last_billed_date", "2026-02-30"), "is not a 'date'"),
            ("onepin", change("data.credits.percent", 100.1), "greater than the maximum"),
            ("onepin", change("data.range", "31d"), "$.data.range"),
            ("onepin", drop("data.audio.total_ms"), "'total_ms' is a required property"),
            ("onepin", drop("meta"), "'meta' is a required property"),
            ("octolens", change("mentions.limit", 2**53), "greater than the maximum"),
            ("octolens", change("mentions.resetAt", "2026-09-01T00:00:00Z"), "does not match"),
            ("octolens", change("flex", None), "$.flex"),
            ("octolens", header("x-ratelimit-limit", None), "x-ratelimit-limit is missing"),
        ],
    )
    def test_with_status_200(self, name: str, tamper: Callable[[Answered], None], words: str) -> None:
        answer = answered(name)
        tamper(answer)
        with pytest.raises(Undocumented) as refused:
            answer.ask()
        assert words in str(refused.value)
        assert f"GET {answer.path} was answered {answer.status}" in str(refused.value)

    @pytest.mark.parametrize(
        ("name", "status_code", "tamper", "words"),
        [
            ("autoposting", 401, change("error", {"code": "unauthorized"}), "$.error"),
            ("autoposting", 429, header("retry-after", None), "retry-after is missing"),
            ("aitronos", 403, drop("error.trace_id"), "'trace_id' is a required property"),
            ("unsiloed", 429, header("retry-after", None), "retry-after is missing"),
            ("unsiloed", 500, change("detail", ["it broke"]), "$.detail"),
            ("onepin", 422, change("error.details.0.field", None), "$.error.details[0].field"),
            ("octolens", 401, change("error.code", "NO_SUCH_CODE"), "$.error.code"),
            ("octolens", 404, change("error", "gone"), "$.error"),
        ],
    )
    def test_with_another_status(
        self, name: str, status_code: int, tamper: Callable[[Answered], None], words: str
    ) -> None:
        answer = answered(name, status=status_code)
        tamper(answer)
        with pytest.raises(Undocumented) as refused:
            answer.ask()
        assert words in str(refused.value)

    @each_contract
    def test_to_another_method(self, name: str) -> None:
        refusal = answered(name, status=401)
        not_allowed, allow = NOT_ALLOWED.get(name, (405, "GET"))
        refusal.method, refusal.status = "PUT", not_allowed
        header("allow", allow)(refusal)
        assert refusal.ask().status_code == not_allowed
        other = header("allow", "GET" if allow is None else None)
        for tamper in (other, header("allow", "GET, PUT"), status(200), status(403), drop_all):
            answer = copy.deepcopy(refusal)
            tamper(answer)
            with pytest.raises(Undocumented):
                answer.ask()

    def test_also_in_process(self) -> None:
        def answer(_request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, content=b"{}", headers={"content-type": "application/json"})

        async def ask() -> httpx.Response:
            transport, hooks = httpx.MockTransport(answer), {"response": [documents_of().async_hook]}
            async with httpx.AsyncClient(transport=transport, base_url="http://test", event_hooks=hooks) as http:
                return await http.get("/usage/summary")

        with pytest.raises(Undocumented):
            asyncio.run(ask())

    def test_on_every_path_of_a_contract_and_no_other(self) -> None:
        for name, document in DOCUMENTS.items():
            for path in document["paths"]:
                operation = documents_of().operation(path)
                assert operation is not None
                assert (operation.contract, operation.path) == (name, path)
                assert documents_of().operation(path + "/") is None
        for path in ("/", "/usage", "/usage/summary/x", "/v1/analytics/usage/summary/", "/v1/organizations/o/usage"):
            assert documents_of().operation(path) is None


def drop_all(answer: Answered) -> None:
    answer.body = {}


@pytest.mark.parametrize(
    ("kind", "value", "valid"),
    [
        ("date-time", "2026-03-15T12:00:00Z", True),
        ("date-time", "2026-03-15T12:00:00.000Z", True),
        ("date-time", "2026-03-15T12:00:00+05:45", True),
        ("date-time", "2026-03-15T12:00:00", False),
        ("date-time", "2026-03-15 12:00:00Z", False),
        ("date-time", "2026-03-15T24:00:01Z", False),
        ("date-time", "2026-03-15T12:00:00Z\n", False),
        ("date-time", "２026-03-15T12:00:00Z", False),
        ("date", "2026-02-28", True),
        ("date", "2026-02-29", False),
        ("date", "20260228", False),
        ("date", "2026-W09-1", False),
    ],
)
def test_dates_and_instants_are_those_of_rfc_3339(kind: str, value: str, valid: bool) -> None:
    assert formats.conforms(value, kind) is valid


def schemas(*, credentials: bool) -> dict[str, Any]:
    """The documents as schemathesis reads them; `credentials` has it invent some."""
    phases = {"coverage": {"generate-duplicate-query-parameters": True}}
    generation = {"deterministic": True, "with-security-parameters": credentials}
    return {
        name: schemathesis.openapi.from_dict(
            document, config=schemathesis.Config.from_dict({"phases": phases, "generation": generation})
        )
        for name, document in DOCUMENTS.items()
    }


def contract_of(case: schemathesis.Case) -> str:
    return next(name for name, document in DOCUMENTS.items() if case.operation.path in document["paths"])


@dataclass
class Prober:
    """Asks an operation in the name of an organization of its own, whose requests nothing else uses up."""

    server: Server
    session: requests.Session
    seen: Counter[int] = field(default_factory=Counter)
    contract: str = ""
    organization: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def not_allowed(self) -> int:
        """The status of another method than GET."""
        return NOT_ALLOWED.get(self.contract, (405, "GET"))[0]

    def identify(self) -> None:
        """A key in the header that the document names first."""
        name = self.contract
        self.organization = self.server.organization(name)
        key = self.server.key(self.organization, user_id="ada")
        scheme = next(iter(CONTRACTS[name].security.values()))
        self.headers = {"Authorization": f"Bearer {key}"} if scheme["type"] == "http" else {scheme["name"]: key}

    def probe(self, case: schemathesis.Case) -> None:
        self.contract = contract_of(case)
        options = {"headers": self.headers, "session": self.session}
        response = case.call(base_url=str(self.server.http.base_url), **options)
        self.seen[response.status_code] += 1
        headers = httpx.Headers([(name, value) for name, values in response.headers.items() for value in values])
        path = httpx.URL(response.request.url).path
        documents_of().check(case.method, path, response.status_code, headers, response.content)
        # What is any text to a schema may still be no time zone, no cursor and no member.
        excluded = [positive_data_acceptance, max_response_time]
        excluded += [unsupported_method] if self.not_allowed != 405 else []
        case.validate_response(
            response, excluded_checks=excluded, headers=self.headers or None, transport_kwargs=options
        )


@pytest.fixture
def prober(server: Server) -> Iterator[Prober]:
    with requests.Session() as session:
        session.trust_env = False
        yield Prober(server, session)


@pytest.fixture
def known(prober: Prober) -> Iterator[Prober]:
    """With a valid key. In the end some were answered, and some asked by another method."""
    yield prober
    assert prober.seen.keys() >= {200, prober.not_allowed}


@pytest.fixture
def unknown(prober: Prober) -> Iterator[Prober]:
    """Without one. In the end all were refused."""
    yield prober
    assert prober.seen.keys() == {401, prober.not_allowed}


# One prober serves all examples of an operation on purpose.
_SHARED = [HealthCheck.function_scoped_fixture]


@schemathesis.pytest.parametrize(**schemas(credentials=False))
@settings(max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=_SHARED)
def test_whatever_is_asked_with_a_key_is_answered_as_documented(known: Prober, case: schemathesis.Case) -> None:
    if not known.organization:
        known.contract = contract_of(case)
        known.identify()
    # Invented organizations are refused before anything else of the request matters.
    for place, name in ((case.path_parameters, "org_id"), (case.headers, "X-Workspace-Id")):
        if name in place and known.seen.total() % 3:
            place[name] = known.organization
    known.probe(case)


@schemathesis.pytest.parametrize(**schemas(credentials=True))
@settings(max_examples=10, deadline=None, derandomize=True, database=None, suppress_health_check=_SHARED)
def test_whatever_is_asked_without_a_key_is_refused_as_documented(unknown: Prober, case: schemathesis.Case) -> None:
    unknown.probe(case)
