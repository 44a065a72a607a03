"""The dashboard without a browser: who may see what, what cannot run in it, and that its numbers are the API's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest

from meterhouse.domain.period import parse_instant
from support.pages import Read, form_token, signing_in, visitor
from support.server import ADMIN_KEY, Server, altered, event, serve

OPERATOR_ONLY = (
    *("/organizations", "/meters", "/meters/unsiloed/versions", "/meters/unsiloed/versions/0"),
    *("/alerts/aitronos", "/system", "/audit"),
)
MALICE = '<script>alert("1")</script>'
MODELS = ("=1+1", '"><img src=x onerror=alert(1)>', "javascript:alert(1)")
SUBSCRIPTION = {"plan": "Business", "anchor": "2026-03-01T00:00:00Z", "interval": "P1M"}


@pytest.fixture(scope="module")
def acme(server: Server) -> str:
    """An organization whose name, models and ids would run if anything let them."""
    acme = server.organization("aitronos", SUBSCRIPTION, name=f"Acme {MALICE}")
    server.send(
        "aitronos",
        [
            event(
                "ai.request",
                acme,
                {"model": model, "neurons": 10 * number, "synapses": 1, "cost": "0.25"},
                at=f"2026-03-{number + 10:02}T09:00:00Z",
                id=f"{MALICE}-{number}",
                source="javascript:alert(2)",
            )
            for number, model in enumerate(MODELS, 1)
        ],
    )
    return acme


@pytest.fixture
def operator(server: Server) -> Iterator[httpx.Client]:
    with visitor(server, ADMIN_KEY) as client:
        yield client


def pages_of(organization: str) -> list[str]:
    return [
        "/",
        *OPERATOR_ONLY,
        "/events",
        f"/organizations/{organization}?meter=neurons&group_by=model&range=30d&compare=previous",
        f"/organizations/{organization}/events?meter=neurons",
        "/events/story?" + story_query(organization),
    ]


def story_query(organization: str) -> str:
    source, event_id = "javascript:alert(2)", f"{MALICE}-1"
    return urlencode({"namespace": "aitronos", "source": source, "id": event_id, "organization": organization})


def test_without_a_session_every_page_leads_to_the_sign_in(server: Server, acme: str) -> None:
    with visitor(server) as nobody:
        for path in [*pages_of(acme), f"/organizations/{acme}/usage.csv"]:
            answer = nobody.get(path)
            assert (answer.status_code, answer.text) == (303, "")
            assert answer.headers["location"] == f"/sign-in?{urlencode({'next': path})}"


def test_a_session_is_a_cookie_that_no_script_and_no_other_site_has(server: Server) -> None:
    with visitor(server) as client:
        token = form_token(client.get("/sign-in").text)
        fields = {"form_token": token, "next": "/", "key": ADMIN_KEY}
        cookie = client.post("/sign-in", data=fields, headers={"x-forwarded-proto": "https"}).headers["set-cookie"]
    attributes = {each.strip().lower() for each in cookie.split(";")[1:]}
    assert attributes == {"httponly", "samesite=strict", "secure", "path=/", "max-age=43200"}
    with visitor(server) as client:
        assert "secure" not in signing_in(client, ADMIN_KEY).headers["set-cookie"].lower()


def test_a_form_counts_only_when_it_is_from_a_page_of_that_session(server: Server) -> None:
    with visitor(server) as client, visitor(server) as other:
        foreign = form_token(other.get("/sign-in").text)
        client.get("/sign-in")
        for token in ("", "0" * 64, foreign):
            refused = client.post("/sign-in", data={"form_token": token, "next": "/", "key": ADMIN_KEY})
            assert refused.status_code == 403
            assert client.get("/system").status_code == 303
        assert signing_in(client, ADMIN_KEY).status_code == 303
        assert client.post("/sign-out", data={"form_token": foreign}).status_code == 403
        assert client.get("/system").status_code == 200


def test_signing_out_ends_the_session_also_for_a_copy_of_the_cookie(server: Server) -> None:
    with visitor(server, ADMIN_KEY) as client:
        copied = dict(client.cookies)
        signed_out = client.post("/sign-out", data={"form_token": form_token(client.get("/system").text)})
        assert (signed_out.status_code, signed_out.headers["location"]) == (303, "/sign-in")
        assert client.get("/system").status_code == 303
    with visitor(server) as thief:
        thief.cookies.update(copied)
        assert thief.get("/system").status_code == 303


def test_a_session_ends_with_its_key_and_with_its_organization(server: Server) -> None:
    acme = server.organization("unsiloed")
    key = server.key(acme)
    [listed] = server.admin("GET", f"/v1/organizations/{acme}/keys").json()
    with visitor(server, key) as client, visitor(server, server.key(acme)) as colleague:
        assert client.get(f"/organizations/{acme}").status_code == 200
        server.admin("DELETE", f"/v1/organizations/{acme}/keys/{listed['id']}")
        assert client.get(f"/organizations/{acme}").status_code == 303
        assert colleague.get(f"/organizations/{acme}").status_code == 200
        server.admin("DELETE", f"/v1/organizations/{acme}")
        assert colleague.get(f"/organizations/{acme}").status_code == 303


def test_an_altered_cookie_is_no_session(server: Server) -> None:
    with visitor(server, ADMIN_KEY) as client:
        [(name, value)] = client.cookies.items()
        head, body, seal = value.split(".")
        for wrong in (
            f"{head}.{body[:-2]}AA.{seal}",
            f"{head}.{body}.{seal[:-2]}AA",
            f"{head}.{body}.",
            "x" * 5_000,
            "",
        ):
            answer = httpx.get(f"{client.base_url}/system", cookies={name: wrong}, follow_redirects=False)
            assert answer.status_code == 303


def test_the_api_takes_no_cookie(operator: httpx.Client) -> None:
    assert operator.get("/v1/organizations").status_code == 401
    assert operator.post("/v1/organizations", json={"id": "x", "name": "x", "namespace": "unsiloed"}).status_code == 401


def test_wrong_keys_are_told_and_slowed_down(tmp_path_factory: pytest.TempPathFactory) -> None:
    few = {"METERHOUSE_FAILED_KEYS_PER_MINUTE": "2"}
    with (
        serve(tmp_path_factory.mktemp("few") / "data", environment=few) as server,
        visitor(server) as client,
    ):
        answers = [signing_in(client, altered(ADMIN_KEY)) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [401, 401]
        assert "This key is not valid" in answers[0].text
        assert signing_in(client, ADMIN_KEY).status_code == 429
        assert server.http.get("/v1/organizations", headers={"authorization": "Bearer x"}).status_code == 429


def test_a_key_that_does_not_read_usage_opens_nothing(server: Server) -> None:
    key = server.key(server.organization("unsiloed"), scopes=["events:write"])
    with visitor(server) as client:
        refused = signing_in(client, key)
        assert (refused.status_code, "may not read usage" in refused.text) == (403, True)
        assert client.get("/").status_code == 303


def test_signing_in_leads_to_pages_of_this_server_only(server: Server) -> None:
    leads = {
        "/organizations?q=a": "/organizations?q=a",
        "//evil.example": "/",
        "/\\evil.example": "/",
        "https://evil.example": "/",
        "javascript:alert(1)": "/",
        "": "/",
    }
    for path, place in leads.items():
        with visitor(server) as client:
            assert signing_in(client, ADMIN_KEY, path).headers["location"] == place


def test_an_organization_sees_itself_and_nobody_else(server: Server, acme: str) -> None:
    other = server.organization("aitronos")
    with visitor(server, server.key(other)) as client:
        assert client.get("/").headers["location"] == f"/organizations/{other}"
        own = client.get(f"/organizations/{other}")
        assert own.status_code == 200
        # As in the API, keys, subscriptions and corrections are the operator's.
        assert not [word for word in ("Keys", "Subscription", "Corrections") if word in own.text]
        for path in OPERATOR_ONLY:
            assert client.get(path).status_code == 403
        for below in ("", "/events", "/usage.csv"):
            refused = [client.get(f"/organizations/{name}{below}") for name in (acme, "nobody")]
            assert [answer.status_code for answer in refused] == [404, 404]
            told = [re.sub(r"request \S+|[a-z0-9-]+&#39;", "", answer.text) for answer in refused]
            assert told[0] == told[1]
        assert client.get(f"/events?organization={acme}").status_code == 404
        # Whichever organization the address names, the story is looked for among its own events.
        assert client.get("/events/story?" + story_query(acme)).status_code == 404


def test_an_organization_reads_what_its_events_count_for_and_not_what_the_operator_said(server: Server) -> None:
    acme = server.organization("unsiloed")
    sent = event("credit.used", acme, {"amount": 3, "operation": "parse", "secret": "of-the-sender"})
    server.send("unsiloed", [sent])
    name = {"source": sent["source"], "id": sent["id"]}
    correction = {"actor": "ops@example.com", "reason": "a test", "void": [{**name, "organization": acme}]}
    made = server.admin("POST", "/v1/corrections", correction, params={"namespace": "unsiloed"})
    assert made.status_code in (200, 201), made.text
    story = "/events/story?" + urlencode({"namespace": "unsiloed", **name})
    with visitor(server, server.key(acme)) as client, visitor(server, ADMIN_KEY) as operator:
        own, whole = client.get(story).text, operator.get(story).text
        page = operator.get(f"/organizations/{acme}").text
    assert "It was voided" in own
    assert not [word for word in ("ops@example.com", "of-the-sender") if word in own]
    assert not [word for word in ("ops@example.com", "of-the-sender") if word not in whole]
    assert "ops@example.com" in page


def test_nothing_runs_on_a_page_but_what_is_served_as_a_file(operator: httpx.Client, acme: str) -> None:
    for path in [*pages_of(acme), "/organizations/nobody", f"/organizations/{acme}?window=minute&range=12mo"]:
        answer = operator.get(path)
        policy = dict(each.split(" ", 1) for each in answer.headers["content-security-policy"].split("; "))
        assert policy == {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "img-src": "'self'",
            "connect-src": "'self'",
            "form-action": "'self'",
            "base-uri": "'none'",
            "frame-ancestors": "'none'",
        }
        told = {name: answer.headers[name] for name in ("referrer-policy", "x-content-type-options", "cache-control")}
        assert told == {
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
            "cache-control": "no-store",
        }
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        for tag, attributes in Read(answer.text).tags:
            assert tag != "style"
            assert not [name for name in attributes if name == "style" or name.startswith("on")], attributes
            if tag == "script":
                assert re.fullmatch(r"/assets/[0-9a-f]{12}/\w+\.js", attributes["src"])
            for name in ("href", "src", "action"):
                assert re.match(r"/(?!/)|#|$", attributes.get(name, "")), "it leads elsewhere"


def test_names_models_and_ids_are_text(operator: httpx.Client, acme: str) -> None:
    found = ""
    for path in pages_of(acme):
        html = operator.get(path).text
        assert MALICE not in html
        assert "<img src=x" not in html
        found += html
    assert "Acme &lt;script&gt;" in found
    assert "&lt;img src=x onerror=alert(1)&gt;" in found


@pytest.mark.parametrize(
    "query",
    [
        {"meter": "neurons", "range": "30d", "window": "day", "group_by": "model", "top": "2", "compare": "previous"},
        {"meter": "cost", "from": "2026-03-10", "to": "2026-03-15", "window": "hour", "timezone": "Asia/Kolkata"},
        {"meter": "requests", "range": "12mo", "window": "month", "group_by": "model"},
        {"meter": "synapses", "range": "current_period", "window": "none"},
    ],
)
def test_the_numbers_of_a_page_are_those_of_the_query(
    server: Server, operator: httpx.Client, acme: str, query: dict[str, str]
) -> None:
    page = operator.get(f"/organizations/{acme}", params=query)
    asked = {"top": "5", **query} if "group_by" in query else query
    told = server.admin("GET", "/v1/query", params={"organization": acme, **asked}).json(parse_float=Decimal)
    [meter] = told["meters"]
    total = re.search(r"<strong data-total>(?:<a [^>]*>)?([^<]*)", page.text)
    assert total is not None
    assert Decimal(total[1].replace(",", "")) == meter["total"]
    columns = [*meter.get("groups", []), *([meter["other"]] if meter.get("other") else [])] or [meter]
    tables = Read(page.text).tables
    if "windows" in meter:
        rows = next(table for table in tables if table[0][0]["text"].lower() == query["window"])[1:]
        shown = [[row[0]["text"], *(Decimal(cell["value"]) for cell in row[1:])] for row in rows]
        wanted = [
            [window["label"], *(column["windows"][index]["value"] for column in columns)]
            for index, window in enumerate(meter["windows"])
        ]
        assert shown == wanted
    if "groups" in meter:
        [groups] = [table for table in tables if table[0][0]["text"] == query["group_by"]]
        assert [Decimal(row[1]["value"]) for row in groups[1:]] == [column["total"] for column in columns]


def test_the_meters_of_a_page_are_those_of_the_usage(server: Server, operator: httpx.Client) -> None:
    acme = server.organization("unsiloed", {"plan": "Free", "anchor": "2026-03-01T00:00:00Z", "interval": "P1M"})
    used = [event("credit.used", acme, {"amount": 5}, at=f"2026-03-{day:02}T06:00:00Z") for day in range(1, 15)]
    server.send("unsiloed", used)
    told = server.usage(acme)["meters"]["credits"]
    row = Read(operator.get(f"/organizations/{acme}").text).tables[0][1]
    assert [cell["text"] for cell in row[:5]] == ["credits", "70", "100", "30", "70.0 %"]
    assert row[5]["text"].startswith(f"{told['forecast']['used']}")
    day = parse_instant(told["forecast"]["exhausted_at"])
    assert f"limit reached {day.day} {day:%b %Y}" in row[5]["text"]


def test_the_balances_of_a_page_are_those_of_the_api(server: Server, operator: httpx.Client) -> None:
    acme = server.organization("unsiloed", {"plan": "Free", "anchor": "2026-03-01T00:00:00Z", "interval": "P1M"})
    server.send("unsiloed", [event("credit.used", acme, {"amount": "1070.5"}, at="2026-03-12T06:00:00Z")])
    assert "Balances" not in operator.get(f"/organizations/{acme}").text
    for body in (
        {"id": "a", "amount": 1000, "expires_at": "2026-05-01T00:00:00Z", "reason": "Order <7>"},
        {"id": "b", "amount": 5, "recurrence": {"interval": "P1M"}},
    ):
        granted = body | {"meter": "credits", "effective_at": "2026-03-01T00:00:00Z"}
        assert server.admin("POST", f"/v1/organizations/{acme}/grants", granted).status_code == 201
    with visitor(server, server.key(acme)) as itself:
        pages = [browser.get(f"/organizations/{acme}").text for browser in (operator, itself)]
    for page in pages:
        [rows] = [table for table in Read(page).tables if table[0][0]["text"] == "Burns in this order"]
        assert [[cell["text"] for cell in row] for row in rows[1:]] == [
            ["Plan", "100", "100", "0", "1 Apr 2026"],
            ["Order <7> a", "1,000", "970.5", "29.5", "1 May 2026"],
            ["b", "5", "0", "5", "given anew, P1M"],
        ]
        assert "credits: 34.5 left" in page


def test_each_number_leads_to_its_events_and_each_event_to_its_story(operator: httpx.Client, acme: str) -> None:
    page = operator.get(f"/organizations/{acme}?meter=neurons&range=30d&window=day&group_by=model&top=10")
    followed = 0
    for table in Read(page.text).tables:
        for row in table:
            for cell in row:
                if not cell["value"] or not cell["href"]:
                    continue
                events = operator.get(cell["href"])
                together = re.search(r"<span data-sum>([^<]*)", events.text)
                assert together is not None
                assert Decimal(together[1].replace(",", "")) == Decimal(cell["value"])
                [story] = [line[1]["href"] for line in Read(events.text).tables[0][1:]]
                assert "It counts" in operator.get(story).text
                followed += 1
    assert followed == 2 * len(MODELS)


def test_the_file_has_the_rows_of_the_query_and_no_formulas(server: Server, operator: httpx.Client, acme: str) -> None:
    query = {"meter": "neurons", "range": "30d", "window": "day", "group_by": "model"}
    file = operator.get(f"/organizations/{acme}/usage.csv", params=query)
    asked = {"organization": acme, "timezone": "UTC", "top": "5", **query, "costs": "true"}
    told = server.admin("GET", "/v1/query", params=asked, headers={"accept": "text/csv"})
    assert file.content == told.content
    assert file.headers["content-disposition"] == 'attachment; filename="neurons.csv"'
    assert "'=1+1" in file.text
    assert ",=1+1" not in file.text


def test_a_question_that_cannot_be_answered_is_told_beside_the_controls(operator: httpx.Client, acme: str) -> None:
    for query in ("range=12mo&window=minute", "timezone=Mars/Base", "from=2026-02-31", "range=soon", "filter.nope=1"):
        answer = operator.get(f"/organizations/{acme}?{query}")
        assert answer.status_code == 400
        assert 'role="alert"' in answer.text
        assert "data-controls" in answer.text


def test_what_is_no_page_is_told_in_words(operator: httpx.Client) -> None:
    for path, status in {
        "/organizations/none": 404,
        "/events/story?source=a&id=b&namespace=unsiloed": 404,
        "/events/story?namespace=unsiloed": 400,
        "/?namespace=none": 404,
        "/organizations?meter=none/none": 404,
    }.items():
        answer = operator.get(path)
        assert answer.status_code == status, path
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["x-request-id"] in answer.text


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with 121 organizations."""
    with serve(tmp_path_factory.mktemp("many") / "data", now="2026-03-15T12:00:00Z") as server:
        for number in range(120):
            server.organization("unsiloed", id=f"org-{number:03}", name=f"Ünique {number}")
        server.organization("octolens", id="other", name="100% Other_")
        yield server


def test_organizations_are_searched_filtered_sorted_and_paged(many: Server) -> None:
    ids = [f"org-{number:03}" for number in range(120)]
    many.subscribe(ids[7], {"plan": "Growth", "anchor": "2026-01-01", "interval": "P1M"})
    used = [event("credit.used", ids[n], {"amount": n}, at="2026-03-01T00:00:00Z") for n in (3, 99, 50)]
    many.send("unsiloed", used)
    with visitor(many, ADMIN_KEY) as operator:

        def listed(path: str) -> list[str]:
            answer = operator.get(path)
            assert answer.status_code == 200
            tables = Read(answer.text).tables
            return [row[1]["text"] for row in tables[0][1:]] if tables else []

        assert "121 found" in operator.get("/organizations").text
        walked, path = [], "/organizations?namespace=unsiloed"
        while path:
            walked += listed(path)
            following = re.search(r'href="([^"]*)" rel="next"', operator.get(path).text)
            path = following[1].replace("&amp;", "&") if following else ""
        assert walked == ids
        assert listed("/organizations?q=ORG-11") == ids[110:]
        assert listed("/organizations?q=nique%201&namespace=octolens") == []
        assert listed("/organizations?q=100%25") == ["other"]
        assert listed("/organizations?q=_") == ["other"]
        assert listed("/organizations?plan=Growth") == [ids[7]]
        assert listed("/organizations?meter=unsiloed/credits") == [ids[99], ids[50], ids[3]]
        assert listed("/organizations?meter=unsiloed/credits&q=org-05") == [ids[50]]
        assert listed("/organizations?meter=unsiloed/credits&offset=1") == [ids[50], ids[3]]


def test_the_overview_tells_who_is_near_a_limit_and_what_was_refused(many: Server) -> None:
    near, far, granted, rich = "other", "org-001", "org-002", "org-004"
    many.subscribe(near, {"plan": None, "anchor": "2026-03-01", "interval": "P1M", "limits": {"mentions": 2}})
    many.subscribe(far, {"plan": "Free", "anchor": "2026-03-01", "interval": "P1M"})
    for organization, amount in ((granted, 10), (rich, 1000)):
        many.subscribe(organization, {"plan": None, "anchor": "2026-03-01", "interval": "P1M"})
        body = {"meter": "credits", "amount": amount, "effective_at": "2026-03-01T00:00:00Z"}
        assert many.admin("POST", f"/v1/organizations/{organization}/grants", body).status_code == 201
    many.send(
        "octolens", [event("mention.found", near, {"mention_id": n}, at="2026-03-02T00:00:00Z") for n in ("a", "b")]
    )
    report = many.send(
        "unsiloed",
        [
            event("credit.used", far, {"amount": 79}, at="2026-03-02T00:00:00Z"),
            event("credit.used", far, {"amount": 10}, at="2026-02-27T00:00:00Z"),  # not of this usage period
            event("credit.used", granted, {"amount": 9}, at="2026-03-02T00:00:00Z"),
            event("credit.used", rich, {"amount": 9}, at="2026-03-02T00:00:00Z"),
            event("credit.used", far, {"amount": "much"}),
        ],
    )
    with visitor(many, ADMIN_KEY) as operator:
        html = operator.get("/?namespace=unsiloed&meter=credits").text
    [nearing] = [table for table in Read(html).tables if table[0][1]["text"] == "Meter"]
    assert [(row[0]["text"], row[1]["text"], row[4]["text"]) for row in nearing[1:]] == [
        ("100% Other_", "mentions", "100.0 %"),
        ("Ünique 2", "credits", "90.0 %"),
    ]
    [refused] = report["errors"]
    assert f"<strong>{refused['id']}</strong>" in html


def test_files_are_kept_by_browsers_and_pages_are_not(operator: httpx.Client) -> None:
    html = operator.get("/system").text
    files = re.findall(r'(?:href|src)="(/assets/[^"]+)"', html)
    assert {file.rpartition("/")[2] for file in files} == {"dashboard.css", "dashboard.js", "mark.svg", "uplot.js"}
    for file in files:
        answer = operator.get(file)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert operator.get("/assets/000000000000/dashboard.css").status_code == 404
    assert operator.get("/system").headers["cache-control"] == "no-store"


def test_links_of_numbers_keep_the_zone_and_the_filters(operator: httpx.Client, acme: str) -> None:
    query = "meter=requests&range=30d&window=day&timezone=Asia/Kolkata&filter.model=%3D1%2B1"
    tables = Read(operator.get(f"/organizations/{acme}?{query}").text).tables
    links = [cell["href"] for table in tables for row in table for cell in row if cell["value"] and cell["href"]]
    assert len(links) == 1
    led = dict(parse_qsl(urlsplit(links[0]).query))
    assert led == {
        "meter": "requests",
        "from": "2026-03-10T18:30:00Z",
        "to": "2026-03-11T18:30:00Z",
        "filter.model": "=1+1",
    }


def test_what_was_changed_is_for_who_may_do_everything(server: Server) -> None:
    organization = server.organization("aitronos", name=f"Audited {MALICE}")
    keys = {
        role: server.admin("POST", "/v1/operator-keys", {"name": f"{role} {MALICE}", "role": role}).json()["key"]
        for role in ("read", "admin")
    }
    with visitor(server) as admin:
        signing_in(admin, keys["admin"])
        page = admin.get(f"/audit?organization={organization}")
        assert page.status_code == 200
        assert "createOrganization" in page.text
        assert "the admin key" in page.text
        assert MALICE not in page.text
        assert "createOrganization" not in admin.get("/audit?organization=none").text
        assert admin.get("/audit?before=1").status_code == 200
        assert keys["read"] not in page.text
    with visitor(server) as reader:
        signing_in(reader, keys["read"])
        assert reader.get("/organizations").status_code == 200
        refused = reader.get("/audit")
        assert refused.status_code == 403
        assert "the role admin" in refused.text
        assert "/audit" not in reader.get("/").text
